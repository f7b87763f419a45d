"""The methods of the wider field as programs: each ends where it says, counts what it used, and names bad input."""

import pytest
import torch

from safedpo.errors import UserError
from safedpo.finite import FiniteWorld, NotConvergedError, optimal_policy, population, random_world, six_answers, tv
from safedpo.finite.methods import (
    METHODS,
    OPTIMA,
    InfeasibleLimitError,
    NoSolutionError,
    bso_loss,
    expected_cost,
    pointwise_information,
    safer_by_cost,
    safety_test,
    stable_po_optimum,
    winner_weight,
)
from safedpo.finite.methods.pairwise.categories import category_step

WORLD, BETA = random_world(3, prompts=3, answers=5), 0.5
PAIRS = safer_by_cost(WORLD, population(WORLD))


@pytest.mark.parametrize(
    ("name", "own", "far"),
    [
        ("Stable PO", {"steps": 400}, 1e-5),
        ("Stable PO", {"steps": 400, "gamma": 2.0}, 1e-6),
        ("APO", {"rounds": 500}, 1e-4),
        ("APO", {"rounds": 400, "human_pairs": False}, 1e-6),
        ("BSO", {}, 1e-3),
        ("BSO", {"generator": "sba"}, 1e-6),
        ("Cat-DPO", {}, 1e-2),
        ("RePO", {"models": WORLD, "limit": 0.3, "samples": None, "tolerance": 1e-3}, 1e-3),
        ("MoCAN", {"models": WORLD, "limit": 0.0, "samples": None}, 1e-6),
        ("PeCAN", {"limit": -0.2, "samples": None}, 1e-6),
        ("CS-RLHF", {"models": WORLD, "limit": -0.2, "samples": None}, 0.02),
    ],
)
def test_each_ends_at_its_stated_optimum(name, own, far):
    done = METHODS[name](WORLD, PAIRS, beta=BETA, seed=0, **own)
    stated = {key: value for key, value in own.items() if key in ("limit", "gamma", "human_pairs")}
    assert tv(done.logps, OPTIMA[name](WORLD, beta=BETA, **stated)).max() < far
    assert done.source and done.costs.tables >= 1 and done.costs.steps > 0


def test_one_generator_is_safedpo_to_the_last_bit():
    bso, safedpo = (
        METHODS[name](WORLD, PAIRS, beta=BETA, seed=0, delta=3.0, steps=200, tolerance=1.0)
        for name in ("BSO", "SafeDPO")
    )
    torch.testing.assert_close(bso.logps, safedpo.logps, rtol=0, atol=1e-10)


@pytest.mark.parametrize("sign", [1, -1])
def test_b_dpo_ends_where_its_weighted_gaps_agree(sign):
    world = random_world(5, prompts=2, answers=2)
    done = METHODS["B-DPO"](world, population(world), beta=1.0, seed=0, sign=sign, scale=1.3, steps=2000)
    ratio, information = done.logps - world.ref_logps, pointwise_information(world)
    first = 2 * (sign * (information[:, 0] - information[:, 1])).sigmoid()
    margin = 1.3 * (first * ratio[:, 0] - (2 - first) * ratio[:, 1])
    torch.testing.assert_close(margin, world.reward[:, 0] - world.reward[:, 1], rtol=0, atol=3e-2)
    assert (first - 1).abs().max() > 0.05  # the two weights really differ


def test_samples_are_counted_and_serve():
    for name, own in (
        ("MoCAN", {"limit": 0.0}),
        ("RePO", {"limit": 0.3, "samples": 2000}),
        ("APO", {"samples": 8, "rounds": 200}),
    ):
        models = {} if name == "APO" else {"models": WORLD}
        done = METHODS[name](WORLD, PAIRS, beta=BETA, seed=0, **own, **models)
        assert done.costs.samples > 0
    assert METHODS["MoCAN"](WORLD, PAIRS, beta=BETA, seed=0, limit=0.0).costs.tables == 3  # reward, cost, policy


def test_more_gamma_keeps_more_of_the_winners():
    world = six_answers()
    wins = winner_weight(world, population(world))
    nll = [-(wins * stable_po_optimum(world, beta=0.1, gamma=gamma)).sum().item() for gamma in (0.0, 0.1, 1.0, 10.0)]
    assert nll == sorted(nll, reverse=True)


def test_hc_rlhf_hands_out_what_passes_and_nothing_else():
    world = six_answers()
    pairs = safer_by_cost(world, population(world))
    done = METHODS["HC-RLHF"](world, pairs, beta=BETA, seed=0, limit=0.4, tolerance=0.1)
    assert expected_cost(world, done.logps) <= 0.4 and done.history[-1]["bound"] <= 0.4
    with pytest.raises(NoSolutionError, match="no solution"):
        METHODS["HC-RLHF"](world, pairs, beta=BETA, seed=0, limit=-0.5, tolerance=10.0, rounds=1)


def test_the_safety_test_is_wrong_as_seldom_as_it_says():
    world = FiniteWorld(torch.tensor([[0.5, 0.5]]).log(), [[0.0, 0.0]], torch.tensor([[False, True]]))
    passed = [safety_test(world, world.ref_logps, limit=0.5, samples=100, alpha=0.2, seed=s).passed for s in range(400)]
    assert sum(passed) <= 80  # at most alpha of them
    assert safety_test(world, optimal_policy(world, 1.0), limit=0.3, samples=100).passed


@pytest.mark.parametrize(
    ("name", "own", "says"),
    [
        ("B-DPO", {"sign": 2}, "sign is 2"),
        ("B-DPO", {"temperature": 0.0}, "temperature is 0.0"),
        ("Stable PO", {"gamma": -1.0}, "gamma is -1.0"),
        ("APO", {"comparison": "both"}, "comparison is 'both'"),
        ("BSO", {"generator": "cubic"}, "generator is 'cubic'"),
        ("Cat-DPO", {"categories": torch.zeros(1, 5, dtype=torch.long)}, "categories is torch.int64 of shape"),
        ("CS-RLHF", {"lam": -1.0}, "lambda is -1.0"),
        ("HC-RLHF", {"alpha": 0.0}, "alpha is 0.0"),
    ],
)
def test_bad_settings_are_one_sentence(name, own, says):
    with pytest.raises(UserError, match=says):
        METHODS[name](WORLD, PAIRS, beta=BETA, seed=0, **own)


def test_infeasible_limits_name_the_prompt():
    with pytest.raises(InfeasibleLimitError, match=r"RePO, prompt \d"):
        METHODS["RePO"](WORLD, PAIRS, beta=BETA, seed=0, limit=-0.9, models=WORLD)


def test_not_enough_steps_are_reported():
    for name, own in (
        ("Stable PO", {"steps": 1}),
        ("APO", {"rounds": 1}),
        ("Cat-DPO", {"rounds": 1, "target": 0.0, "samples": 10**5, "steps": 1}),
    ):
        with pytest.raises(NotConvergedError):
            METHODS[name](WORLD, PAIRS, beta=BETA, seed=0, **own)


def test_a_margin_rises_only_above_its_target():
    moved = category_step(torch.tensor([1.0, 1.0, 0.0]).double(), torch.tensor([0.3, 0.0, 0.0]).double(), 0.1, 1.0)
    torch.testing.assert_close(moved, torch.tensor([1.2, 0.9, 0.0]).double())


def test_losses_survive_the_ends():
    assert bso_loss(torch.tensor([-500.0, 500.0]).double()).isfinite().all()
