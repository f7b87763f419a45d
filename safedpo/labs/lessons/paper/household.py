"""What the household sweep has for the tables beside its metrics: settings, and the judged comparisons."""

from pathlib import Path
from typing import TYPE_CHECKING

from safedpo.files import shipped

if TYPE_CHECKING:  # these need the large libraries
    from safedpo.evaluate.judges.summary import Comparisons
    from safedpo.evaluate.paper.stored_runs import Cell

VERDICTS = "verdicts"


def compared(wording: str, folder: Path | None = None) -> "Comparisons":
    """The stored comparisons of the policy at delta 10 (seed 0) with its reference, by one wording."""
    from safedpo.evaluate.judges.items import read_items
    from safedpo.evaluate.judges.run import read_verdicts
    from safedpo.evaluate.judges.summary import comparisons

    home = shipped("data")
    results = home / "results" / "household"
    rows = [row for row in read_verdicts(folder or home / VERDICTS / "smollm2-pairs") if row["wording"] == wording]
    items = read_items(
        results / "safedpo-delta-10" / "0" / "samples-policy.jsonl",
        results / "samples-reference.jsonl",
        limit=len({row["number"] for row in rows}),
    )
    known = {(i, item.key) for i, item in enumerate(items)}
    kept = [row for row in rows if (row["number"], row["item"]) in known]
    return comparisons(kept, [item.prompt for item in items])


def all_household_cells(again: int | None = 40) -> "dict[tuple[str, ...], Cell]":
    """`household_cells`, with the settings (Table 4), the judged comparisons (Table 12) and the costs (Tables 14, 15)."""
    from safedpo.evaluate.paper.stored_runs import Cell, household_cells
    from safedpo.evaluate.results import stored_results
    from safedpo.labs.lessons.paper.costs import cost_cells

    cells: dict[tuple[str, ...], Cell] = dict(household_cells(again)) | cost_cells()
    made_with = stored_results().sweep["settings"]
    settings = {
        "beta": made_with["beta"],
        "delta": 10.0,
        "learning rate": made_with["learning_rate"],
        "batch size": made_with["batch_size"],
    }
    why = f"of the stored sweep: {made_with['budgets'][-1]:,} pairs once, so less than one epoch"
    cells |= {("table-4", "SafeDPO", name): Cell(float(value), None, None, why) for name, value in settings.items()}
    found = compared("helpful")
    why = (
        f"{found.pairs} prompts, delta 10 against its reference, judge SmolLM2-135M (the paper: GPT), both orders; chosen by "
        f"place {found.inconsistent}, undecided {found.undecided}, tied {found.tied}"
    )
    for name, value in (("won", found.won), ("lost", found.lost)):
        cells[("table-12", "SafeDPO against SFT", name)] = Cell(float(value), None, None, why)
    return cells
