"""Uncertainty of a mean over responses: 95% intervals from a cluster bootstrap over prompts.

Responses to one prompt resemble one another, so they are not independent draws; prompts are. The bootstrap draws
whole prompts with replacement and takes the 2.5% and 97.5% quantiles of the mean.

It knows only the prompts that it saw. The widest interval that it can give reaches from the least prompt to the
greatest, and around the centre of a symmetric law that holds with probability 1 - 2^(1 - P) only: below 6 prompts less
than 95%. There the interval is not known, and is not claimed.
"""

from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from safedpo.errors import UserError

LEVEL = 0.95
FEWEST_PROMPTS = 6  # the least P with 1 - 2^(1 - P) >= LEVEL


@dataclass(frozen=True)
class Interval:
    """A mean and its 95% interval; `n` responses to `prompts` prompts. With n = 0 the three numbers are None.

    With too few prompts `low` and `high` are None (JSON: null): the interval is not known.

    >>> print(Interval(0.333, None, None, 3, 1))
    0.333 [not known]
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    prompts: int

    def __str__(self) -> str:
        if self.value is None:
            return "none"
        if self.low is None or self.high is None:
            return f"{self.value:.3f} [not known]"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def to_json(self) -> dict:
        """The five fields by name; what is not known is None."""
        return asdict(self)


def cluster_interval(
    values: Sequence[float] | np.ndarray, clusters: Sequence[Hashable], *, draws: int = 4000, seed: int = 0
) -> Interval:
    """The mean of `values` in [0, 1], with its interval; `clusters[i]` names the prompt of `values[i]`.

    If all values are 0, every resample is 0 and the bootstrap would claim certainty. Then the exact bound for P prompts
    without an event stands in: high = 1 - 0.025^(1/P) (Clopper and Pearson, 1934), which holds for any values in
    [0, 1] and any P; likewise when all are 1. If all prompts have one mean v in between, at most that share of prompts
    is unlike them, and may be anything: v - v share to v + (1 - v) share. Else, below 6 prompts, `low` and `high` are
    None. Raises `UserError` for values outside [0, 1], NaN, and lengths that differ.

    >>> str(cluster_interval([0, 0, 0, 1, 1, 1], "abcdef"))
    '0.500 [0.167, 0.833]'
    >>> str(cluster_interval([0, 1, 0], ["a", "a", "a"])), str(cluster_interval([0, 0], ["a", "b"]))
    ('0.333 [not known]', '0.000 [0.000, 0.842]')
    """
    numbers = np.asarray(values, dtype=float)
    if numbers.ndim != 1 or len(numbers) != len(clusters):
        raise UserError(
            f"values have shape {numbers.shape} for {len(clusters)} clusters; give one cluster for each value"
        )
    if len(numbers) == 0:
        return Interval(None, None, None, 0, 0)
    if not (numbers.min() >= 0 and numbers.max() <= 1):  # true of NaN too
        raise UserError(f"values must lie in [0, 1]; found {numbers.min():g} to {numbers.max():g}")
    names = {name: i for i, name in enumerate(dict.fromkeys(clusters))}
    index = np.array([names[name] for name in clusters])
    counts = np.bincount(index)
    sums = np.bincount(index, weights=numbers)
    n, prompts, mean = len(numbers), len(names), float(numbers.mean())
    if mean not in (0.0, 1.0) and prompts < FEWEST_PROMPTS:
        return Interval(mean, None, None, n, prompts)
    if np.ptp(sums / counts) < 1e-12:  # equal but for rounding
        room = _room(prompts)
        return Interval(mean, mean - mean * room, mean + (1 - mean) * room, n, prompts)
    picked = np.random.default_rng(seed).multinomial(prompts, np.full(prompts, 1 / prompts), size=draws)
    means = (picked @ sums) / (picked @ counts)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    # One prompt with nearly all responses can leave the mean outside of its own resamples.
    return Interval(mean, min(float(low), mean), max(float(high), mean), n, prompts)


def difference_interval(these: Sequence[float], those: Sequence[float], clusters: Sequence[Hashable]) -> Interval:
    """The mean of `these[i] - those[i]`, both responses to the prompt `clusters[i]`, with its interval over prompts.

    What the two share, the prompt above all, cancels. Where no two values differ, the bootstrap would claim certainty:
    then the bound for P prompts without an event stands in, on either side of 0, whatever P is. `low` and `high` are
    None where `cluster_interval` does not know them.

    >>> str(difference_interval([1, 1, 1, 0, 0, 0], [0] * 6, "abcdef"))
    '0.500 [0.167, 0.833]'
    >>> str(difference_interval([1, 0], [1, 0], ["a", "b"])), str(difference_interval([1, 0], [0, 0], ["a", "b"]))
    ('0.000 [-0.842, 0.842]', '0.500 [not known]')
    """
    if not len(these) == len(those) == len(clusters):
        raise UserError(
            f"{len(these)}, {len(those)} and {len(clusters)} values, other values and clusters; give as many"
        )
    gaps = np.subtract(these, those, dtype=float)
    if len(gaps) and not gaps.any():
        prompts = len(set(clusters))
        return Interval(0.0, -_room(prompts), _room(prompts), len(gaps), prompts)
    half = cluster_interval((gaps + 1) / 2, clusters)  # from [-1, 1] to [0, 1] and back
    value, low, high = (None if bound is None else 2 * bound - 1 for bound in (half.value, half.low, half.high))
    return Interval(value, low, high, half.n, half.prompts)


def _room(prompts: int) -> float:
    """How often something may happen that `prompts` prompts did not show once: 97.5 % sure (Clopper and Pearson)."""
    return 1 - ((1 - LEVEL) / 2) ** (1 / prompts)


def score_interval(
    values: Sequence[float] | np.ndarray, clusters: Sequence[Hashable], *, draws: int = 4000, seed: int = 0
) -> Interval:
    """The mean of scores without bounds (rewards, costs), with its interval over prompts, by the same bootstrap.

    Nothing bounds such a score, so below 6 prompts, and where all prompts have one mean, the interval is not known.

    >>> print(score_interval([-2.0, -1.0, 0.0, 1.0, 2.0, 3.0], "abcdef"))
    0.500 [-0.833, 1.833]
    >>> print(score_interval([4.0, 5.0], ["a", "b"]))
    4.500 [not known]
    """
    numbers = np.asarray(values, dtype=float)
    if numbers.ndim != 1 or len(numbers) != len(clusters):
        raise UserError(
            f"values have shape {numbers.shape} for {len(clusters)} clusters; give one cluster for each value"
        )
    if len(numbers) == 0:
        return Interval(None, None, None, 0, 0)
    if not np.isfinite(numbers).all():
        raise UserError(f"{int((~np.isfinite(numbers)).sum())} of {len(numbers)} scores are not finite numbers")
    low, high = float(numbers.min()), float(numbers.max())
    if low == high:
        return Interval(low, None, None, len(numbers), len(set(clusters)))
    unit = cluster_interval((numbers - low) / (high - low), clusters, draws=draws, seed=seed)
    if len(set(clusters)) < FEWEST_PROMPTS or unit.low is None or unit.high is None:
        return Interval(float(numbers.mean()), None, None, unit.n, unit.prompts)
    return Interval(
        float(numbers.mean()), low + (high - low) * unit.low, low + (high - low) * unit.high, unit.n, unit.prompts
    )
