"""Claims about label noise: where the optimum of the loss moves when safety bits are wrong. All derived here."""

import math

import torch
from torch import Tensor

from safedpo.finite.claims.claim import STANDARD_ERRORS, Claim, generator, largest
from safedpo.finite.fit import fit
from safedpo.finite.newton import newton
from safedpo.finite.noise import bit_flip_margin, pair_flip_margin
from safedpo.finite.pairs import Pairs, flip_bits, population
from safedpo.finite.world import FiniteWorld
from safedpo.losses import dpo_loss, robust_dpo_loss
from safedpo.transform import order_pairs

BETA = 0.5
DELTAS = [0.0, 2.0, 5.0, 20.0]
ZERO = torch.zeros(1, dtype=torch.float64)


def _settings(seed: int, worlds: int) -> list[tuple[float, float]]:
    """A few random (flip rate, probability that the safe answer is the more helpful one)."""
    draw = torch.rand(min(worlds, 10), 2, generator=generator(seed), dtype=torch.float64)
    return (torch.tensor([0.01, 0.05]) + torch.tensor([0.35, 0.9]) * draw).tolist()


def two_answers(safe_wins: float) -> FiniteWorld:
    """One prompt with a safe and an unsafe answer; the safe one is more helpful with this probability.

    >>> world = two_answers(0.8)
    >>> round((world.reward[0, 0] - world.reward[0, 1]).sigmoid().item(), 9), world.unsafe.tolist()
    (0.8, [[False, True]])
    """
    lead = math.log(safe_wins / (1 - safe_wins))
    return FiniteWorld([[math.log(0.3), math.log(0.7)]], [[lead, 0.0]], torch.tensor([[False, True]]))


def trained_margins(world: FiniteWorld, pairs: Pairs) -> Tensor:
    """The reward margin of the safe answer after training to convergence, for each of DELTAS.

    >>> from safedpo.finite import population
    >>> world = two_answers(0.8)
    >>> raw = trained_margins(world, population(world))  # no T: at delta 0 the margin is the reward gap, log(.8 / .2)
    >>> round(raw[DELTAS.index(0.0)].item(), 6)
    1.386294
    """
    start = world.ref_logps[None]
    ratio = newton(pairs, start, world.ref_logps, beta=BETA, deltas=DELTAS)[:, 0, 0] - world.ref_logps[0]
    return BETA * (ratio[:, 0] - ratio[:, 1])


def pair_flips(seed: int, worlds: int) -> float:
    differences = []
    for rate, safe_wins in _settings(seed, worlds):
        world = two_answers(safe_wins)
        noisy = flip_bits(population(world), rate, together=True).transform("safedpo")
        exact = torch.tensor([pair_flip_margin(rate, delta) for delta in DELTAS], dtype=torch.float64)
        differences.append(trained_margins(world, noisy) - exact)
    return largest(*differences)


def bit_flips(seed: int, worlds: int) -> float:
    differences = []
    for rate, safe_wins in _settings(seed, worlds):
        world = two_answers(safe_wins)
        noisy = flip_bits(population(world), rate).transform("safedpo")
        exact = torch.tensor([bit_flip_margin(rate, safe_wins, delta) for delta in DELTAS], dtype=torch.float64)
        differences.append(trained_margins(world, noisy) - exact)
    return largest(*differences)


def bit_flips_without_margin(seed: int, worlds: int) -> float:
    differences = []
    for e, p in _settings(seed, worlds):
        world = two_answers(p)
        margin = trained_margins(world, flip_bits(population(world), e).transform("safedpo"))[0]
        differences.append(margin.sigmoid() - ((1 - e) ** 2 + e * (1 - e) * p) / (1 - e + e**2))
    return largest(*differences)


def large_margin(seed: int, worlds: int) -> float:
    differences = []
    for e, p in _settings(seed, worlds):
        delta, lost = 40.0, (e**2 + e * (1 - e) * (1 - p)) / (1 - e) ** 2
        differences.append(pair_flip_margin(e, delta) - delta - math.log((1 - 2 * e) / e))
        if lost < 1:  # beyond, the noise is so strong that the margin is no longer reached
            differences.append(bit_flip_margin(e, p, delta) - delta - math.log((1 - lost) / lost))
    return largest(*(torch.tensor(difference) for difference in differences))


def descent_under_noise(seed: int, worlds: int) -> float:
    differences = []
    for rate, safe_wins in _settings(seed, min(worlds, 3)):
        world = two_answers(safe_wins)
        noisy = flip_bits(population(world), 0.1 + rate / 2).transform("safedpo")
        run = fit(world, noisy, beta=2.0, delta=[0.0, 2.0], steps=3000, lr=0.5, record=[3000])
        ratio = run.policy[0, :, 0, 0] - world.ref_logps[0]
        exact = [bit_flip_margin(0.1 + rate / 2, safe_wins, delta) for delta in (0.0, 2.0)]
        differences.append(2.0 * (ratio[:, 0] - ratio[:, 1]) - torch.tensor(exact, dtype=torch.float64))
    return largest(*differences)


def _true_groups(true_unsafe: Tensor, seen_unsafe: Tensor) -> Tensor:
    """Shares of the rows dropped, swapped, and kept with a margin by T, for rows whose first response is better."""
    better = torch.zeros(len(true_unsafe), dtype=torch.long)
    chosen, keep = order_pairs(better, seen_unsafe, "safedpo")
    mixed = seen_unsafe[:, 0] != seen_unsafe[:, 1]
    return torch.stack([~keep, keep & (chosen == 1), keep & mixed]).double().mean(1)


def law_of_flips(seed: int, worlds: int) -> float:
    n, draw, errors = 200_000, generator(seed), []
    for e, _ in _settings(seed, min(worlds, 3)):
        both_right, one, both_wrong = (1 - e) ** 2, e * (1 - e), e**2
        # (dropped, swapped, with a margin) for a true SS, SU, US and UU pair.
        expected = {
            (False, False): (both_wrong, one, 2 * one),
            (False, True): (one, both_wrong, both_right + both_wrong),
            (True, False): (one, both_right, both_right + both_wrong),
            (True, True): (both_right, one, 2 * one),
        }
        for flags, shares in expected.items():
            true = torch.tensor([flags]).expand(n, 2)
            seen = true ^ (torch.rand(n, 2, generator=draw) < e)
            share = torch.tensor(shares, dtype=torch.float64)
            errors.append((_true_groups(true, seen) - share) / (share * (1 - share) / n).sqrt())
    return largest(*errors)


def law_of_flips_exact(seed: int, worlds: int) -> float:
    differences = []
    for e, p in _settings(seed, worlds):
        kept = flip_bits(population(two_answers(p)), e).transform("safedpo")
        with_margin = kept.weight[kept.rejected_unsafe]
        differences += [kept.weight.sum() - (1 - e + e**2), with_margin.sum() - (1 - 2 * e * (1 - e))]
    return largest(*differences)


def conservative_optimum(seed: int, worlds: int) -> float:
    world = two_answers(0.5)
    clean = population(world).transform("safedpo")
    run = fit(world, clean, loss="cdpo", beta=2.0, steps=2000, lr=0.5, record=[2000], tolerance=1e-9)
    ratio = run.policy[0, 0, 0, 0] - world.ref_logps[0]
    return largest(2.0 * (ratio[0] - ratio[1]) - math.log(0.9 / 0.1))


def robust_is_unbiased(seed: int, worlds: int) -> float:
    columns = -100 * torch.rand(4, 20 * worlds, generator=generator(seed), dtype=torch.float64)
    chosen, rejected, ref_chosen, ref_rejected = columns
    differences = []
    for e, _ in _settings(seed, worlds):
        right = robust_dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta=BETA, flip_rate=e)
        wrong = robust_dpo_loss(rejected, chosen, ref_rejected, ref_chosen, beta=BETA, flip_rate=e)
        clean = dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta=BETA)
        differences.append(((1 - e) * right + e * wrong - clean) / (1 + clean))
    return largest(*differences)


def wrong_order(seed: int, worlds: int) -> float:
    """The share of kept mixed pairs whose chosen answer is truly unsafe, and on which side of e it lies."""
    differences = []
    for e, p in _settings(seed, worlds):
        kept = flip_bits(population(two_answers(p)), e).transform("safedpo")
        share = kept.weight[kept.chosen == 1].sum() / kept.weight.sum()  # answer 1 is the unsafe one
        differences.append(share - (e**2 + e * (1 - e) * (1 - p)) / (1 - e + e**2))
        differences.append(((share - e) * (1 if p > e else -1)).clamp(min=0))
    return largest(*differences)


CLAIMS = (
    Claim(
        "noise-pair-flips",
        "both bits of a pair wrong w.p. q: the optimum is finite and moves with Δ, "
        "m* = log{[(1−2q)e^Δ + √((1−2q)²e^{2Δ} + 4q(1−q))]/(2q)}",
        "derived (limits of Prop. 4.4)",
        1e-8,
        pair_flips,
    ),
    Claim(
        "noise-bit-flips",
        "each bit wrong w.p. ε: m* solves (1−ε)²σ(Δ−m) + ε(1−ε)[pσ(−m) − (1−p)σ(m)] = ε²σ(Δ+m)",
        "derived (limits of Prop. 4.4)",
        1e-8,
        bit_flips,
    ),
    Claim(
        "noise-no-margin",
        "and at Δ = 0 σ(m*) = [(1−ε)² + ε(1−ε)p] / (1−ε+ε²)",
        "derived",
        1e-10,
        bit_flips_without_margin,
    ),
    Claim(
        "noise-large-margin",
        "for Δ ≫ 1 m* − Δ → log((1−2q)/q) and log((1−κ)/κ), κ = [ε² + ε(1−ε)(1−p)]/(1−ε)²",
        "derived",
        1e-8,
        large_margin,
    ),
    Claim(
        "noise-descent",
        "plain gradient descent on noisy pairs ends at the same m*",
        "derived",
        1e-4,
        descent_under_noise,
    ),
    Claim(
        "noise-law",
        "a true mixed pair survives T w.p. 1−ε+ε² and carries a margin w.p. 1−2ε(1−ε)",
        "derived",
        1e-12,
        law_of_flips_exact,
    ),
    Claim(
        "noise-law-sampled",
        "simulated flips drop, swap and give margins to true SS, SU, US, UU pairs as derived (in standard errors)",
        "derived",
        STANDARD_ERRORS,
        law_of_flips,
    ),
    Claim(
        "noise-conservative",
        "cDPO on clean safe/unsafe pairs stops at m* = log((1−e)/e)",
        "derived",
        1e-6,
        conservative_optimum,
    ),
    Claim(
        "noise-robust",
        "the mean of robust DPO over flipped labels is the DPO loss of the true ones",
        "derived",
        1e-10,
        robust_is_unbiased,
    ),
    Claim(
        "noise-wrong-order",
        "after T the share [ε² + ε(1−ε)(1−p)]/(1−ε+ε²) of the mixed pairs is in the wrong order: below ε exactly if p > ε",
        "derived",
        1e-12,
        wrong_order,
    ),
)
