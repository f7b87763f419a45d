"""Notebook 08, further exercises: which margins differ, which one to choose, a blend's KL, a bootstrap over prompts."""

import math
import random

import torch
from torch import Tensor

from safedpo.labs.checking import Exercise
from safedpo.labs.checks.exercises import seeds
from safedpo.labs.checks.exercises.numbers import t

_draw = torch.Generator().manual_seed(80)


CHOICES = (
    (
        t([0.3, 0.2], [0.07, 0.02], [0.03, 0.05], [0.0, 0.01]),
        t([0.4, 0.5], [0.5, 0.5], [0.45, 0.4], [0.2, 0.1]),
        0.05,
        0.3,
    ),
    (
        t([0.3, 0.2], [0.04, 0.05], [0.2, 0.01], [0.0, 0.0]),
        t([0.9, 0.9], [0.2, 0.39], [0.9, 0.9], [0.3, 0.3]),
        0.05,
        0.3,
    ),
    (t([0.3, 0.2], [0.1, 0.1]), t([0.4, 0.5], [0.5, 0.5]), 0.05, 0.3),
    (t([0.05], [0.0]), t([0.3], [0.4]), 0.05, 0.3),
)


def choice_in_order(harm, helpfulness, limit, least, *, worst=max, mean=True, up=True) -> Tensor:
    """Margin by margin, in order."""
    places = range(len(harm)) if up else reversed(range(len(harm)))
    for i in places:
        helps = helpfulness[i].tolist()
        enough = math.fsum(helps) / len(helps) >= least - 1e-12 if mean else min(helps) >= least
        if worst(harm[i].tolist()) <= limit and enough:
            return torch.tensor(float(i))
    return torch.tensor(-1.0)


def _choice(**fault):
    return lambda *case: choice_in_order(*case, **fault)


def _mean(values):
    return math.fsum(values) / len(values)


_LOGPS = -30 * torch.rand(7, 3, generator=_draw, dtype=torch.float64)
BLENDS = (
    (_LOGPS, _LOGPS - 2 * torch.rand(7, 3, generator=_draw, dtype=torch.float64)),
    (_LOGPS[:4, :1], _LOGPS[:4, :1] - torch.randn(4, 1, generator=_draw, dtype=torch.float64)),
)


def kl_by_prompts(trained, blend, **fault) -> tuple[Tensor, Tensor]:
    """The mean log-ratio prompt by prompt; the error from all pairs of prompts."""
    means = [
        _mean([a - b for a, b in zip(*row, strict=True)]) for row in zip(trained.tolist(), blend.tolist(), strict=True)
    ]
    squares = [(a - b) ** 2 / 2 for i, a in enumerate(means) for b in means[:i]]
    error = math.sqrt(_mean(squares) / len(means))
    return tuple(t(*fault.get("give", lambda m, e, *_: (m, e))(_mean(means), error, trained - blend)))


def _kl(give):
    return lambda *case: kl_by_prompts(*case, give=give)


def _picks(seed: int, draws: int, prompts: int) -> Tensor:
    return torch.randint(0, prompts, (draws, prompts), generator=torch.Generator().manual_seed(seed))


BOOTSTRAPS = (
    (torch.rand(6, 3, generator=_draw).double(), torch.rand(6, 3, generator=_draw).double(), _picks(0, 200, 6)),
    (torch.rand(4, 1, generator=_draw).double(), torch.rand(4, 1, generator=_draw).double(), _picks(1, 81, 4)),
)


def bootstrap_in_loops(ours, theirs, picks, *, ends=(0.025, 0.975), gap=lambda a, b: a - b, root=False) -> tuple:
    """Resample by resample; quantiles by interpolation between the two nearest."""
    gaps = [gap(_mean(a), _mean(b)) for a, b in zip(ours.tolist(), theirs.tolist(), strict=True)]
    means = sorted(_mean([gaps[i] for i in pick]) for pick in picks.tolist())
    found = []
    for share in ends:
        place = share * (len(means) - 1)
        low = math.floor(place)
        high = min(low + 1, len(means) - 1)
        found.append(means[low] + (place - low) * (means[high] - means[low]))
    return tuple(t(*found))


def _boot(**fault):
    return lambda *case: bootstrap_in_loops(*case, **fault)


def _unpaired(ours, theirs, picks):
    a, b = (one.mean(1)[pick].mean(1) for one, pick in ((ours, picks), (theirs, picks.flip(0))))
    return tuple((a - b).quantile(torch.tensor([0.025, 0.975]).double()))


EXERCISES = {
    "separated": seeds.SEPARATED,
    "choose_margin": Exercise(
        gives="a place in the list of margins, or −1",
        cases=CHOICES,
        right=choice_in_order,
        mistakes={
            "The mean over seeds is within the limit; every seed must be.": _choice(worst=_mean),
            "One seed within the limit is not enough.": _choice(worst=min),
            "Help is not asked for: the margin may be safe and useless.": lambda h, g, d, x: choice_in_order(
                h, g, d, -1.0
            ),
            "Harm is not looked at.": lambda h, g, d, x: choice_in_order(h, g, 9.0, x),
            "The smallest margin that does, not the largest.": _choice(up=False),
            "Helpfulness is asked of the mean, not of each seed.": _choice(mean=False),
            "Where no margin does, the answer is −1.": lambda *a: choice_in_order(*a).clamp(min=0),
            "Places are counted from 0.": lambda *a: choice_in_order(*a) + 1,
        },
        hints=(
            "Two masks over the margins: safe in every seed; helpful on average.",
            "harm.max(1).values <= limit, helpfulness.mean(1) >= least.",
            "The first place where both hold; nonzero() is empty where none does.",
        ),
    ),
    "kl_of_blend": Exercise(
        gives="the KL and its standard error, each one number",
        cases=BLENDS,
        right=kl_by_prompts,
        mistakes={
            "The sign: KL(trained‖blend) is the mean of log trained − log blend.": _kl(lambda m, e, *_: (-m, e)),
            "Responses to one prompt are not independent: take each prompt's mean first.": _kl(
                lambda m, e, d: (m, d.std().item() / math.sqrt(d.numel()) if d.shape[1] > 1 else e)
            ),
            "That is the spread of the prompts; the error of their mean is smaller.": _kl(
                lambda m, e, d: (m, e * math.sqrt(len(d)))
            ),
            "Divide by the root of the number of prompts, not by the number.": _kl(
                lambda m, e, d: (m, e / math.sqrt(len(d)))
            ),
            "Divide by n − 1 inside the spread.": _kl(lambda m, e, d: (m, e * math.sqrt((len(d) - 1) / len(d)))),
            "That is a sum over the prompts; take the mean.": _kl(lambda m, e, d: (m * len(d), e)),
            "The order: the KL, then its error.": _kl(lambda m, e, *_: (e, m)),
            "Single responses may have a negative log-ratio; keep their signs.": _kl(
                lambda m, e, d: (d.abs().mean().item() + 1e-3, e)
            ),
        },
        hints=(
            "The responses were drawn from the trained policy: so a plain mean of log-ratios estimates the KL.",
            "One number for each prompt: (trained − blend).mean(1).",
            "each.mean(), each.std() / math.sqrt(len(each))",
        ),
    ),
    "bootstrap_over_prompts": Exercise(
        gives="the two ends of the interval, each one number",
        cases=BOOTSTRAPS,
        right=bootstrap_in_loops,
        mistakes={
            "ours − theirs, not the reverse.": _boot(gap=lambda a, b: b - a),
            "95 % leaves 2.5 % at each end; yours leaves 5 %.": _boot(ends=(0.05, 0.95)),
            "The ends are exchanged.": _boot(ends=(0.975, 0.025)),
            "The same prompts are drawn for both policies: they are paired.": _unpaired,
            "Only our policy was scored; it is a difference.": _boot(gap=lambda a, b: a),
            "That is the whole range of the resamples.": _boot(ends=(0.0, 1.0)),
            "That is the middle of the resamples, not an interval.": _boot(ends=(0.5, 0.5)),
            "That is an absolute difference.": _boot(gap=lambda a, b: abs(a - b)),
        },
        hints=(
            "What was drawn independently? The prompts. So a resample draws prompts, with all their responses.",
            "One difference for each prompt, then a mean for each row of picks: gaps[picks].mean(1).",
            "The 0.025 and 0.975 quantiles of these means: torch.quantile.",
        ),
    ),
}


def _table(draw: random.Random, rows: int, columns: int, high: float = 1.0) -> Tensor:
    return t(*([draw.uniform(0, high) for _ in range(columns)] for _ in range(rows)))


def _sweep(draw: random.Random) -> tuple:
    metrics, seeds = draw.randint(1, 4), draw.randint(2, 4)
    shift = torch.tensor([[draw.choice((0.0, 0.5, 2.0))] for _ in range(metrics)])
    return _table(draw, metrics, seeds), _table(draw, metrics, seeds) + shift, draw.choice((0.05, 0.1, 0.3, 0.7))


HIDDEN = {
    "separated": _sweep,
    "choose_margin": lambda draw: (_table(draw, 8, 2, 0.3), _table(draw, 8, 2), 0.2, 0.3),
    "kl_of_blend": lambda draw: tuple(-_table(draw, 5, 3, 20.0) for _ in range(2)),
    "bootstrap_over_prompts": lambda draw: (
        _table(draw, 5, 2),
        _table(draw, 5, 2),
        _picks(draw.randrange(10**6), draw.randint(50, 120), 5),
    ),
}
