"""Uncertainty of a mean over responses: 95% intervals from a cluster bootstrap over prompts.

Responses to one prompt resemble one another, so they are not independent draws; prompts are. The bootstrap draws
whole prompts with replacement and takes the 2.5% and 97.5% quantiles of the mean.
"""

from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from safedpo.errors import UserError

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean and its 95% interval; `n` responses to `prompts` prompts. With n = 0 the three numbers are None."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    prompts: int

    def __str__(self) -> str:
        return "none" if self.value is None else f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def to_json(self) -> dict:
        return asdict(self)


def cluster_interval(
    values: Sequence[float], clusters: Sequence[Hashable], *, draws: int = 4000, seed: int = 0
) -> Interval:
    """The mean of `values` in [0, 1], with its interval; `clusters[i]` names the prompt of `values[i]`.

    If all values are 0, every resample is 0 and the bootstrap would claim certainty. Then the exact bound for P prompts
    without an event stands in: high = 1 - 0.025^(1/P) (Clopper and Pearson, 1934), which holds for any values in
    [0, 1]; likewise when all are 1.

    >>> str(cluster_interval([0, 0, 1, 1], ["a", "a", "b", "b"]))
    '0.500 [0.000, 1.000]'
    >>> str(cluster_interval([0, 0], ["a", "b"]))
    '0.000 [0.000, 0.842]'
    """
    values = np.asarray(values, dtype=float)
    if len(values) == 0:
        return Interval(None, None, None, 0, 0)
    if len(values) != len(clusters):
        raise UserError(f"{len(values)} values need as many clusters, not {len(clusters)}")
    if not (values.min() >= 0 and values.max() <= 1):  # written so that NaN is refused too
        raise UserError(f"values must lie in [0, 1]; found {values.min():g} to {values.max():g}")
    names = {name: i for i, name in enumerate(dict.fromkeys(clusters))}
    index = np.array([names[name] for name in clusters])
    counts = np.bincount(index)
    sums = np.bincount(index, weights=values)
    n, prompts, mean = len(values), len(names), float(values.mean())
    if mean in (0.0, 1.0):
        room = _room(prompts)
        return Interval(mean, max(0.0, mean - room), min(1.0, mean + room), n, prompts)
    picked = np.random.default_rng(seed).multinomial(prompts, np.full(prompts, 1 / prompts), size=draws)
    means = (picked @ sums) / (picked @ counts)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(mean, float(low), float(high), n, prompts)


def difference_interval(these: Sequence[float], those: Sequence[float], clusters: Sequence[Hashable]) -> Interval:
    """The mean of `these[i] - those[i]`, both responses to the prompt `clusters[i]`, with its interval over prompts.

    What the two share, the prompt above all, cancels. Where no two values differ, the bootstrap would claim certainty:
    then the bound for P prompts without an event stands in, on either side of 0.

    >>> str(difference_interval([1, 1, 0, 0], [0, 0, 0, 0], ["a", "a", "b", "b"]))
    '0.500 [0.000, 1.000]'
    >>> str(difference_interval([1, 0], [1, 0], ["a", "b"]))
    '0.000 [-0.842, 0.842]'
    """
    gaps = np.subtract(these, those, dtype=float)
    if len(gaps) and not gaps.any():
        prompts = len(set(clusters))
        return Interval(0.0, -_room(prompts), _room(prompts), len(gaps), prompts)
    half = cluster_interval((gaps + 1) / 2, clusters)  # from [-1, 1] to [0, 1] and back
    if half.value is None:
        return half
    value, low, high = (2 * bound - 1 for bound in (half.value, half.low, half.high))
    return Interval(value, low, high, half.n, half.prompts)


def _room(prompts: int) -> float:
    """How often something may happen that `prompts` prompts did not show once: 97.5 % sure (Clopper and Pearson)."""
    return 1 - ((1 - LEVEL) / 2) ** (1 / prompts)
