"""The paper's tables and figures, as far as their values were found; none of them was measured here."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from safedpo.errors import UserError


@dataclass(frozen=True)
class Published:
    """A table or figure: its numbers in both versions (v1 None: not known), what was measured, and the printed values.

    `rows[method]` has one value for each of `metrics`; None stands for "looked for and not found".
    """

    id: str
    v2: str
    v1: str | None
    title: str
    setting: str
    metrics: tuple[str, ...]
    rows: dict[str, tuple[float | None, ...]]

    def value(self, method: str, metric: str) -> float | None:
        """One printed value."""
        return self.rows[method][self.metrics.index(metric)]


@cache
def published() -> tuple[Published, ...]:
    """Every table and figure of the paper that we know of, in its order.

    >>> tables = published()
    >>> len(tables), tables[0].value("SafeDPO", "harmless ratio"), tables[0].value("P-SACPO", "harmless ratio")
    (17, 96.87, None)
    """
    content = yaml.safe_load((Path(__file__).parent / "published.yaml").read_text(encoding="utf-8"))
    found = tuple(
        Published(
            one["id"],
            one["v2"],
            one["v1"],
            one["title"],
            one["setting"],
            tuple(one["metrics"]),
            {str(method): tuple(values) for method, values in one["rows"].items()},
        )
        for one in content
    )
    for table in found:
        if any(len(values) != len(table.metrics) for values in table.rows.values()):
            raise UserError(f"published.yaml: the rows of {table.id} do not have {len(table.metrics)} values each")
    return found


def versions() -> list[tuple[str, str]]:
    """(number in the second version, number in the first or "not known").

    >>> dict(versions())["Fig. 3"]
    'Fig. 4'
    """
    return [(table.v2, table.v1 or "not known") for table in published()]
