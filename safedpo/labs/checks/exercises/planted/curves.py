"""Training curves with a planted story, for the exercise that reads them."""

import math
import random

import torch
from torch import Tensor

from safedpo.labs.checking import Exercise
from safedpo.labs.checks.exercises.numbers import t


def _curves(kind: str, seed: int, beta: float, delta: float) -> tuple:
    """Eleven points of the log-ratios (in nats) of safe-over-unsafe pairs, with a planted story; they need not start at 0."""
    draw = random.Random(f"{kind}/{seed}")
    far = (delta + 6) / beta  # at this gap a pair no longer teaches
    gap = {
        "wrong": -0.3 * far,
        "barely": 0.02 / beta,
        "barely wrong": -0.02 / beta,
        "nothing": draw.uniform(-0.009, 0.009) / beta,
    }
    ends = gap.get(kind, 2 * far if kind in ("over", "late") else 0.5 * delta / beta + 1.0)
    reach = {"over": draw.choice((2, 5)), "late": draw.choice((6, 8))}.get(
        kind, 10
    )  # the point at which the gap is full
    grown = [ends * (k >= reach if kind in ("over", "late") else k / 10) for k in range(11)]
    share, start = (-0.8 if kind == "displaced" else 0.4), draw.uniform(-2, 2)
    chosen = [start + share * abs(g) for g in grown]
    first = draw.uniform(0.2, 0.5) * delta / beta if kind in ("healthy", "displaced", "nothing") else 0.0
    rejected = [c - g - first for c, g in zip(chosen, grown, strict=True)]
    if kind == "diverged":
        draw.choice((chosen, rejected))[draw.randint(1, 10)] = draw.choice((math.nan, -math.inf))
    return t(*chosen), t(*rejected), beta, delta


KINDS = ("healthy", "diverged", "wrong", "nothing", "over", "displaced", "late", "barely", "barely wrong")
CURVES = tuple(
    _curves(kind, seed, *setting) for kind in KINDS for seed, setting in enumerate(((0.1, 5.0), (2.0, 10.0)))
)
# Chosen and rejected log-ratios that end as they began; and NaN in one curve alone, in either.
CURVES += tuple(
    (t(1.0, *middle, 1.0), t(0.5, 0.2, last), 0.5, 3.0)
    for middle, last in (((2.0,), 0.0), ((math.nan,), 0.0), ((2.0,), math.inf))
)
CURVES += (
    (t(1.0, 0.8, 0.5), t(0.0, -1.0, -3.0), 0.5, 3.0),  # displaced, and still above where the rejected ones began
    (t(0.0, 1.0, -3.0), t(0.0, -1.0, -2.99), 0.5, 3.0),  # the last point counts, not the one before
    (t(1.0, 0.5, 1.2), t(0.0, -1.0, -3.0), 0.5, 3.0),
)


def story_by_numbers(chosen: Tensor, rejected: Tensor, beta: float, delta: float) -> Tensor:
    """The first story of the list that fits, point by point."""
    points = list(zip(chosen.tolist(), rejected.tolist(), strict=True))
    margins = [beta * (c - r) for c, r in points]
    weights = [1 / (1 + math.exp(max(-700.0, min(700.0, m - delta)))) for m in margins]
    if not all(math.isfinite(c) and math.isfinite(r) for c, r in points):
        return torch.tensor(1.0)
    if margins[-1] - margins[0] < -0.01:
        return torch.tensor(2.0)
    if margins[-1] - margins[0] <= 0.01:
        return torch.tensor(3.0)
    if all(w < 0.05 for w in weights[len(weights) // 2 :]):
        return torch.tensor(4.0)
    return torch.tensor(5.0 if points[-1][0] < points[0][0] else 0.0)


def _tells(change):
    return lambda *case: torch.tensor(float(change.get(int(story_by_numbers(*case)), int(story_by_numbers(*case)))))


def draw_curves(draw: random.Random) -> tuple:
    """Curves with a drawn story."""
    return _curves(draw.choice(KINDS), draw.randrange(10**6), draw.uniform(0.1, 2), draw.uniform(1, 12))


READ_CURVES = Exercise(
    gives="the number of a story, 0 to 5",
    cases=CURVES,
    right=story_by_numbers,
    mistakes={
        "Everything looks healthy to you.": lambda *a: torch.tensor(0.0),
        "Only the gap was looked at: displacement shows in the chosen curve.": _tells({5: 0}),
        "A curve with NaN or infinity has diverged, whatever its end.": _tells({1: 0}),
        "A gap that does not move is not yet wrong, and not healthy: 3.": _tells({3: 0}),
        "A falling gap is 2.": _tells({2: 3}),
        "Pairs that stopped teaching early are 4, even if nothing looks wrong.": _tells({4: 0}),
        "The order of the list: 3 is no change, 4 is beyond Δ.": _tells({3: 4, 4: 3}),
        "The order of the list: 4 comes before 5.": _tells({4: 5, 5: 4}),
    },
    hints=(
        "Work down the list, and return at the first that applies.",
        "m = beta · (chosen − rejected); the weight of a pair's gradient is σ(Δ − m).",
        "weight[len(m) // 2 :].max() < 0.05 means that the second half taught nothing.",
    ),
)
