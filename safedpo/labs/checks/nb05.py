"""Notebook 05: the dual step of C-DPO, SACPO as two DPO steps, reading the Pareto figure."""

import functools
import inspect
import math
from collections.abc import Callable
from unittest.mock import patch

import torch
from torch import Tensor

from safedpo.labs.checking import Exercise
from safedpo.labs.checks.exercises import nb05 as further
from safedpo.labs.checks.exercises import numbers
from safedpo.labs.predictions import Question

# lambda, estimated cost, limit, eta: rising, falling, cut at 0, standing at 0 while infeasible by its measure
STEPS = (
    (0.5, 0.4, 0.1, 0.25),
    (2.0, -0.3, 0.2, 0.4),
    (0.05, -1.0, 0.0, 0.3),
    (0.0, -0.2, 0.1, 0.5),
    (0.0, 0.7, 0.2, 0.8),
)


def _tables(reference: list[float], reward: list[float], cost: list[float]) -> tuple[Tensor, ...]:
    return torch.tensor([reference]).double().log(), torch.tensor([reward]).double(), torch.tensor([cost]).double()


TABLES = (
    (*_tables([0.5, 0.3, 0.2], [1.0, 0.2, 1.5], [-0.5, -1.0, 2.0]), 0.5, 2.0),
    (*_tables([0.2, 0.5, 0.3], [0.4, -0.3, 0.9], [0.7, -0.6, 1.2]), 0.8, 0.0),  # no price: the first step alone
    (*_tables([0.1, 0.2, 0.3, 0.4], [0.3, -0.7, 1.1, 0.6], [0.4, -0.2, 1.0, -1.5]), 1.3, 0.4),
)


def step_by_cases(lam: float, cost: float, limit: float, eta: float) -> tuple[Tensor, Tensor]:
    """The new multiplier, and how far it moved over eta."""
    moved = lam + eta * (cost - limit)
    if moved < 0:
        moved = 0.0
    return _two(moved, abs(moved - lam) / eta)


def tilt_by_numbers(ref_logps: Tensor, reward: Tensor, cost: Tensor, beta: float, lam: float) -> Tensor:
    """pi_ref exp((r - lambda c) / beta) / Z, answer by answer."""
    rows = zip(ref_logps[0].tolist(), reward[0].tolist(), cost[0].tolist(), strict=True)
    weights = [math.exp(q) * math.exp((r - lam * c) / beta) for q, r, c in rows]
    total = math.fsum(weights)
    return torch.tensor([[math.log(weight / total) for weight in weights]], dtype=torch.float64)


def _two(a, b):
    return torch.tensor(float(a), dtype=torch.float64), torch.tensor(float(b), dtype=torch.float64)


def _up(x):
    return max(x, 0.0)


def _tilt(q, score):
    return (q + score).log_softmax(-1)


@functools.cache
def _at(lam: float, what: str) -> float:
    """Unsafe mass or expected reward of SACPO's optimum at lambda in the six-answer world at beta = 0.5, by hand."""
    from safedpo.finite import six_answers

    world = six_answers()
    policy = tilt_by_numbers(world.ref_logps, world.reward, world.cost, 0.5, lam).exp()[0]
    return (policy[world.unsafe[0]].sum() if what == "mass" else (policy * world.reward[0]).sum()).item()


LAMBDAS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.5, 2.5, 4.0, 6.0)  # the places of SACPO on the slider


def first_below_one_percent() -> Tensor:
    """The expected reward of SACPO at the first place of its slider with unsafe mass below 0.01."""
    return torch.tensor(_at(next(lam for lam in LAMBDAS if _at(lam, "mass") < 0.01), "reward"))


def _star():
    from safedpo.finite import expected_reward, optimal_policy, six_answers

    return expected_reward(six_answers(), optimal_policy(six_answers(), 0.5)).squeeze()


def in_two_steps(function: Callable) -> str | None:
    """The lesson is that two DPO runs do it: `dpo_optimum` is called twice, the second time from the first one's end."""
    calls: list[tuple[Tensor, Tensor]] = []

    def watched(reference: Tensor, scores: Tensor, beta: float) -> Tensor:
        calls.append((reference, (reference + scores / beta).log_softmax(-1)))
        return calls[-1][1]

    function = inspect.unwrap(function)  # what stands around it looks for calls of the kit, and finds our own
    space = getattr(function, "__globals__", {})
    with patch.dict(space, {"dpo_optimum": watched}):
        function(*(a.clone() if isinstance(a, Tensor) else a for a in TABLES[0]))
    if len(calls) != 2 or calls[1][0] is not calls[0][1]:
        return (
            "One tilt gives these numbers too, but SACPO takes two: call dpo_optimum twice, and let the second call start "
            "from the result of the first."
        )
    return None


EXERCISES = {
    "dual_update": Exercise(
        gives="the new lambda and the length of its step over eta",
        cases=STEPS,
        right=step_by_cases,
        draw=numbers.dual_update,
        mistakes={
            "The sign: λ is the price of cost, so it *rises* where the cost is above its limit.": lambda m, c, d, e: (
                _two(_up(m - e * (c - d)), abs(_up(m - e * (c - d)) - m) / e)
            ),
            "λ became negative: a negative price would reward harm. Cut at 0.": lambda m, c, d, e: _two(
                m + e * (c - d), abs(c - d)
            ),
            "The measure forgets the cut: at λ = 0 and within the limit nothing moves, so it is 0.": lambda m, c, d, e: (
                _two(_up(m + e * (c - d)), abs(c - d))
            ),
            "That measure is complementary slackness, λ(cost − limit): it is 0 at λ = 0, however far the limit "
            "is broken.": lambda m, c, d, e: _two(_up(m + e * (c - d)), abs(m * (c - d))),
            "The step is not divided by eta: a tiny eta would look like convergence.": lambda m, c, d, e: _two(
                _up(m + e * (c - d)), abs(_up(m + e * (c - d)) - m)
            ),
            "eta is missing from the step.": lambda m, c, d, e: _two(_up(m + c - d), abs(_up(m + c - d) - m) / e),
            "The limit is missing: the price stands still where the cost *equals its limit*, not where it is 0.": lambda m, c, d, e: (
                _two(_up(m + e * c), abs(_up(m + e * c) - m) / e)
            ),
            "That is Safe RLHF's rule (log λ moves); C-DPO adds.": lambda m, c, d, e: _two(
                m * math.exp(e * (c - d) * m), abs(m * math.exp(e * (c - d) * m) - m) / e
            ),
            "Only rises are allowed here; where the cost is below its limit the price may fall.": lambda m, c, d, e: (
                _two(m + e * _up(c - d), _up(c - d))
            ),
            "The old λ is missing: this is one step from 0.": lambda m, c, d, e: _two(
                _up(e * (c - d)), abs(_up(e * (c - d)) - m) / e
            ),
            "The measure has a sign; it is a length.": lambda m, c, d, e: _two(
                _up(m + e * (c - d)), (_up(m + e * (c - d)) - m) / e
            ),
        },
        hints=(
            "The slope of the dual is limit − cost. Descend on it, and stay at or above 0.",
            "moved = max(lam + eta * (cost - limit), 0). It stands still when moved equals lam.",
            "moved = max(lam + eta * (cost - limit), 0.0); return moved, abs(moved - lam) / eta",
        ),
    ),
    "sacpo_steps": Exercise(
        gives="log-probabilities of the policy after both steps, (P, A)",
        cases=TABLES,
        right=tilt_by_numbers,
        draw=numbers.sacpo_steps,
        mistakes={
            "The second temperature is β/λ, not β: λ is missing.": lambda q, r, c, b, m: _tilt(q, (r - c) / b),
            "The second temperature is inverted: a larger λ must cost more. It is β/λ.": lambda q, r, c, b, m: _tilt(
                q, r / b - c / (b * m)
            ),
            "Safer means *cheaper*: the second step prefers −cost.": lambda q, r, c, b, m: _tilt(q, (r + m * c) / b),
            "The second step starts from π_ref again: its reference is the result of the first, or helpfulness "
            "is lost.": lambda q, r, c, b, m: _tilt(q, -m * c / b),
            "The second step is missing.": lambda q, r, c, b, m: _tilt(q, r / b),
            "The first step has no reference: start from π_ref.": lambda q, r, c, b, m: _tilt(
                torch.zeros_like(q), (r - m * c) / b
            ),
            "The second temperature is λ; it is β/λ.": lambda q, r, c, b, m: _tilt(q, r / b - c / m),
            "λ stands in the first step too; it belongs to the second alone.": lambda q, r, c, b, m: _tilt(
                q, m * (r - c) / b
            ),
            "That is Safe RLHF's optimum: there the sum is divided by 1 + λ.": lambda q, r, c, b, m: _tilt(
                q, (r - m * c) / ((1 + m) * b)
            ),
            "The reference entered twice: the second step's reference is already tilted, do not add "
            "π_ref again.": lambda q, r, c, b, m: _tilt(2 * q, (r - m * c) / b),
            "The two policies are averaged; the second step starts where the first ended.": lambda q, r, c, b, m: (
                (_tilt(q, r / b).exp() + _tilt(q, -m * c / b).exp()) / 2
            ).log(),
        },
        hints=(
            "What is the reference of the second step, and which score does it prefer?",
            "First dpo_optimum(ref_logps, reward, beta). Its result is the next reference; the score is −cost, at β/λ.",
            "return dpo_optimum(dpo_optimum(ref_logps, reward, beta), -cost, beta / lam if lam else math.inf)",
        ),
        further=(in_two_steps,),
    ),
    "read_pareto": Exercise(
        gives="one number, an expected reward",
        cases=((),),
        right=first_below_one_percent,
        mistakes={
            "That is an unsafe mass; the question asks for the reward there.": lambda: torch.tensor(_at(1.5, "mass")),
            "That is the first λ with unsafe mass below 0.01; read the reward there.": lambda: torch.tensor(1.5),
            "That is one place too early: the unsafe mass there is still 0.03.": lambda: torch.tensor(
                _at(1.0, "reward")
            ),
            "That is one place too late: the unsafe mass was below 0.01 before.": lambda: torch.tensor(
                _at(2.5, "reward")
            ),
            "That is the reward of π*, the star; the question is about SACPO.": _star,
            "That is SACPO at λ = 0, which is DPO.": lambda: torch.tensor(_at(0.0, "reward")),
            "That is SACPO at λ = 0.7, where its unsafe mass is 0.1, not 0.01.": lambda: torch.tensor(
                _at(0.7, "reward")
            ),
            "That is the far end of the slider; stop at the *first* place below 0.01.": lambda: torch.tensor(
                _at(6.0, "reward")
            ),
        },
        hints=(
            "Set the first slider to SACPO and move the second one to the right.",
            "The unsafe mass is 0.0304 at λ = 1, so move one place further.",
            "The sentence under the figure at λ = 1.5 ends with the reward you need.",
        ),
        tolerance=0.003,
    ),
} | further.EXERCISES

QUESTIONS = {
    "slope_of_dual": Question(
        ("the limit minus the expected cost", "the expected cost", "the reward lost"),
        0,
        "Each unit of price adds the limit and takes away what the best policy at that price costs. Where the "
        "two are equal "
        "the dual is least, and the constraint holds exactly.",
    ),
    "same_lambda": Question(
        (
            "the same: both maximise r − λc",
            "Safe RLHF's is nearer to the reference",
            "C-DPO's is nearer to the reference",
        ),
        1,
        "Safe RLHF divides the advantage by 1 + λ and leaves its KL term as it is. So a larger λ also means a "
        "stronger pull "
        "to the reference.",
    ),
    "ladder_at_zero": Question(
        ("on the mean over prompts", "in each prompt", "none: all three are the same set"),
        2,
        "A mean of numbers that are never negative is 0 only if all of them are. So with costs 0 and 1 and d = 0 a limit on the "
        "mean forbids each unsafe answer. The ladder is strict where costs may be negative, or d is above 0.",
    ),
}
