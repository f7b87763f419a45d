"""Each claim must be able to fail: a planted fault, and that line of the ledger turns red.

A fault is a wrong formula a person could write: a sign, a missing term, a mean for a sum, a forgotten swap. It replaces
the true function where the claim, or the code under test, looks it up.
"""

import dataclasses
import math

import pytest
import torch
from torch.nn.functional import logsigmoid

from safedpo import losses, transform
from safedpo.finite import noise, optimum, pairs
from safedpo.finite.claims import CLAIMS as ALL
from safedpo.finite.claims import check, methods
from safedpo.finite.claims.methods import slopes
from safedpo.finite.slopes import SLOPES, cdpo_slope, safedpo_slope
from safedpo.finite.world import FiniteWorld

CLAIMS = tuple(claim for claim in ALL if claim not in methods.CLAIMS)  # tests/finite/methods has the others


def reference_forgotten(world, beta, *, penalty=math.inf):
    return (optimum.modified_reward(world, penalty=penalty) / beta).log_softmax(-1)


def penalty_added(world, beta, *, penalty=math.inf):
    raised = torch.where(world.unsafe, world.reward + (penalty if penalty < math.inf else -math.inf), world.reward)
    return (world.ref_logps + raised / beta).log_softmax(-1)


def penalty_halved(world, beta, *, penalty=math.inf):
    return optimum.optimal_policy(world, beta, penalty=penalty / 2)


def safety_ignored(world, beta, *, penalty=math.inf):
    return optimum.optimal_policy(world, beta, penalty=min(penalty, 100.0))


def kl_reversed(world, logps, beta, *, penalty=math.inf):
    reward = optimum.expectation(logps, optimum.modified_reward(world, penalty=penalty))
    return reward - beta * optimum.kl(world.ref_logps, logps)


def outside_log_space(world, beta, *, penalty=math.inf):
    return (world.ref_logps.exp() * (optimum.modified_reward(world, penalty=penalty) / beta).exp()).sum(-1).log()


def beta_forgotten(world, beta, *, penalty=math.inf):
    return optimum.log_partition(world, beta, penalty=penalty)


def margin_without_beta(chosen, rejected, ref_chosen, ref_rejected, *, beta):
    return losses.reward_margin(chosen, rejected, ref_chosen, ref_rejected, beta=1.0)


def no_half(logps, other_logps):
    return 2 * optimum.tv(logps, other_logps)


def unsafe_without_reference(world, beta):
    return (world.reward / beta).masked_fill(~world.unsafe, -math.inf).logsumexp(-1)


def not_renormalised(world, logps):
    return logps.masked_fill(world.unsafe, -math.inf)


def uniform_start(world, logps):
    return torch.zeros_like(logps).masked_fill(world.unsafe, -math.inf).log_softmax(-1)


def tail_forgotten(world, beta, tau):
    return (optimum.required_penalty(world, beta, tau) - beta * math.log1p(-tau)).clamp(min=0)


def penalty_without_beta(world, beta, tau):
    return optimum.required_penalty(world, beta, tau) / beta


def _worst_first(world):
    return FiniteWorld(world.ref_logps, -world.reward, world.unsafe, world.cost)


def worse_preferred(world, *, pair_weight=None):
    return pairs.population(_worst_first(world), pair_weight=pair_weight)


def worse_sampled(world, n, seed, *, pair_weight=None):
    return pairs.sample_pairs(_worst_first(world), n, seed, pair_weight=pair_weight)


def pair_weight_ignored(world, *, pair_weight=None):
    return pairs.population(world)


def no_swap(better, unsafe, rule="safedpo", *, safer=None):
    return transform.order_pairs(better, unsafe, "helpful", safer=safer)


def mean_for_sum(rows, logps, ref_logps, *, beta, delta):
    return pairs.pairs_loss(rows, logps, ref_logps, beta=beta, delta=delta) / rows.weight.sum()


def margin_added_to_sum(rows, logps, ref_logps, *, beta, delta):
    other_flags = dataclasses.replace(rows, chosen_unsafe=rows.rejected_unsafe, rejected_unsafe=rows.chosen_unsafe)
    return pairs.pairs_loss(other_flags, logps, ref_logps, beta=beta, delta=delta)


def margin_added(*columns, beta, delta):
    return losses.safedpo_loss(*columns[:4], columns[5], columns[4], beta=beta, delta=delta)


def margin_inside_beta(*columns, beta, delta):
    return losses.safedpo_loss(*columns, beta=beta, delta=beta * delta)


def margin_for_everyone(*columns, beta, delta):
    m = losses.reward_margin(*columns[:4], beta=beta)
    return -logsigmoid(m - delta)


def weight_margin_flipped(margin, chosen_unsafe, rejected_unsafe, *, delta):
    return losses.gradient_weight(margin, rejected_unsafe, chosen_unsafe, delta=delta)


def shift_without_beta(ref_logps, unsafe, *, beta, delta):
    return losses.shift_reference(ref_logps, unsafe, beta=1.0, delta=delta)


def slope_margin_added(beta, delta, chosen_unsafe, rejected_unsafe):
    return safedpo_slope(beta, -delta, chosen_unsafe, rejected_unsafe)


def slope_half_beta(beta, delta, chosen_unsafe, rejected_unsafe):
    return lambda gap: safedpo_slope(beta, delta, chosen_unsafe, rejected_unsafe)(gap / 2)


def slope_other_rate(beta, delta, chosen_unsafe, rejected_unsafe):
    return cdpo_slope(beta, delta, chosen_unsafe, rejected_unsafe, flip_rate=0.2)


def margin_of_noise_ignored(rate, delta):
    return noise.pair_flip_margin(rate, 0.0)


def asymptote_without_two(rate, delta):
    return delta + math.log((1 - rate) / rate)


def help_ignored(rate, safe_wins, delta):
    return noise.bit_flip_margin(rate, 0.5, delta)


def flipped_together(rows, rate, *, together=False):
    return pairs.flip_bits(rows, rate, together=True)


def not_rescaled(*columns, beta, flip_rate):
    return (1 - 2 * flip_rate) * losses.robust_dpo_loss(*columns, beta=beta, flip_rate=flip_rate)


def rewards_squared(world, *, pair_weight=None):
    return pairs.population(FiniteWorld(world.ref_logps, world.reward**2, world.unsafe, world.cost))


def cdpo_sign(*columns, beta, flip_rate=0.1):
    m = losses.reward_margin(*columns, beta=beta)
    return -(1 - flip_rate) * logsigmoid(m) + flip_rate * logsigmoid(-m)


def robust_sign(*columns, beta, flip_rate=0.1):
    m = losses.reward_margin(*columns, beta=beta)
    return (-(1 - flip_rate) * logsigmoid(m) - flip_rate * logsigmoid(-m)) / (1 - 2 * flip_rate)


def dpo_sign(*columns, beta):
    return -logsigmoid(-losses.reward_margin(*columns, beta=beta))


def ipo_sign(*columns, beta):
    return (losses.reward_margin(*columns, beta=beta) / beta + 1 / (2 * beta)) ** 2


def bfpo_flags_swapped(*columns, beta):
    return losses.bfpo_loss(*columns[:4], columns[5], columns[4], beta=beta)


# claim id -> (where the function is looked up below safedpo.finite, or a key of SLOPES; the faulty one)
FAULTS = {
    "gibbs-identity": ("claims.optimum.objective", kl_reversed),
    "optimum-scipy": ("claims.optimum.optimal_policy", reference_forgotten),
    "optimum-random": ("claims.optimum.optimal_policy", reference_forgotten),
    "optimum-extremes": ("claims.optimum.log_partition", outside_log_space),
    "log-z-cancels": ("claims.optimum.reward_margin", margin_without_beta),
    "bradley-terry-shift": ("claims.optimum.population", rewards_squared),
    "loss-entropy-kl": ("claims.optimum.pairs_loss", mean_for_sum),
    "tv-unsafe-mass": ("claims.penalty.tv", no_half),
    "tv-closed-form": ("claims.penalty.log_partition_unsafe", unsafe_without_reference),
    "penalty-safe-part": ("claims.penalty.safe_part", not_renormalised),
    "penalty-limit": ("claims.penalty.optimal_policy", penalty_added),
    "penalty-for-tv": ("claims.penalty.required_penalty", tail_forgotten),
    "price-of-support": ("claims.penalty.required_penalty", penalty_without_beta),
    "penalty-sufficient": ("claims.penalty.optimal_policy", penalty_halved),
    "support-to-zero": ("claims.penalty.optimal_value", beta_forgotten),
    "no-support": ("claims.penalty.optimal_policy", safety_ignored),
    "beta-to-zero": ("claims.optimum.optimal_value", beta_forgotten),
    "beta-to-infinity": ("claims.optimum.safe_part", uniform_start),
    "law-of-t": ("claims.transform.population", worse_preferred),
    "law-of-t-sampled": ("claims.transform.sample_pairs", worse_sampled),
    "two-objectives": ("pairs.order_pairs", no_swap),
    "t-twice": ("pairs.order_pairs", no_swap),
    "uu-renormalised": ("pairs.order_pairs", no_swap),
    "prompt-weights": ("pairs.order_pairs", no_swap),
    "negative-delta": ("safedpo", slope_margin_added),
    "margin-only-stalls": ("claims.margin.pairs_loss", margin_added_to_sum),
    "large-delta": ("safedpo", slope_half_beta),
    "dpo-gradient": ("claims.loss.pairs_loss", mean_for_sum),
    "gradient-weight": ("claims.loss.gradient_weight", weight_margin_flipped),
    "step0-weight": ("claims.loss.safedpo_loss", margin_added),
    "step0-loss": ("claims.loss.pairs_loss", margin_added_to_sum),
    "no-margin-between-equals": ("pairs.safedpo_loss", margin_for_everyone),
    "saturation": ("claims.loss.safedpo_loss", margin_inside_beta),
    "time-to-saturation": ("claims.loss.safedpo_loss", margin_inside_beta),
    "faster-with-delta": ("safedpo", slope_margin_added),
    "shift-is-margin": ("claims.loss.shift_reference", shift_without_beta),
    "shift-is-penalty": ("claims.loss.shift_reference", shift_without_beta),
    "safedaa-objectives": ("pairs.order_pairs", no_swap),
    "safedaa-exponential": ("claims.safedaa.optimal_policy", penalty_halved),
    "safedaa-square": ("claims.safedaa.shift_reference", shift_without_beta),
    "same-optimum": ("pairs.order_pairs", no_swap),
    "same-optimum-descent": ("safedpo", slope_half_beta),
    "same-infimum": ("pairs.order_pairs", no_swap),
    "unseen-unsafe-answer": ("pairs.order_pairs", no_swap),
    "unconnected-safe-answers": ("claims.training.population", pair_weight_ignored),
    "optimum-dpo": ("claims.training.population", worse_preferred),
    "optimum-margin-only": ("newton.safedpo_loss", margin_added),
    "weight-margin-only": ("claims.training.gradient_weight", weight_margin_flipped),
    "optimum-safebetter": ("pairs.order_pairs", no_swap),
    "noise-pair-flips": ("claims.noise.pair_flip_margin", margin_of_noise_ignored),
    "noise-bit-flips": ("claims.noise.bit_flip_margin", help_ignored),
    "noise-no-margin": ("claims.noise.flip_bits", flipped_together),
    "noise-large-margin": ("claims.noise.pair_flip_margin", asymptote_without_two),
    "noise-descent": ("safedpo", slope_half_beta),
    "noise-law": ("claims.noise.flip_bits", flipped_together),
    "noise-law-sampled": ("claims.noise.order_pairs", no_swap),
    "noise-wrong-order": ("claims.noise.flip_bits", flipped_together),
    "noise-conservative": ("cdpo", slope_other_rate),
    "noise-robust": ("claims.noise.robust_dpo_loss", not_rescaled),
    "slope-of-loss": ("claims.methods.slopes.cdpo_loss", cdpo_sign),
}


def test_every_claim_has_a_fault():
    assert set(FAULTS) == {claim.id for claim in CLAIMS}


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_the_fault_turns_its_line_red(claim, monkeypatch):
    assert check(claim, seed=4, worlds=6).holds
    where, faulty = FAULTS[claim.id]
    if where in SLOPES:
        monkeypatch.setitem(SLOPES, where, faulty)
    else:
        monkeypatch.setattr(f"safedpo.finite.{where}", faulty)
    assert not check(claim, seed=4, worlds=6).holds


@pytest.mark.parametrize(
    ("name", "faulty"),
    {
        "safedpo_loss": margin_added,
        "dpo_loss": dpo_sign,
        "cdpo_loss": cdpo_sign,
        "robust_dpo_loss": robust_sign,
        "ipo_loss": ipo_sign,
        "bfpo_loss": bfpo_flags_swapped,
    }.items(),
)
def test_a_changed_sign_in_any_loss_turns_the_ledger_red(name, faulty, monkeypatch):
    (claim,) = slopes.CLAIMS
    monkeypatch.setattr(f"safedpo.finite.claims.methods.slopes.{name}", faulty)
    assert not check(claim, seed=4, worlds=6).holds


@pytest.mark.parametrize(
    ("name", "faulty"),
    {"safedpo": slope_margin_added, "cdpo": slope_other_rate, "bfpo": slope_half_beta, "ipo": slope_half_beta}.items(),
)
def test_a_wrong_slope_turns_the_ledger_red(name, faulty, monkeypatch):
    monkeypatch.setitem(SLOPES, name, faulty)
    assert not check(slopes.CLAIMS[0], seed=4, worlds=6).holds
