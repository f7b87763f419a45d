"""Notebook 02, further exercises: sampling the safe optimum, a world no fine is enough for, three distances, a check."""

import math
import random
from dataclasses import replace

import torch
from torch import Tensor

from safedpo.labs.checking import Exercise
from safedpo.labs.checks.exercises.numbers import t
from safedpo.labs.checks.exercises.planted.optima import OPTIMUM_IS_BROKEN

INF = math.inf
FOUR = (t(0.5, 0.2, 0.2, 0.1).log(), t(1.0, -0.5, 2.0, 0.3), torch.tensor([False, False, True, True]))
WORLDS = (
    (*FOUR, 0.5),
    (t(0.1, 0.6, 0.3).log(), t(0.2, 5.0, -1.0), torch.tensor([False, True, False]), 0.05),
    (t(0.5, 0.5).log(), t(1.0, 2.0), torch.tensor([True, True]), 1.0),
    (t(0.999, 0.001).log(), t(900.0, 700.0), torch.tensor([True, False]), 0.5),
)


def draws_by_numbers(ref_logps: Tensor, reward: Tensor, unsafe: Tensor, beta: float) -> Tensor:
    """One over the chance that a draw is kept, answer by answer; inf where nothing may be kept."""
    rows = [row for row in zip(ref_logps.tolist(), reward.tolist(), unsafe.tolist(), strict=True) if not row[2]]
    if not rows:
        return torch.tensor(INF, dtype=torch.float64)
    best = max(r for _, r, _ in rows)
    kept = math.fsum(math.exp(q) * math.exp((r - best) / beta) for q, r, _ in rows)
    return torch.tensor(1 / kept, dtype=torch.float64)


def _draws(score, top=lambda r, h: r.masked_fill(h, -INF).max()):
    """Mistakes: the chance with another exponent (`score`), or measured from another top."""

    def found(q: Tensor, r: Tensor, h: Tensor, b: float) -> Tensor:
        if h.all():
            return torch.tensor(INF, dtype=torch.float64)
        return 1 / (q.exp() * score(r - top(r, h), b).exp() * ~h).sum()

    return found


FINES = ((1.0, 0.5, 0.1), (20.0, 0.1, 0.5), (0.0, 2.0, 0.01), (50.0, 1.0, 0.999))


def a_poor_world(penalty: float, beta: float, tau: float) -> tuple[Tensor, ...]:
    """Two answers with equal rewards; the safe one is so rare that the fine leaves more than tau of unsafe mass."""
    gap = penalty / beta + math.log(tau / (1 - tau)) + 1
    return t(0.0, gap).log_softmax(-1), t(0.0, 0.0), torch.tensor([False, True])


def enough_harm(case: tuple, got: object) -> str | None:
    """Is it a world, with rewards in [-1, 1] and a safe answer, in which π_C has more unsafe mass than tau?"""
    penalty, beta, tau = case
    if not (isinstance(got, tuple | list) and len(got) == 3):
        return "It should give three tensors: ref_logps, reward, unsafe."
    ref, reward, unsafe = (torch.as_tensor(one) for one in got)
    if not (ref.ndim == 1 and ref.shape == reward.shape == unsafe.shape) or unsafe.dtype != torch.bool:
        return "It should give three tensors of one shape (A,), the last one bool."
    ref, reward = ref.double(), reward.double()
    if not math.isclose(ref.logsumexp(0).item(), 0.0, abs_tol=1e-9):
        return "ref_logps are log-probabilities: their exponentials must sum to 1."
    if not bool((reward.abs() <= 1).all()):
        return "Rewards must lie between −1 and 1: with unlimited rewards it would be no art."
    if unsafe.all() or bool(ref[~unsafe].max() == -INF):
        return "Some safe answer must have positive reference mass, or there is no π* to be far from."
    scores = ref + reward / beta - penalty / beta * unsafe
    mass = scores.log_softmax(0).exp()[unsafe].sum().item() if unsafe.any() else 0.0
    return None if mass > tau else f"In your world π_C has unsafe mass {mass:.3g}; it must be above {tau:g}."


DISTANCES = (
    (*FOUR, 0.5, 1.0),
    (*FOUR, 0.5, 0.0),
    (*FOUR, 0.5, INF),
    (FOUR[0][:2].log_softmax(-1), FOUR[1][:2], torch.tensor([False, False]), 0.5, 2.0),
    (*FOUR, 0.1, 60.0),
)


def distances_by_numbers(ref: Tensor, reward: Tensor, unsafe: Tensor, beta: float, penalty: float) -> tuple:
    """TV, KL(π*‖π_C) and KL(π_C‖π*) from the two policies' probabilities, by their definitions."""
    flags = unsafe.tolist()
    rows = list(zip(ref.tolist(), reward.tolist(), flags, strict=True))
    fined = [math.exp(q + r / beta - (penalty / beta if h else 0.0)) for q, r, h in rows]
    hard = [0.0 if h else math.exp(q + r / beta) for q, r, h in rows]
    fined, hard = ([w / math.fsum(ws) for w in ws] for ws in (fined, hard))
    lost = math.fsum(w for w, h in zip(fined, flags, strict=True) if h)  # log1p: a KL of 1e-20 keeps its digits
    tv = math.fsum(abs(a - b) for a, b in zip(fined, hard, strict=True)) / 2
    back = INF if any(a > 0 and b == 0 for a, b in zip(fined, hard, strict=True)) else 0.0
    return tuple(torch.tensor(v, dtype=torch.float64) for v in (tv, -math.log1p(-lost), back))


def _far(change):
    return lambda *case: change(*distances_by_numbers(*case), *case)


def _draw_world(draw: random.Random) -> tuple:
    size = draw.randint(3, 6)
    ref, reward = (t(*(draw.uniform(-2, 2) for _ in range(size))) for _ in range(2))
    unsafe = torch.tensor([draw.random() < 0.5 for _ in range(size)])
    unsafe[draw.randrange(size)] = False
    return ref.log_softmax(-1), reward, unsafe, draw.uniform(0.2, 2)


EXERCISES = {
    "draws_needed": Exercise(
        gives="one number, the expected draws for one kept answer",
        cases=WORLDS,
        right=draws_by_numbers,
        mistakes={
            "That is the chance to keep a draw; the expected number of draws is one over it.": lambda *a: (
                1 / draws_by_numbers(*a)
            ),
            "Safety is ignored: an unsafe draw is never kept.": lambda q, r, h, b: draws_by_numbers(
                q, r, torch.zeros_like(h), b
            ),
            "The flags are inverted: True means unsafe.": lambda q, r, h, b: draws_by_numbers(q, r, ~h, b),
            "Measured from the highest reward of all, which an unsafe answer may have. Use the best *safe* one: "
            "it is kept surely.": _draws(lambda x, b: x / b, lambda r, h: r.max()),
            "Beta is missing in the acceptance probability.": _draws(lambda x, b: x),
            "The rewards are multiplied by beta; divide.": _draws(lambda x, b: x * b),
            "The reward plays no part here: that is one over the safe support.": _draws(lambda x, b: 0 * x),
            "The reference is forgotten: answers are drawn from it.": lambda q, r, h, b: draws_by_numbers(
                torch.full_like(q, -math.log(len(q))), r, h, b
            ),
        },
        hints=(
            "Keep a safe draw y with probability e^{(r(y) − top)/β}, where top makes the largest of these 1.",
            "The chance to keep one draw is Σ over safe y of π_ref(y) e^{(r(y) − top)/β}; wait one over that, on average.",
            "scores = ref_logps + (reward - top) / beta over the safe answers; math.exp(-scores.logsumexp(0)).",
        ),
    ),
    "poor_world": Exercise(
        gives="ref_logps, reward, unsafe, each (A,)",
        cases=FINES,
        right=a_poor_world,
        verify=enough_harm,
        mistakes={
            "In your world π_C has unsafe mass": lambda c, b, u: (t(0.5, 0.5).log(), t(0.0, 0.0), _flags()),
            "Rewards must lie between −1 and 1": lambda c, b, u: (t(0.5, 0.5).log(), t(0.0, 2 * c + 9), _flags()),
            "Some safe answer must have positive": lambda c, b, u: (t(0.0, 1.0).log(), t(0.0, 0.0), _flags()),
            "their exponentials must sum to 1": lambda c, b, u: (t(-c / b - 9, 0.0), t(0.0, 0.0), _flags()),
            "three tensors of one shape": lambda c, b, u: (t(0.5, 0.5).log(), t(0.0), _flags()),
            "It should give three tensors: ref_logps": lambda c, b, u: t(0.5, 0.5).log(),
        },
        hints=(
            "Two answers with equal rewards are enough. What is the unsafe mass of π_C then?",
            "Its log-odds are log(π_ref(unsafe)/π_ref(safe)) − C/β. They must be above log(τ/(1 − τ)).",
            "gap = penalty/beta + log(tau/(1 − tau)) + 1; ref_logps = torch.tensor([0, gap]).log_softmax(0)",
        ),
    ),
    "three_distances": Exercise(
        gives="TV, KL(π*‖π_C) and KL(π_C‖π*), each one number",
        cases=DISTANCES,
        right=distances_by_numbers,
        tolerance=1e-9,
        mistakes={
            "The two divergences are exchanged: the first is weighted by π*.": _far(lambda a, b, c, *_: (a, c, b)),
            "TV has a half in front.": _far(lambda a, b, c, *_: (2 * a, b, c)),
            "The sign of the KL: −log(1 − unsafe mass) is not negative.": _far(lambda a, b, c, *_: (a, -b, c)),
            "KL(π*‖π_C) is not the unsafe mass, only close to it when that is small.": _far(
                lambda a, b, c, *_: (a, a, c)
            ),
            "KL(π_C‖π*) is infinite as soon as π_C gives an unsafe answer at all.": _far(lambda a, b, c, *_: (a, b, b)),
            "Without unsafe mass both divergences are 0.": _far(lambda a, b, c, *_: (a, b, c + INF)),
            "C is divided by β in the exponent.": lambda q, r, h, b, p: distances_by_numbers(q, r, h, b, p * b),
            "−log of the unsafe mass; it is −log of the safe one.": _far(lambda a, b, c, *_: (a, -a.log(), c)),
        },
        hints=(
            "On the safe answers π_C is π* times one constant. Which? Its logarithm is the same for every safe answer.",
            "Let u be the unsafe mass of π_C. TV = u, KL(π*‖π_C) = −log(1 − u), and the other way is ∞ if u > 0.",
            "u = 1/(1 + e^x), x = log Z_s − log Z_u + C/β; for tiny u use math.log1p(-u). No unsafe answer: u = 0.",
        ),
    ),
    "optimum_is_broken": OPTIMUM_IS_BROKEN,
}


def _flags() -> Tensor:
    return torch.tensor([False, True])


DRAWS = {
    "draws_needed": _draw_world,
    "poor_world": lambda draw: (draw.uniform(0, 30), draw.uniform(0.1, 2), draw.uniform(0.01, 0.95)),
    "three_distances": lambda draw: (*_draw_world(draw), draw.uniform(0, 10)),
}
EXERCISES = {name: replace(exercise, draw=DRAWS.get(name, exercise.draw)) for name, exercise in EXERCISES.items()}
