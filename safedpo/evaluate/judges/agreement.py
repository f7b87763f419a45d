"""How far two judges agree beyond chance: Cohen's kappa (1960), with an interval over what they judged."""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from safedpo.errors import UserError
from safedpo.evaluate.intervals import FEWEST_PROMPTS, LEVEL


@dataclass(frozen=True)
class Agreement:
    """`kappa` with its interval, the share on which both say the same, and (one, other) -> how often.

    `kappa` is None where both always give one and the same label: chance alone would have them agree.
    """

    kappa: float | None
    low: float | None
    high: float | None
    share: float
    n: int
    counts: dict[tuple[str, str], int]

    def __str__(self) -> str:
        if self.kappa is None:
            return f"kappa not defined (one label only), {self.n} judged"
        interval = "not known" if self.low is None or self.high is None else f"{self.low:.2f}, {self.high:.2f}"
        return f"kappa {self.kappa:.2f} [{interval}], the same on {self.share:.1%} of {self.n}"

    def to_json(self) -> dict:
        """The fields by name; counts as rows `[one, other, how often]`."""
        rows = [[one, other, count] for (one, other), count in sorted(self.counts.items())]
        return {
            "kappa": self.kappa,
            "low": self.low,
            "high": self.high,
            "share": self.share,
            "n": self.n,
            "counts": rows,
        }


def kappa(table: np.ndarray) -> float | None:
    """Cohen's kappa of a table (K, K) of counts: (p_o - p_e) / (1 - p_e); None where p_e = 1.

    p_o is the share on the diagonal, p_e the share that two judges with these margins share by chance.

    >>> round(kappa(np.array([[20, 5], [10, 15]])), 9)
    0.4
    """
    shares = table / table.sum()
    by_chance = float(shares.sum(0) @ shares.sum(1))
    return None if by_chance > 1 - 1e-12 else float((np.trace(shares) - by_chance) / (1 - by_chance))


def agreement(
    one: Sequence[object],
    other: Sequence[object],
    clusters: Sequence[Hashable] | None = None,
    *,
    draws: int = 2000,
    seed: int = 0,
) -> Agreement:
    """Agreement of two judges' labels of the same things; `clusters[i]` names the prompt of thing i (default: its own).

    The interval is the bootstrap's over prompts, as for every mean here; below 6 prompts it is not known.
    Raises `UserError` for lengths that differ, and for nothing judged.

    >>> print(agreement("aabbab", "aabbbb"))
    kappa 0.67 [0.00, 1.00], the same on 83.3% of 6
    """
    names = list(range(len(one))) if clusters is None else list(clusters)
    if not len(one) == len(other) == len(names):
        raise UserError(f"{len(one)}, {len(other)} and {len(names)} labels, other labels and prompts; give as many")
    if not len(one):
        raise UserError("no labels to compare; judge something first")
    pairs = [(str(a), str(b)) for a, b in zip(one, other, strict=True)]
    labels = sorted({label for pair in pairs for label in pair})
    place = {label: i for i, label in enumerate(labels)}
    prompts = {name: i for i, name in enumerate(dict.fromkeys(names))}
    tables = np.zeros((len(prompts), len(labels), len(labels)))
    for (a, b), name in zip(pairs, names, strict=True):
        tables[prompts[name], place[a], place[b]] += 1
    value, low, high = kappa(tables.sum(0)), None, None
    if value is not None and len(prompts) >= FEWEST_PROMPTS:
        picks = np.random.default_rng(seed).multinomial(
            len(prompts), np.full(len(prompts), 1 / len(prompts)), size=draws
        )
        drawn = np.tensordot(picks, tables, axes=1) / (picks @ tables.sum((1, 2)))[:, None, None]
        by_chance = (drawn.sum(1) * drawn.sum(2)).sum(1)
        known = by_chance < 1 - 1e-12
        if known.mean() > LEVEL:
            kappas = (np.trace(drawn, axis1=1, axis2=2) - by_chance)[known] / (1 - by_chance[known])
            low, high = (float(q) for q in np.quantile(kappas, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
    share = sum(a == b for a, b in pairs) / len(pairs)
    return Agreement(value, low, high, share, len(pairs), dict(Counter(pairs)))
