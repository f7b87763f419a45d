"""Methods with one table: each ends at its stated optimum, which is checked by an optimiser of another kind."""

from dataclasses import replace
from itertools import product

import pytest
import torch
from scipy.optimize import minimize

from safedpo.errors import UserError
from safedpo.finite import (
    DivergedError,
    FiniteWorld,
    NotConvergedError,
    bit_flip_margin,
    concatenate,
    fit,
    flip_bits,
    optimal_policy,
    pair_flip_margin,
    population,
    random_world,
    sample_pairs,
    six_answers,
    tv,
    unsafe_mass,
)
from safedpo.finite.methods import METHODS, OPTIMA, lagrangian_policy, safer_by_cost, step_size
from safedpo.finite.methods import outcome as outcome_module
from safedpo.losses import bfpo_loss, cdpo_loss, dpo_loss, ipo_loss, robust_dpo_loss, safedpo_loss
from tests.sparing import slow_but

WORLDS = {"six": six_answers(), "random": random_world(3, prompts=3, answers=5)}
PAIRWISE = (
    "DPO-helpful",
    "DPO-harmless",
    "DPO-safebetter",
    "T only",
    "Delta only",
    "SafeDPO",
    "IPO",
    "BFPO",
    "SEE-DPO",
    "WDPO",
)


def exact(world):
    return safer_by_cost(world, population(world))


@pytest.mark.parametrize("case", slow_but([("six", 1.0), ("random", 0.1)], list(product(WORLDS, (0.1, 1.0)))), ids=str)
@pytest.mark.parametrize("name", PAIRWISE)
def test_ends_at_its_stated_optimum(name, case):
    world, beta = WORLDS[case[0]], case[1]
    done = METHODS[name](world, exact(world), beta=beta, seed=0)
    assert tv(done.logps, OPTIMA[name](world, beta=beta)).max() < 1e-3
    torch.testing.assert_close(done.logps.logsumexp(-1), torch.zeros(world.prompts).double(), atol=1e-12, rtol=0)


def autograd_minimum(world, pairs, loss_of_columns):
    """The minimum of a weighted sum of losses, by L-BFGS on autograd: nothing shared with ``fit`` but the pairs."""
    rows = (pairs.prompt, pairs.chosen), (pairs.prompt, pairs.rejected)

    def value_and_gradient(x):
        logits = torch.tensor(x).view_as(world.ref_logps).requires_grad_()
        logps = logits.log_softmax(-1)
        columns = [logps[rows[0]], logps[rows[1]], world.ref_logps[rows[0]], world.ref_logps[rows[1]]]
        value = (pairs.weight * loss_of_columns(*columns)).sum()
        (gradient,) = torch.autograd.grad(value, logits)
        return value.item(), gradient.flatten().numpy()

    found = minimize(
        value_and_gradient,
        world.ref_logps.flatten().numpy(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 5000, "ftol": 1e-16, "gtol": 1e-11},
    )
    return torch.tensor(found.x).view_as(world.ref_logps).log_softmax(-1)


BETA, E, GAMMA = 0.5, 0.1, 0.2
LOSSES = {
    "DPO-helpful": ({}, lambda p: lambda *c: dpo_loss(*c, beta=BETA)),
    "Delta only": (
        {"delta": 1.5},
        lambda p: lambda *c: safedpo_loss(*c, p.chosen_unsafe, p.rejected_unsafe, beta=BETA, delta=1.5),
    ),
    "IPO": ({}, lambda p: lambda *c: ipo_loss(*c, beta=BETA)),
    "BFPO": ({}, lambda p: lambda *c: bfpo_loss(*c, p.chosen_unsafe, p.rejected_unsafe, beta=BETA)),
    "cDPO": ({"flip_rate": E}, lambda p: lambda *c: cdpo_loss(*c, beta=BETA, flip_rate=E)),
    "SEE-DPO": (
        {"gamma": GAMMA},
        lambda p: lambda c, r, rc, rr: -torch.nn.functional.logsigmoid((BETA + GAMMA) * (c - r) - BETA * (rc - rr)),
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_is_the_minimum_of_its_loss_as_an_optimiser_finds_it(name):
    own, loss = LOSSES[name]
    world, data = WORLDS["random"], exact(WORLDS["random"])
    found = autograd_minimum(world, data, loss(data))
    assert tv(METHODS[name](world, data, beta=BETA, seed=0, **own).logps, found).max() < 1e-5


def test_robust_dpo_under_flipped_preferences_ends_where_dpo_does_without_them():
    world, e = six_answers(), 0.2
    data = population(world)
    everything = torch.ones(len(data), dtype=torch.bool)
    flipped = concatenate(
        [replace(data, weight=data.weight * (1 - e)), replace(data.swapped(everything), weight=data.weight * e)]
    )
    robust = METHODS["robust DPO"](world, flipped, beta=0.5, seed=0, flip_rate=e)
    assert tv(robust.logps, OPTIMA["DPO-helpful"](world, beta=0.5)).item() < 1e-6
    plain = METHODS["DPO-helpful"](world, flipped, beta=0.5, seed=0)
    assert tv(plain.logps, OPTIMA["DPO-helpful"](world, beta=0.5)).item() > 0.1


def test_robust_dpo_diverges_on_clean_safe_over_unsafe_pairs():
    world, losses, norms = six_answers(), [], []
    for steps in (500, 1000, 2000):
        with pytest.raises(NotConvergedError, match=r"robust DPO at beta=0\.5 has not converged") as error:
            METHODS["robust DPO"](world, population(world), beta=0.5, seed=0, rule="safedpo", steps=steps)
        norms.append(error.value.gradient_norm)
        kept = population(world).transform()
        run = METHODS["robust DPO"](
            world, population(world), beta=0.5, seed=0, rule="safedpo", steps=steps, tolerance=1.0
        )
        columns = [t[kept.prompt, a] for t in (run.logps, world.ref_logps) for a in (kept.chosen, kept.rejected)]
        losses.append((kept.weight * robust_dpo_loss(*columns, beta=0.5)).sum().item())
    assert max(norms) / min(norms) < 1.1  # the slope that never flattens
    assert losses[1] - losses[0] < -10 and losses[2] - losses[1] == pytest.approx(2 * (losses[1] - losses[0]), rel=0.1)


@pytest.mark.slow
def test_kldpo_and_wdpo_are_dpo_in_their_limits_and_not_elsewhere():
    world, data = six_answers(), population(six_answers())
    rows = sample_pairs(world, 200, seed=0)  # WDPO parts from DPO only where labels are not exactly Bradley-Terry
    for name, seen, at_limit, away in (
        ("KLDPO", data, {"tau": 1e6}, {"tau": 0.5}),
        ("WDPO", rows, {"rho": 0}, {"rho": 1}),
    ):
        dpo = METHODS["DPO-helpful"](world, seen, beta=0.5, seed=0).logps
        assert tv(METHODS[name](world, seen, beta=0.5, seed=0, **at_limit).logps, dpo).item() < 1e-4
        assert tv(METHODS[name](world, seen, beta=0.5, seed=0, **away).logps, dpo).item() > 0.002


def test_kldpo_weights_are_those_of_the_published_code():
    """One step from the reference, where all losses but those of the weights are equal, equals DPO's; a second differs
    by exp((l - mean l) / tau), computed here from the losses themselves."""
    world, data, beta, tau = six_answers(), population(six_answers()), 0.5, 0.3
    lr = step_size(world, data, beta**2 / 4 * 10)
    ratio = torch.zeros(6).double()
    for _ in range(2):
        gap = ratio[data.chosen] - ratio[data.rejected]
        losses = torch.nn.functional.softplus(-beta * gap)
        mean = (losses * data.weight).sum() / data.weight.sum()
        pull = data.weight * ((losses - mean) / tau).exp().clamp(max=10) * beta * torch.sigmoid(-beta * gap)
        ratio = ratio + lr * (
            torch.zeros(6).double().index_add_(0, data.chosen, pull)
            - torch.zeros(6).double().index_add_(0, data.rejected, pull)
        )
    found = METHODS["KLDPO"](world, data, beta=beta, seed=0, tau=tau, steps=2, tolerance=1.0).logps
    torch.testing.assert_close(found, (world.ref_logps + ratio).log_softmax(-1))


def test_ipo_after_t_has_the_stated_optimum_and_keeps_unsafe_mass():
    world = six_answers()
    done = METHODS["IPO"](world, population(world), beta=0.5, seed=0, rule="safedpo")
    assert tv(done.logps, OPTIMA["IPO"](world, beta=0.5, rule="safedpo")).item() < 1e-9
    assert 0.01 < unsafe_mass(world, done.logps).item() < 0.2  # T alone does not forbid: the loss must have no maximum


def test_harmless_labels_that_are_certain_remove_unsafe_answers_and_bradley_terry_ones_do_not():
    world = six_answers()
    certain = METHODS["DPO-harmless"](world, population(world), beta=0.5, seed=0)
    soft = METHODS["DPO-harmless"](world, exact(world), beta=0.5, seed=0)
    assert unsafe_mass(world, certain.logps).item() < 1e-6 < 1e-3 < unsafe_mass(world, soft.logps).item()


def test_costs_are_counted():
    world = six_answers()
    rows = sample_pairs(world, 80, seed=1)
    done = METHODS["SafeDPO"](world, rows, beta=0.5, seed=0, delta=1.0, steps=500, tolerance=1.0)
    assert done.costs.labels == {"better": 80, "bits": 160}
    assert (done.costs.tables, done.costs.samples, done.costs.steps) == (1, 0, 500)
    assert done.costs.seconds > 0 and done.source.startswith("arXiv 2505.20065")
    assert METHODS["BFPO"](world, rows, beta=0.5, seed=0).costs.labels == {"better": 80, "bits": 160}
    assert METHODS["Delta only"](world, rows, beta=0.5, seed=0).costs.labels == {"better": 80, "bits": 160}
    assert METHODS["DPO-harmless"](world, rows, beta=0.5, seed=0, tolerance=1.0).costs.labels == {"safer": 80}


# IPO and BFPO are quadratic: on the complete graph the step 1/L is Newton's, and one step is enough.
@pytest.mark.parametrize("name", sorted({*PAIRWISE, "cDPO", "KLDPO"} - {"IPO", "BFPO"}))
def test_too_few_steps_are_reported_with_the_gradient_norm_and_the_method(name):
    world = six_answers()
    title = METHODS[name](world, exact(world), beta=0.5, seed=0, tolerance=1e9).method  # ends at its first step
    with pytest.raises(NotConvergedError, match=rf"^{title} at beta=.* has not converged after 3 steps.*norm") as error:
        METHODS[name](world, exact(world), beta=0.5, seed=0, steps=3)
    assert error.value.gradient_norm > 0


def test_divergence_names_the_method_and_the_step(monkeypatch):
    monkeypatch.setattr(outcome_module, "step_size", lambda *_: 1e306)
    with pytest.raises(DivergedError, match=r"IPO at beta=0\.5 diverged at step \d+") as error:
        METHODS["IPO"](six_answers(), population(six_answers()), beta=0.5, seed=0)
    assert error.value.step >= 1


def test_a_larger_step_than_two_over_l_diverges_and_ours_does_not():
    world, data = six_answers(), population(six_answers())
    best = step_size(world, data, 2.0)
    with pytest.raises(UserError, match="diverged"):
        fit(world, data, loss="ipo", beta=0.5, steps=20_000, lr=2.2 * best)
    assert fit(world, data, loss="ipo", beta=0.5, steps=300, lr=best).gradient_norm.item() < 1e-6


# ------------------------------------------------------------------ label noise, to the printed digits of method.md 1.5


def trained_margin(world, pairs, deltas, steps=6000):
    runs = fit(world, pairs, beta=1.0, delta=deltas, steps=steps, lr=4.0, record=[steps], tolerance=1e-7)
    ratio = runs.policy[0, :, 0, 0] - world.ref_logps[0]
    return (ratio[:, 0] - ratio[:, 1]).tolist()


def two_answers(p):
    lead = torch.tensor(p).double().logit().item()
    return FiniteWorld(torch.tensor([[0.4, 0.6]]).log(), [[lead, 0.0]], [[False, True]])


DELTAS = [0.0, 2.0, 5.0, 10.0, 20.0]
PER_PAIR = [2.1972, 4.0820, 7.0794, 12.0794, 22.0794]
PER_BIT = {0.3: [2.4394, 4.3301, 7.3130, 12.3121, 22.3121], 0.5: [2.7438, 4.6366, 7.6202, 12.6194, 22.6194]}


def test_noise_optima_per_pair():
    noisy = flip_bits(population(two_answers(0.3)), 0.1, together=True).transform()
    assert trained_margin(two_answers(0.3), noisy, DELTAS) == pytest.approx(PER_PAIR, abs=5e-5)
    assert [pair_flip_margin(0.1, d) for d in DELTAS] == pytest.approx(PER_PAIR, abs=5e-5)


@pytest.mark.parametrize("p", PER_BIT)
def test_noise_optima_per_response(p):
    noisy = flip_bits(population(two_answers(p)), 0.1).transform()
    assert trained_margin(two_answers(p), noisy, DELTAS) == pytest.approx(PER_BIT[p], abs=5e-5)
    assert [bit_flip_margin(0.1, p, d) for d in DELTAS] == pytest.approx(PER_BIT[p], abs=5e-5)


def test_optima_do_not_depend_on_the_level_of_the_reward():
    """Bradley-Terry never sees a constant: an optimum that does would not be one."""
    world = six_answers()
    shifted = FiniteWorld(world.ref_logps, world.reward + 3.0, world.unsafe, world.cost)
    for name in PAIRWISE:
        assert tv(OPTIMA[name](world, beta=0.5), OPTIMA[name](shifted, beta=0.5)).item() < 1e-12
    assert tv(lagrangian_policy(world, 1.0, 0.5), optimal_policy(world, 0.5)).item() > 1e-3
