"""What a few seeds can say: a two-by-two ablation, a paired difference, which of several metrics differ."""

import itertools
import math

import torch
from scipy.stats import ttest_rel
from torch import Tensor

from safedpo.labs.checking import Exercise
from safedpo.labs.checks.exercises.numbers import t

_HARM = torch.rand(2, 2, 5, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
TABLES = ((_HARM,), (t([[0.6, 0.5, 0.7], [0.3, 0.2, 0.1]], [[0.2, 0.2, 0.2], [0.0, 0.1, 0.0]]),))


def effects_by_seed(harm: Tensor) -> tuple[Tensor, ...]:
    """The three effects seed by seed with plain numbers, their means, and the spread of the last by all pairs of seeds."""
    (none, margin), (rule, both) = harm.tolist()
    alone = [r - n for r, n in zip(rule, none, strict=True)]
    second = [m - n for m, n in zip(margin, none, strict=True)]
    joint = [b - r - m + n for b, r, m, n in zip(both, rule, margin, none, strict=True)]
    squares = [(a - b) ** 2 / 2 for i, a in enumerate(joint) for b in joint[:i]]
    error = math.sqrt(math.fsum(squares) / len(squares) / len(joint))
    values = (*(math.fsum(x) / len(x) for x in (alone, second, joint)), error)
    return tuple(torch.tensor(value, dtype=torch.float64) for value in values)


def _effects(change):
    return lambda harm: change(*effects_by_seed(harm), harm)


def _joint(harm):
    return harm[1, 1] - harm[1, 0] - harm[0, 1] + harm[0, 0]


_A, _B = t(0.31, 0.28, 0.35, 0.40, 0.22), t(0.25, 0.27, 0.30, 0.31, 0.20)
SEEDS = ((_A, _B), (_B[:3], _A[:3]), (t(0.0, 1.0), t(1.0, 1.0)))


def by_ttest(a: Tensor, b: Tensor, confidence: float = 0.95) -> tuple[Tensor, ...]:
    """SciPy's paired t-test and its interval."""
    low, high = ttest_rel(a.numpy(), b.numpy()).confidence_interval(confidence)
    return (a - b).mean(), torch.tensor(low, dtype=torch.float64), torch.tensor(high, dtype=torch.float64)


def _normal(a, b, width=1.959963984540054, divide=math.sqrt, spread=lambda a, b: (a - b).std()):
    half = width * spread(a, b) / divide(len(a))
    return (a - b).mean(), (a - b).mean() - half, (a - b).mean() + half


def _t(size: int) -> float:
    from scipy.stats import t as student

    return float(student.ppf(0.975, size - 1))


TWO_BY_TWO = Exercise(
    gives="effect of T alone, of Δ alone, interaction, standard error of the interaction",
    cases=TABLES,
    right=effects_by_seed,
    mistakes={
        "The first axis is T, the second Δ: your two effects are exchanged.": _effects(
            lambda a, b, c, d, h: (b, a, c, d)
        ),
        "Effect = with − without; your signs are reversed.": _effects(lambda a, b, c, d, h: (-a, -b, c, d)),
        "That is the effect of both together; the interaction is what the two effects do not add up to.": _effects(
            lambda a, b, c, d, h: (a, b, (h[1, 1] - h[0, 0]).mean(), d)
        ),
        "The effect of T *alone* is without Δ; you averaged over both.": _effects(
            lambda a, b, c, d, h: (a + c / 2, b + c / 2, c, d)
        ),
        "The seeds are shared by the four cells: take the interaction seed by seed, then its error.": _effects(
            lambda a, b, c, d, h: (a, b, c, (h.var(-1).sum() / h.shape[-1]).sqrt())
        ),
        "That is the spread of the seeds; the error of their mean is smaller by √S.": _effects(
            lambda a, b, c, d, h: (a, b, c, _joint(h).std())
        ),
        "Divide by S − 1 in the spread (torch's default).": _effects(
            lambda a, b, c, d, h: (a, b, c, _joint(h).std(correction=0) / math.sqrt(h.shape[-1]))
        ),
        "The sign of the interaction: both − T − Δ + neither.": _effects(lambda a, b, c, d, h: (a, b, -c, d)),
    },
    hints=(
        "Four numbers a seed: neither, Δ, T, both. If effects added up, both − neither would be the sum of the two.",
        "interaction = harm[1, 1] − harm[1, 0] − harm[0, 1] + harm[0, 0], one for each seed.",
        "Its error: interaction.std() / sqrt(number of seeds).",
    ),
)
PAIRED_DIFFERENCE = Exercise(
    gives="mean difference, low, high",
    cases=SEEDS,
    right=by_ttest,
    mistakes={
        "With so few seeds use Student's t, not 1.96.": _normal,
        "The seeds are paired: take the difference first. You added two variances.": lambda a, b: _normal(
            a, b, _t(len(a)), spread=lambda a, b: (a.var() + b.var()).sqrt()
        ),
        "Divide the spread by √S.": lambda a, b: _normal(a, b, _t(len(a)), divide=lambda n: 1.0),
        "Divide by √S, not by S.": lambda a, b: _normal(a, b, _t(len(a)), divide=float),
        "The difference is a − b.": lambda a, b: by_ttest(b, a),
        "95 % two-sided leaves 2.5 % at each end; yours leaves 5 %.": lambda a, b: by_ttest(a, b, 0.9),
        "The degrees of freedom are S − 1.": lambda a, b: _normal(a, b, _t(len(a) + 1)),
        "Divide by S − 1 inside the spread.": lambda a, b: _normal(
            a, b, _t(len(a)), spread=lambda a, b: (a - b).std(correction=0)
        ),
    },
    hints=(
        "One number a seed: a − b. Then an interval for the mean of these.",
        "mean ± t · std / √S, with t the 0.975 quantile of Student's t with S − 1 degrees of freedom.",
        "scipy.stats.t.ppf(0.975, len(a) - 1).",
    ),
)


# Eight seeds with the ranks 0 to 7: whose ranks the first group has decides its p, in seventieths (2, 4, 8 of 70).
_RANKS = {2: (0, 1, 2, 3), 4: (0, 1, 2, 4), 8: (0, 1, 3, 4)}


def _ranked(*seventieths: int) -> tuple[Tensor, Tensor]:
    first = [_RANKS[n] for n in seventieths]
    rest = [[rank for rank in range(8) if rank not in ranks] for ranks in first]
    return t(*map(list, first)), t(*rest)


SWEEPS = (
    (*_ranked(2, 4, 8), 0.12),
    (*_ranked(4, 4, 8), 0.12),
    (*_ranked(2, 8)[::-1], 0.1),
    (*_ranked(8), 0.3),
    (*_ranked(2), 2 / 70),
)


def p_by_listing(a: list[float], b: list[float], *, sided: bool = False) -> float:
    """The share of all deals of the pooled seeds whose means are at least as far apart as those seen."""
    pool, seen, far = a + b, math.fsum(a) / len(a) - math.fsum(b) / len(b), []
    for deal in itertools.combinations(range(len(pool)), len(a)):
        mine = [pool[i] for i in deal]
        others = [pool[i] for i in range(len(pool)) if i not in deal]
        gap = math.fsum(mine) / len(mine) - math.fsum(others) / len(others)
        far.append((gap if seen > 0 else -gap) >= abs(seen) - 1e-12 if sided else abs(gap) >= abs(seen) - 1e-12)
    return sum(far) / len(far)


def holm(p: list[float], alpha: float) -> list[bool]:
    """Holm: from the smallest p on, against alpha / (how many are left), and stop at the first that fails."""
    rejected, order = [False] * len(p), sorted(range(len(p)), key=lambda i: p[i])
    for place, i in enumerate(order):
        if p[i] > alpha / (len(p) - place):
            break
        rejected[i] = True
    return rejected


def separated_by_listing(a, b, alpha, *, sided=False, rule=holm) -> tuple[Tensor, Tensor]:
    """Both, metric by metric."""
    p = [p_by_listing(x, y, sided=sided) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    return t(*p), torch.tensor(rule(p, alpha))


def _rule(rule):
    return lambda *case: separated_by_listing(*case, rule=rule)


def _without_stop(p, alpha):
    order = sorted(range(len(p)), key=lambda i: p[i])
    return [p[i] <= alpha / (len(p) - order.index(i)) for i in range(len(p))]


SEPARATED = Exercise(
    gives="p-values and which are rejected, each (M,)",
    cases=SWEEPS,
    right=separated_by_listing,
    mistakes={
        "That is one-sided; the side was chosen after looking. Count both.": lambda *a: separated_by_listing(
            *a, sided=True
        ),
        "Each p is compared with α itself: with many metrics some separate by chance.": _rule(
            lambda p, x: [one <= x for one in p]
        ),
        "That is Bonferroni; Holm divides by how many are left.": _rule(lambda p, x: [one <= x / len(p) for one in p]),
        "Holm stops at the first p that fails; you went on.": _rule(_without_stop),
        "Inverted: True means that the two margins differ.": _rule(lambda p, x: [not one for one in holm(p, x)]),
        "The order: p-values first.": lambda *a: separated_by_listing(*a)[::-1],
        "That is 1 − p.": lambda *a: (1 - separated_by_listing(*a)[0], separated_by_listing(*a)[1]),
        "Nothing is rejected, though some p are small enough.": _rule(lambda p, x: [False] * len(p)),
    },
    hints=(
        "If the margin did nothing, every way to deal the pooled seeds into two groups would be equally likely.",
        "itertools.combinations lists the deals. Count those with |difference of means| >= the one seen (− 1e-12).",
        "Holm: sort; compare the k-th smallest (from 0) with alpha/(M − k); stop at the first that is larger.",
    ),
)
