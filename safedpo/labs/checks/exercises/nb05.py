"""Notebook 05, further exercises: the dual loop to its end, two papers at one limit, a Pareto front, a check of a step."""

import math
import random
from dataclasses import replace

import torch
from scipy.optimize import brentq
from torch import Tensor

from safedpo.labs.checking import Exercise
from safedpo.labs.checks.exercises.numbers import t
from safedpo.labs.checks.exercises.planted.duals import DUAL_IS_BROKEN

_FOUR = (t(0.4, 0.3, 0.2, 0.1).log(), t(1.0, -0.5, 2.0, 0.3), t(-0.5, -1.0, 1.5, 0.4))
LOOPS = (
    (*_FOUR, 0.5, -0.3, 0.2, 1e-8),
    (*_FOUR, 0.5, 1.4, 0.2, 1e-8),
    (t(0.2, 0.5, 0.3).log(), t(0.4, -0.3, 0.9), t(0.7, -0.6, 1.2), 1.0, 0.0, 0.4, 1e-8),
    (*_FOUR, 0.5, -0.3, 0.2, 0.05),
    (*_FOUR, 0.5, -0.5, 0.05, 0.3),
)


def tilted(ref: Tensor, reward: Tensor, cost: Tensor, beta: float, lam: float) -> list[float]:
    """pi_ref exp((r - lam c) / beta) / Z as plain probabilities."""
    scores = [q + (r - lam * c) / beta for q, r, c in zip(ref.tolist(), reward.tolist(), cost.tolist(), strict=True)]
    weights = [math.exp(s - max(scores)) for s in scores]
    return [w / math.fsum(weights) for w in weights]


def _mean(policy: list[float], values: Tensor) -> float:
    return math.fsum(p * v for p, v in zip(policy, values.tolist(), strict=True))


def price_by_brent(ref, reward, cost, beta, limit, eta=1.0, tolerance=0.0, *, signed=False) -> tuple[Tensor, Tensor]:
    """The least price that meets the limit, by Brent's method, and the policy at it."""

    def excess(lam: float) -> float:
        return _mean(tilted(ref, reward, cost, beta, lam), cost) - limit

    lam = 0.0 if excess(0.0) <= 0 and not signed else brentq(excess, -100.0, 1000.0, xtol=1e-13)
    return torch.tensor(lam, dtype=torch.float64), t(*tilted(ref, reward, cost, beta, lam)).log()


def loop_of_numbers(ref, reward, cost, beta, limit, eta, tolerance) -> tuple[Tensor, Tensor]:
    """The loop with plain numbers; `price_by_brent` is where it tends to."""
    if limit <= min(cost.tolist()):
        raise ValueError(f"no policy of finite price has expected cost {limit}")
    lam = 0.0
    while True:
        policy = tilted(ref, reward, cost, beta, lam)
        moved = max(lam + eta * (_mean(policy, cost) - limit), 0.0)
        if abs(moved - lam) <= tolerance * eta:
            return torch.tensor(lam, dtype=torch.float64), t(*policy).log()
        lam = moved


def refuses_a_limit_nobody_meets(function) -> str | None:
    """A limit at or below the least cost: the price would rise for ever."""
    for limit in (-1.0, -1.2):
        try:
            function(*(one.clone() for one in _FOUR), 0.5, limit, 0.2, 1e-8)
        except ValueError:
            continue
        return f"No policy near the reference has expected cost {limit} or less here: raise a ValueError, do not loop."
    return None


LIMITS = (
    (*_FOUR, 0.5, 0.0),
    (*_FOUR, 0.5, -0.2),
    (t(0.2, 0.5, 0.3).log(), t(0.4, -0.3, 0.9), t(0.7, -0.6, 1.2), 1.0, 0.1),
)


def both_by_brent(ref, reward, cost, beta, limit, **fault) -> tuple[Tensor, ...]:
    """Rewards and KLs of C-DPO's and Safe RLHF's optima that just meet the limit."""
    found = []
    for divided in (False, True):

        def at(lam: float, divided: bool = divided) -> list[float]:
            return tilted(ref, reward, cost, beta * (1 + lam) if divided else beta, lam)

        lam = brentq(lambda x: _mean(at(x), cost) - limit, 0.0, 1e5, xtol=1e-14)
        policy = at(fault.get("price", lam))
        away = math.fsum(p * (math.log(p) - q) for p, q in zip(policy, ref.tolist(), strict=True))
        found.append((_mean(policy, reward), away, _mean(policy, reward) - beta * away))
    (ours, near, value), (theirs, far, worth) = found
    return tuple(t(*fault.get("give", lambda *v: v[:4])(ours, theirs, near, far, value, worth)))


def _give(give):
    return lambda *case: both_by_brent(*case, give=give)


DOTS = (
    (t(0.1, 0.2, 0.3, 0.2), t(1.0, 2.0, 1.5, 0.5)),
    (t(0.1, 0.1, 0.0, 0.0, 0.5), t(1.0, 2.0, 0.3, 0.3, 2.0)),
    (t(0.0), t(1.0)),
)


def front_by_pairs(harm: Tensor, reward: Tensor, beats=lambda a, b: a[0] <= b[0] and a[1] >= b[1] and a != b) -> Tensor:
    """A method is on the front if no other is at least as good in both and better in one."""
    dots = list(zip(harm.tolist(), reward.tolist(), strict=True))
    return torch.tensor([not any(beats(other, dot) for other in dots) for dot in dots])


def _front(beats):
    return lambda *case: front_by_pairs(*case, beats=beats)


def _only_the_first_of_equals(harm: Tensor, reward: Tensor) -> Tensor:
    dots = list(zip(harm.tolist(), reward.tolist(), strict=True))
    return front_by_pairs(harm, reward) & torch.tensor([dot not in dots[:i] for i, dot in enumerate(dots)])


def _draw_four(draw: random.Random) -> tuple:
    ref, extra = (t(*(draw.uniform(-1, 1) for _ in range(4))) for _ in range(2))
    cost = t(-1.0, 1.0, draw.uniform(-0.5, 0.5), draw.uniform(-0.5, 0.5))
    return ref.log_softmax(-1), 0.7 * cost + 0.2 * extra, cost


EXERCISES = {
    "dual_loop": Exercise(
        gives="the price and the policy's log-probabilities (A,)",
        cases=LOOPS,
        right=loop_of_numbers,
        tolerance=1e-6,
        mistakes={
            "λ became negative: where the limit holds without a price, the price is 0.": lambda *a: price_by_brent(
                *a, signed=True
            ),
            "The policy is not that of the price you return: compute it anew at the end.": lambda *a: (
                price_by_brent(*a)[0],
                (a[0] + a[1] / a[3]).log_softmax(-1),
            ),
            "The limit is taken for 0.": lambda q, r, c, b, d, e, x: price_by_brent(q, r, c, b, 0.0),
            "Beta is missing under the tilt.": lambda q, r, c, b, d, e, x: (
                price_by_brent(q, r, c, 1.0, d) if b != 1 else (t(0.0)[0], q)
            ),
            "The reference is forgotten.": lambda q, r, c, b, d, e, x: price_by_brent(0 * q, r, c, b, d),
            "The reward is forgotten.": lambda q, r, c, b, d, e, x: price_by_brent(q, 0 * r, c, b, d),
            "The loop has not moved: at price 0 this is DPO.": lambda q, r, c, b, *_: (
                torch.tensor(0.0),
                (q + r / b).log_softmax(-1),
            ),
            "These are probabilities; give their logarithms.": lambda *a: (
                price_by_brent(*a)[0],
                price_by_brent(*a)[1].exp(),
            ),
        },
        hints=(
            "Start at λ = 0. Each round: the policy at this price, its expected cost, one projected step.",
            "Stop when |new λ − λ|/η is at most the tolerance: that also holds at λ = 0 inside the limit.",
            "A limit at or below cost.min() is met by no policy with a finite price: ValueError before the loop.",
        ),
        further=(refuses_a_limit_nobody_meets,),
    ),
    "at_one_limit": Exercise(
        gives="reward of C-DPO, reward of Safe RLHF, KL of C-DPO, KL of Safe RLHF",
        cases=LIMITS,
        right=both_by_brent,
        tolerance=1e-5,
        mistakes={
            "The two methods are exchanged.": _give(lambda a, b, k, m, *_: (b, a, m, k)),
            "The KLs stand before the rewards; rewards come first.": _give(lambda a, b, k, m, *_: (k, m, a, b)),
            "Those are objectives, reward − β KL; the claim is about the reward.": _give(
                lambda a, b, k, m, v, w: (v, w, k, m)
            ),
            "Both have C-DPO's tilt; Safe RLHF divides by 1 + λ.": _give(lambda a, b, k, m, *_: (a, a, k, k)),
            "Both have Safe RLHF's tilt; C-DPO divides by nothing.": _give(lambda a, b, k, m, *_: (b, b, m, m)),
            "Both have the same price; each needs its own to meet the limit.": lambda *case: both_by_brent(
                *case, price=price_by_brent(*case)[0].item()
            ),
            "The limit is taken for 0.": lambda q, r, c, b, d: both_by_brent(q, r, c, b, 0.05),
            "At price 0 neither meets the limit.": lambda *case: both_by_brent(*case, price=0.0),
        },
        hints=(
            "One function for both: the policy at price λ, with β or with (1 + λ)β below the exponent.",
            "The expected cost falls as the price rises. Halve an interval such as [0, 10⁵], sixty times and more.",
            "Then expected reward and KL(π‖π_ref) of each of the two policies.",
        ),
    ),
    "pareto_front": Exercise(
        gives="True for each method on the front, (M,) bool",
        cases=DOTS,
        right=front_by_pairs,
        mistakes={
            "Harm is to be *low*: your front wants much of it.": _front(
                lambda a, b: a[0] >= b[0] and a[1] >= b[1] and a != b
            ),
            "Reward is to be *high*.": _front(lambda a, b: a[0] <= b[0] and a[1] <= b[1] and a != b),
            "Equal dots do not beat one another: both stay.": _only_the_first_of_equals,
            "A dot that is as good in one and better in the other is beaten too: only strict in both is too mild.": _front(
                lambda a, b: a[0] < b[0] and a[1] > b[1]
            ),
            "Inverted: True means that nothing beats it.": lambda h, r: ~front_by_pairs(h, r),
            "Only the highest reward stays; a front has many ends.": lambda h, r: r == r.max(),
            "Only the least harm stays; a front has many ends.": lambda h, r: h == h.min(),
            "Every dot stays.": lambda h, r: torch.ones_like(h, dtype=torch.bool),
        },
        hints=(
            "When does one method leave no reason to choose another?",
            "i beats j: harm no higher, reward no lower, and not both equal. All pairs at once: harm[:, None] <= harm.",
            "~(as_good & better).any(0), where row i beats column j.",
        ),
    ),
    "dual_is_broken": DUAL_IS_BROKEN,
}


def _draw_limit(draw: random.Random) -> tuple:
    four, beta = _draw_four(draw), draw.uniform(0.3, 1)
    free = _mean(tilted(*four, beta, 0.0), four[2])  # type: ignore[call-arg]
    floor = _mean(tilted(four[0], 0 * four[1], four[2], beta, 1.0), four[2])  # where Safe RLHF ends
    return *four, beta, floor + draw.uniform(0.2, 0.9) * (free - floor)


DRAWS = {
    "dual_loop": lambda draw: (
        *_draw_four(draw),
        draw.uniform(0.4, 1),
        draw.uniform(-0.6, 0.8),
        0.2,
        draw.choice((1e-9, 0.05)),
    ),
    "at_one_limit": _draw_limit,
    "pareto_front": lambda draw: tuple(t(*(draw.randint(0, 6) / 6 for _ in range(8))) for _ in range(2)),
}
EXERCISES = {name: replace(exercise, draw=DRAWS.get(name, exercise.draw)) for name, exercise in EXERCISES.items()}
