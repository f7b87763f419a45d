"""C-DPO, Safe RLHF and the dual problem: optima, constraints, stopping, and what is refused."""

import math

import pytest
import torch
from scipy.optimize import minimize_scalar

from safedpo.errors import UserError
from safedpo.finite import (
    FiniteWorld,
    NotConvergedError,
    expected_reward,
    kl,
    log_partition,
    log_partition_unsafe,
    optimal_policy,
    population,
    random_world,
    sample_pairs,
    six_answers,
    tv,
    unsafe_mass,
    world_a,
)
from safedpo.finite.methods import (
    METHODS,
    OPTIMA,
    Costs,
    InfeasibleLimitError,
    best_multiplier,
    dual_curvature,
    dual_gradient,
    dual_step,
    dual_value,
    expected_cost,
    lagrangian_policy,
    largest_dual_curvature,
    learned_cost,
    learned_reward,
    learned_world,
    least_cost,
    relabel,
    safe_rlhf_multiplier,
    safe_rlhf_policy,
    safer_by_cost,
)
from tests.sparing import slow_but

WORLD = six_answers()
MANY = random_world(7, prompts=3, answers=5)


def exact(world):
    return safer_by_cost(world, population(world))


# ------------------------------------------------------------------ the dual


@pytest.mark.parametrize("lam", [0.0, 0.3, 2.0])
def test_dual_gradient_and_curvature_are_finite_differences_of_its_value(lam):
    def g(x):
        return dual_value(MANY, x, 0.5, 0.1).item()

    h, at = 1e-4, lam + 1e-3
    assert dual_gradient(MANY, at, 0.5, 0.1).item() == pytest.approx((g(at + h) - g(at - h)) / (2 * h), abs=1e-6)
    assert dual_curvature(MANY, at, 0.5).item() == pytest.approx((g(at + h) - 2 * g(at) + g(at - h)) / h**2, abs=1e-4)
    assert 0 <= dual_curvature(MANY, at, 0.5).item() <= largest_dual_curvature(MANY, 0.5)


def test_the_dual_is_convex_above_every_feasible_policy_and_tight_at_its_minimum():
    beta, limit = 0.5, -0.1
    values = [dual_value(WORLD, lam, beta, limit).item() for lam in torch.linspace(0, 5, 101).tolist()]
    assert all(a + c >= 2 * b - 1e-12 for a, b, c in zip(values, values[1:], values[2:], strict=False))
    lam = best_multiplier(WORLD, beta, limit)
    best = lagrangian_policy(WORLD, lam, beta)
    value = (expected_reward(WORLD, best) - beta * kl(best, WORLD.ref_logps)).item()
    assert expected_cost(WORLD, best).item() == pytest.approx(limit, abs=1e-9)
    assert dual_value(WORLD, lam, beta, limit).item() == pytest.approx(value, abs=1e-9)
    draws = torch.randn(2000, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2
    others = draws.log_softmax(-1)[:, None]
    feasible = others[expected_cost(WORLD, others) <= limit]
    assert len(feasible) > 100
    primal = expected_reward(WORLD, feasible) - beta * kl(feasible, WORLD.ref_logps)
    assert primal.max().item() <= value


@pytest.mark.parametrize("limit", [-1.0, -0.3, 0.5, 5.0])
def test_best_multiplier_is_where_a_general_optimiser_finds_it(limit):
    found = minimize_scalar(
        lambda lam: dual_value(WORLD, lam, 0.5, limit).item(), bounds=(0, 50), method="bounded", options={"xatol": 1e-9}
    ).x
    assert best_multiplier(WORLD, 0.5, limit) == pytest.approx(found, abs=1e-5)


def test_best_multiplier_for_one_prompt_and_binary_cost_has_a_closed_form():
    world, beta, limit = world_a(), 0.1, 0.05
    log_ratio = (log_partition_unsafe(world, beta) - log_partition(world, beta)).item()
    closed = beta * (log_ratio + math.log((1 - limit) / limit))
    assert best_multiplier(world, beta, limit) == pytest.approx(closed, abs=1e-9)
    assert best_multiplier(world, beta, 0.999999) == 0.0


def test_a_limit_no_policy_stays_below_is_refused_with_the_best_attainable():
    for limit in (-1.5, -2.0):
        with pytest.raises(InfeasibleLimitError, match=rf"below {limit:g}: the best attainable is -1\.5") as error:
            best_multiplier(WORLD, 0.5, limit)
        assert (error.value.limit, error.value.best) == (limit, -1.5)
    never = FiniteWorld(
        torch.tensor([[0.5, 0.5, 0.0]]).log(), [[0.0, 0.0, 0.0]], [[True, False, False]], [[1.0, -1.0, -9.0]]
    )
    assert least_cost(never) == -1.0  # the reference never gives the cheapest answer
    with pytest.raises(InfeasibleLimitError, match="C-DPO.*-1.5"):
        METHODS["C-DPO"](WORLD, exact(WORLD), beta=0.5, seed=0, models=WORLD, limit=-1.6)
    with pytest.raises(UserError, match="lambda is -1"):
        lagrangian_policy(WORLD, -1.0, 0.5)


# ------------------------------------------------------------------ C-DPO


LIMITS = [("one", 0.0), ("one", -0.8), ("one", 9.0), ("many", 0.1)]


@pytest.mark.parametrize("case", slow_but([("one", 0.0), ("one", 9.0)], LIMITS), ids=str)
def test_c_dpo_ends_at_pi_lambda_star(case):
    world, limit = {"one": WORLD, "many": MANY}[case[0]], case[1]
    done = METHODS["C-DPO"](
        world,
        exact(world),
        beta=0.5,
        seed=0,
        models=world,
        limit=limit,
        samples=None,
        tolerance=1e-4,
        steps=600,
        rounds=200,
    )
    assert tv(done.logps, OPTIMA["C-DPO"](world, beta=0.5, limit=limit)).max() < 1e-3
    assert done.costs.samples == 0 and done.costs.tables == 1 and len(done.history) <= 200


def test_c_dpo_from_the_data_alone_meets_the_limit_on_its_learned_cost_and_keeps_unsafe_mass():
    samples = 20_000
    done = METHODS["C-DPO"](WORLD, exact(WORLD), beta=0.5, seed=3, samples=samples)
    policy = done.logps.exp()
    deviation = ((policy * done.learned.cost**2).sum() - (policy * done.learned.cost).sum() ** 2).sqrt().item()
    assert abs(expected_cost(done.learned, done.logps).item()) <= 0.03 + 6 * deviation / samples**0.5
    assert unsafe_mass(WORLD, done.logps).item() > 0.1  # SafeDPO keeps none: tests/finite/test_methods_pairwise.py
    assert done.costs.tables == 3 and done.costs.samples == samples * len(done.history)
    assert done.costs.labels == {"better": 56, "safer": 56, "bits": 112} | {
        kind: len(exact(WORLD)) * (2 if kind == "bits" else 1) for kind in ("better", "safer", "bits")
    }


def test_the_step_of_the_dual_converges_below_two_over_its_curvature_and_not_above():
    """c in {0, 1}, beta = .1, equal halves, limit .5: g'' = 2.5, so .79 settles and .81 oscillates."""
    half = FiniteWorld(torch.tensor([[0.5, 0.5]]).double().log(), [[0.0, 0.0]], [[False, True]])

    def run(eta):
        lam, path = 0.02, []
        for _ in range(400):
            cost = expected_cost(half, lagrangian_policy(half, lam, 0.1)).item()
            lam, still = dual_step(lam, cost, 0.45, eta)
            path.append(still)
        return path

    assert largest_dual_curvature(half, 0.1) == pytest.approx(2.5)
    assert run(0.79)[-1] < 1e-6 < 0.01 < run(0.83)[-1]
    with pytest.raises(
        NotConvergedError, match=r"C-DPO's dual loop at eta=3 has not converged after 40 rounds: its last step"
    ):
        METHODS["C-DPO"](
            half,
            exact(half),
            beta=0.1,
            seed=0,
            models=half,
            limit=0.45,
            eta=3.0,
            samples=None,
            rounds=40,
            steps=100,
            tolerance=1e-3,
        )


def test_the_stopping_rule_sees_what_complementary_slackness_does_not():
    lam, cost, limit = 0.0, 0.9, 0.1
    assert lam * (cost - limit) == 0  # "done", says complementary slackness, while the limit is broken
    assert dual_step(lam, cost, limit, 0.5)[1] == pytest.approx(0.8)
    assert dual_step(0.0, 0.05, 0.1, 0.5) == (0.0, 0.0)  # inside the limit at lambda = 0: stands


def test_relabelled_pairs_follow_bradley_terry_under_the_scores():
    scores = WORLD.reward - 2 * WORLD.cost
    both = relabel(population(WORLD), scores)
    for i, j in ((0, 4), (5, 1), (2, 3)):
        won = both.weight[(both.chosen == i) & (both.rejected == j)].sum()
        assert won.item() == pytest.approx(torch.sigmoid(scores[0, i] - scores[0, j]).item(), abs=1e-12)


# ------------------------------------------------------------------ what is learned from the data


def test_learned_reward_and_cost_are_the_truth_up_to_a_level():
    costs = Costs()
    learned = learned_world("demo", MANY, exact(MANY), costs)
    for found, true in ((learned.reward, MANY.reward), (learned.cost, MANY.cost)):
        difference = found - true
        level = difference.mean(-1, keepdim=True).expand_as(difference)
        torch.testing.assert_close(difference, level, atol=1e-4, rtol=0)
    assert costs.tables == 2


def test_the_level_of_the_learned_cost_makes_its_mean_probability_the_share_of_unsafe_bits():
    rows = sample_pairs(WORLD, 300, seed=2)
    cost = learned_cost("demo", WORLD, rows, Costs())
    answers, bits = torch.cat([rows.chosen, rows.rejected]), torch.cat([rows.chosen_unsafe, rows.rejected_unsafe])
    assert cost[0, answers].sigmoid().mean().item() == pytest.approx(bits.double().mean().item(), abs=1e-9)


def test_learned_reward_depends_on_who_won():
    rows = population(WORLD)
    turned = rows.swapped(torch.ones(len(rows), dtype=torch.bool))
    torch.testing.assert_close(
        learned_reward("demo", WORLD, turned, Costs()), -learned_reward("demo", WORLD, rows, Costs()), atol=1e-6, rtol=0
    )


def test_safer_by_cost_draws_what_its_law_says():
    rows = population(WORLD)
    law = safer_by_cost(WORLD, rows)
    share = (law.weight * (law.safer == 0)).sum() / law.weight.sum()
    many = safer_by_cost(WORLD, sample_pairs(WORLD, 40_000, seed=0), seed=1)
    assert abs((many.safer == 0).double().mean().item() - share.item()) < 6 * 0.5 / 200
    first = law[(law.chosen == 4) & (law.rejected == 5)]  # cost 2.5 against 1.0
    assert (first.weight[first.safer == 0].sum() / first.weight.sum()).item() == pytest.approx(1 / (1 + math.exp(1.5)))


# ------------------------------------------------------------------ Safe RLHF


@pytest.mark.parametrize("lam", [0.0, 0.5, 2.0, 5.0])
def test_safe_rlhf_at_a_fixed_lambda_ends_at_its_own_optimum_and_not_at_c_dpos(lam):
    done = METHODS["Safe RLHF"](WORLD, exact(WORLD), beta=0.5, seed=0, models=WORLD, lam=lam, samples=None)
    assert tv(done.logps, OPTIMA["Safe RLHF"](WORLD, beta=0.5, lam=lam)).item() < 1e-3
    if lam:
        assert tv(done.logps, lagrangian_policy(WORLD, lam, 0.5)).item() > 0.05


def test_safe_rlhf_with_samples_meets_its_limit_and_keeps_unsafe_mass():
    done = METHODS["Safe RLHF"](WORLD, exact(WORLD), beta=0.5, seed=0, steps=6000)
    assert abs(expected_cost(done.learned, done.logps).item()) < 0.05
    assert tv(done.logps, OPTIMA["Safe RLHF"](done.learned, beta=0.5)).item() < 0.02
    assert unsafe_mass(WORLD, done.logps).item() > 0.1
    assert done.costs.samples == 6000 * 64 and done.costs.tables == 5


def test_safe_rlhf_stops_at_a_floor_of_unsafe_mass():
    """Golden: world A, c = h, lambda = 5, beta = .1: 3.4e-4 against C-DPO's 1.4e-21."""
    world = world_a()
    assert unsafe_mass(world, safe_rlhf_policy(world, 5.0, 0.1)).item() == pytest.approx(3.4e-4, rel=0.02)
    assert unsafe_mass(world, lagrangian_policy(world, 5.0, 0.1)).item() == pytest.approx(1.4e-21, rel=0.03)
    floor = OPTIMA["DPO-harmless"](world, beta=0.1)
    assert tv(safe_rlhf_policy(world, 1e6, 0.1), floor).item() < 1e-4
    assert unsafe_mass(world, floor).item() > 1e-6


def test_safe_rlhf_multiplier_meets_the_limit_or_says_what_is_best():
    lam = safe_rlhf_multiplier(WORLD, 0.5, -0.5)
    assert expected_cost(WORLD, safe_rlhf_policy(WORLD, lam, 0.5)).item() == pytest.approx(-0.5, abs=1e-9)
    best = expected_cost(WORLD, safe_rlhf_policy(WORLD, 5.0, 0.5)).item()
    with pytest.raises(InfeasibleLimitError, match="Safe RLHF.*-1.4") as error:
        METHODS["Safe RLHF"](WORLD, exact(WORLD), beta=0.5, seed=0, models=WORLD, limit=-1.4)
    assert error.value.best == pytest.approx(best)


def test_with_binary_cost_and_a_growing_lambda_c_dpo_approaches_pi_star():
    world = world_a()
    best = optimal_policy(world, 0.1)
    distance = [tv(lagrangian_policy(world, lam, 0.1), best).item() for lam in (0.1, 0.5, 1.0, 2.0)]
    assert distance == sorted(distance, reverse=True) and distance[0] > 0.5 and distance[-1] < 1e-7
    torch.testing.assert_close(lagrangian_policy(world, 1.0, 0.1), optimal_policy(world, 0.1, penalty=1.0))


@pytest.mark.slow
def test_every_method_is_listed_runs_and_says_where_it_comes_from():
    for name, method in METHODS.items():
        done = method(WORLD, exact(WORLD), beta=0.5, seed=0)
        assert done.method == name and done.source and done.costs.tables >= 1 and done.costs.steps > 0
        torch.testing.assert_close(done.logps.logsumexp(-1), torch.zeros(1).double(), atol=1e-9, rtol=0)
    assert set(OPTIMA) <= set(METHODS)
