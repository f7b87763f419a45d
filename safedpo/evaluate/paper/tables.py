"""The paper's tables, line by line: its value beside those of the exact world, of the household sweep and of own runs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from safedpo.errors import visible
from safedpo.evaluate.paper.published import Published, published
from safedpo.evaluate.paper.stored_runs import Cell, nothing

Cells = Mapping[tuple[str, ...], Cell]
OTHER_SCALE = ("fig-2b", "table-2", "table-10")  # judged by GPT-4 or by people: our numbers would be another thing
WHY_NOT = {
    "fig-2b": "no large judge ran here; what the small one is worth is in notebook 09",
    "table-1": "one size ran here: 0.135B",
    "table-2": "no people were asked",
    "table-10": "what these tables hold was not found",
}


@dataclass(frozen=True)
class Line:
    """One method and metric of a table: the paper's value (None: not found), and a cell for each world that was asked."""

    table: Published
    method: str
    metric: str
    paper: float | None
    cells: dict[str, Cell]

    def to_json(self) -> dict:
        """Everything a reader needs to judge the line."""
        return {
            "table": self.table.v2,
            "table_v1": self.table.v1,
            "title": self.table.title,
            "setting": self.table.setting,
            "method": self.method,
            "metric": self.metric,
            "paper": self.paper,
            **{
                name: {"value": cell.value, "low": cell.low, "high": cell.high, "source": cell.why}
                for name, cell in self.cells.items()
            },
        }


def lines(worlds: Mapping[str, Cells], runs: Mapping[str, Mapping[str, Cell]] | None = None) -> list[Line]:
    """Every line of every table. `worlds`: name -> its cells, keyed by (method, metric), or by (table id, method, metric)
    where two tables ask the same of different things; `runs`: own runs by name, metric -> cell.

    A world without a value for a line gets a cell that says why.
    """
    found = []
    for table in published():
        for method in table.rows:
            for metric in table.metrics:
                cells = {name: _cell(world, table, method, metric, name) for name, world in worlds.items()}
                found.append(Line(table, method, metric, table.value(method, metric), cells))
        for name, own in (runs or {}).items():
            found += [
                Line(table, f"own run: {name}", metric, None, {"own run": cell})
                for metric, cell in own.items()
                if table.id in ("fig-2a", "table-3") and metric.split(" (")[0] in table.metrics
            ]
    return found


def _cell(world: Cells, table: Published, method: str, metric: str, name: str) -> Cell:
    if (table.id, method, metric) in world:
        return world[(table.id, method, metric)]
    if (method, metric) in world and table.id not in OTHER_SCALE:
        return world[(method, metric)]
    known = any(key[-2] == method for key in world)
    missing = f"{metric} is not measured in this world" if known else "not run in this world"
    return nothing(WHY_NOT.get(table.id, missing if world else f"the {name} was left out"))


def markdown(found: Iterable[Line], *, sources: bool = True) -> str:
    """One Markdown table a table of the paper; under each, where the values of the other columns come from."""
    by_table: dict[str, list[Line]] = {}
    for line in found:
        by_table.setdefault(line.table.id, []).append(line)
    parts = []
    for group in by_table.values():
        table = group[0].table
        worlds = list(dict.fromkeys(name for line in group for name in line.cells))
        parts.append(f"## {table.v2}: {table.title}\n\nFirst version: {table.v1 or 'not known'}. {table.setting}.\n")
        parts.append(_row(["method", "metric", "paper", *worlds]) + "\n" + "|---" * (3 + len(worlds)) + "|")
        for line in group:
            own = "" if line.method.startswith("own run") else "not found"
            paper = own if line.paper is None else f"{line.paper:g}"
            cells = [str(line.cells[name]) if name in line.cells else "" for name in worlds]
            parts.append(_row([line.method, line.metric, paper, *cells]))
        if sources:
            parts.append("\n" + "\n".join(_sources(group)))
        parts.append("")
    return "\n".join(parts)


def _sources(group: list[Line]) -> list[str]:
    """Where the values of a table come from, and why others are missing: a line a source, naming the rows it is about."""
    notes: dict[tuple[str, str], list[str]] = {}
    for line in group:
        for name, cell in line.cells.items():
            about = "" if cell.value is not None else f"{line.method}, {line.metric}"
            notes.setdefault((name, cell.why), []).append(about)
    return [
        visible(f"- {name}: {why}" + (f" ({'; '.join(filter(None, about))})" if any(about) else ""))
        for (name, why), about in notes.items()
    ]


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(visible(cell.replace("|", "\\|").replace("\n", " ")) for cell in cells) + " |"
