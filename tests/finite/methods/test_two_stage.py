"""Methods with two stages end at their stated optima, and the identities between them hold."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from safedpo.errors import UserError
from safedpo.finite import NotConvergedError, optimal_policy, population, random_world, six_answers, tv, unsafe_mass
from safedpo.finite.methods import METHODS, OPTIMA, InfeasibleLimitError, lagrangian_policy, pd_dpo_loss, safer_by_cost
from safedpo.losses import dpo_loss

WORLDS = {"six": six_answers(), "random": random_world(5, prompts=3, answers=5)}


def exact(world):
    return safer_by_cost(world, population(world))


CASES = [
    ("SACPO", {"lam": 0.5}),
    ("SACPO", {"lam": 3.0}),
    ("P-SACPO", {"lam": 4.0, "q": 0.25}),
    ("P-SACPO", {"lam": 4.0, "q": 0.75}),
    ("MODPO", {"weight": 0.3}),
    ("MODPO", {"weight": 0.9}),
]


@pytest.mark.parametrize("which", WORLDS)
@pytest.mark.parametrize(("name", "own"), CASES)
def test_ends_at_its_stated_optimum(name, own, which):
    world = WORLDS[which]
    done = METHODS[name](world, exact(world), beta=0.3, seed=0, **own)
    assert tv(done.logps, OPTIMA[name](world, beta=0.3, **own)).max() < 1e-3
    assert done.costs.tables == 2 and done.costs.labels == {kind: len(exact(world)) for kind in ("better", "safer")}


def test_the_optima_are_the_tilts_that_their_papers_state():
    """By brute force over the table: weights multiplied one by one, then normalised."""
    world, beta = six_answers(), 0.5
    rows = [
        [q, r, c]
        for q, r, c in zip(
            world.ref_logps.exp()[0].tolist(), world.reward[0].tolist(), world.cost[0].tolist(), strict=True
        )
    ]

    def tilt(score):
        weights = [q * torch.tensor(score(r, c) / beta).exp().item() for q, r, c in rows]
        return torch.tensor([[w / sum(weights) for w in weights]]).double()

    found = {
        name: OPTIMA[name](world, beta=beta, **own).exp()
        for name, own in (("SACPO", {"lam": 2.0}), ("P-SACPO", {"lam": 2.0, "q": 0.25}), ("MODPO", {"weight": 0.3}))
    }
    torch.testing.assert_close(found["SACPO"], tilt(lambda r, c: r - 2 * c), atol=1e-6, rtol=0)
    torch.testing.assert_close(found["P-SACPO"], tilt(lambda r, c: r - 0.5 * c), atol=1e-6, rtol=0)
    torch.testing.assert_close(found["MODPO"], tilt(lambda r, c: 0.3 * r - 0.7 * c), atol=1e-6, rtol=0)


number = st.floats(-30, -0.01)


@given(st.tuples(*[number] * 6), st.floats(0.05, 2), st.floats(0.1, 10))
def test_pd_dpo_is_the_second_stage_of_sacpo(columns, beta, lam):
    costlier, cheaper, helpful_costlier, helpful_cheaper, ref_costlier, ref_cheaper = (
        torch.tensor([c]).double() for c in columns
    )
    theirs = pd_dpo_loss(
        costlier, cheaper, helpful_costlier, helpful_cheaper, ref_costlier, ref_cheaper, beta=beta, lam=lam
    )
    ours = dpo_loss(cheaper, costlier, helpful_cheaper, helpful_costlier, beta=beta / lam)
    torch.testing.assert_close(theirs, ours, atol=1e-10, rtol=1e-10)


def test_pd_dpo_ends_where_sacpo_does_at_its_lambda_and_meets_its_limit():
    world = six_answers()
    done = METHODS["PD-DPO"](world, exact(world), beta=0.5, seed=1, limit=0.1, samples=20_000)
    assert tv(done.logps, lagrangian_policy(world, done.multiplier, 0.5)).item() < 1e-3
    six_errors = 6 * (0.1 * 0.9 / 20_000) ** 0.5
    assert abs(unsafe_mass(world, done.logps).item() - 0.1) < 0.01 + six_errors
    assert done.costs.samples == 20_000 * len(done.history)


def test_pd_dpo_refuses_a_limit_of_zero_and_reports_a_loop_that_ends_too_soon():
    world = six_answers()
    with pytest.raises(InfeasibleLimitError, match="at or below 0: the best attainable is 0"):
        METHODS["PD-DPO"](world, exact(world), beta=0.5, seed=0, limit=0.0)
    with pytest.raises(NotConvergedError, match="PD-DPO's loop over lambda.*after 2 rounds: its distance"):
        METHODS["PD-DPO"](world, exact(world), beta=0.5, seed=0, limit=0.01, rounds=2)


def test_sacpo_with_certain_safer_labels_forbids_like_safedpo():
    """The kit's own pairs call the safe answer of a mixed pair surely safer: then its unsafe mass vanishes too."""
    world = six_answers()
    certain = METHODS["SACPO"](world, population(world), beta=0.5, seed=0, lam=1.0)
    soft = METHODS["SACPO"](world, exact(world), beta=0.5, seed=0, lam=1.0)
    assert unsafe_mass(world, certain.logps).item() < 1e-6
    assert unsafe_mass(world, soft.logps).item() > 0.02
    # and yet it is not pi*: among safe answers it still trades reward for (negative) cost
    assert tv(certain.logps, optimal_policy(world, 0.5)).item() > 0.1


def test_pecan_needs_beta_in_front_of_its_log_ratios():
    """PeCAN relabels under w = beta (log-ratio of the helpful + lambda log-ratio of the safe policy); without the beta
    the target of its DPO is another policy."""
    world, beta, lam = six_answers(), 0.5, 0.2
    helpful = OPTIMA["DPO-helpful"](world, beta=beta) - world.ref_logps
    safe = OPTIMA["DPO-harmless"](world, beta=beta) - world.ref_logps
    w = helpful + lam * safe

    def target(scores):
        return (world.ref_logps + scores / beta).log_softmax(-1)

    assert tv(target(beta * w), lagrangian_policy(world, lam, beta)).item() < 1e-12
    assert tv(target(w), lagrangian_policy(world, lam, beta)).item() > 0.05


def test_bad_input_is_named():
    world = six_answers()
    for name, own, words in (
        ("SACPO", {"lam": 0.0}, "lambda is 0"),
        ("MODPO", {"weight": 0.0}, "weight is 0"),
        ("MODPO", {"weight": 1.2}, "weight is 1.2"),
    ):
        with pytest.raises(UserError, match=words):
            METHODS[name](world, exact(world), beta=0.5, seed=0, **own)
    with pytest.raises(NotConvergedError, match="SACPO, helpful stage"):
        METHODS["SACPO"](world, exact(world), beta=0.5, seed=0, steps=2)
