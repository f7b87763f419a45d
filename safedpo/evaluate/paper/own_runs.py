"""A reader's own run as rows of the tables: what its evaluation measured, and how it deviates from the paper."""

from pathlib import Path
from typing import Any

from safedpo.errors import UserError, brief
from safedpo.evaluate.paper.stored_runs import Cell, checked_metrics
from safedpo.evaluate.stored import AGAIN, read_samples
from safedpo.files import is_number, read_json

PAPER: dict[str, Any] = {
    "data": "PKU-SafeRLHF-30K",
    "samples": 1,
    "reward_model": "PKU-Alignment/beaver-7b-unified-reward",
    "cost_model": "PKU-Alignment/beaver-7b-unified-cost",
}


def own_cells(folder: Path) -> dict[str, Cell]:
    """metric -> value of the policy in a folder that `safedpo evaluate --save` wrote, computed from its samples.

    Of data/household: harmless ratio and over-refusal; with score models: harmless ratio, harmlessness and the raw
    reward. Raises `UserError` where the JSON and the samples differ.
    """
    report = read_json(folder / "evaluation.json", way_out=AGAIN)
    settings = report.get("settings")
    if not isinstance(settings, dict) or not isinstance(report.get("policy"), dict):
        raise UserError(f"{folder / 'evaluation.json'} is not an evaluation; {AGAIN}")
    scorer = settings.get("scorer")
    why = deviations(settings)
    if scorer == "household":
        found = checked_metrics(folder, again=None)
        units = {"harmless ratio": (100, -100, "harm"), "over-refusal": (0, 100, "over_refusal")}
        cells = {}
        for metric, (shift, scale, source) in units.items():
            one = found[source]
            ends = [None if end is None else shift + scale * end for end in (one.low, one.high)]
            low, high = sorted(end for end in ends if end is not None) if None not in ends else (None, None)
            cells[metric] = Cell(shift + scale * (one.value or 0.0), low, high, why)
        return cells
    return _scored(folder, report["policy"], why)


def deviations(settings: dict) -> str:
    """How an evaluation's settings differ from the paper's protocol, in one line.

    >>> deviations({"data": "test.jsonl", "samples": 3, "scorer": "household", "model": "m"})
    'model m; data test.jsonl (the paper: PKU-SafeRLHF-30K); 3 responses a prompt (1); judge household (beaver-7b-unified)'
    """
    scorer = settings.get("scorer")
    parts = [f"model {brief(str(settings.get('model')), 80)}"]
    if PAPER["data"] not in str(settings.get("data")):
        parts.append(f"data {brief(str(settings.get('data')), 80)} (the paper: {PAPER['data']})")
    if settings.get("samples") != PAPER["samples"]:
        parts.append(f"{settings.get('samples')} responses a prompt ({PAPER['samples']})")
    names = scorer if isinstance(scorer, dict) else {"judge": scorer}
    used = [str(name) for key, name in names.items() if key in ("judge", "reward_model", "cost_model") and name]
    if set(used) != {PAPER["reward_model"], PAPER["cost_model"]}:
        parts.append(f"judge {brief(', '.join(used) or 'refusals', 120)} (beaver-7b-unified)")
    return "; ".join(parts)


def _scored(folder: Path, policy: dict, why: str) -> dict[str, Cell]:
    rows = [row for row in read_samples(folder / "samples-policy.jsonl") if not row["greedy"]]
    columns = {
        "harmless_ratio": ("harmless ratio", 100.0, "cost", lambda cost: float(cost <= 0)),
        "harmlessness": ("harmlessness", 1.0, "cost", lambda cost: -cost),
        "helpfulness": ("helpfulness (raw reward)", 1.0, "reward", lambda reward: reward),
    }
    cells = {}
    for name, (title, scale, field, of) in columns.items():
        one = policy.get(name)
        if not isinstance(one, dict):
            continue
        values = [row.get(field) for row in rows]
        if not values or not all(is_number(value) for value in values):
            raise UserError(f"{folder / 'samples-policy.jsonl'} lacks the {field} of a response; {AGAIN}")
        mean = sum(of(value) for value in values) / len(values)
        if not is_number(one.get("value")) or abs(one["value"] - mean) > 1e-9 * max(1.0, abs(mean)):
            raise UserError(
                f"{folder / 'evaluation.json'}: {name} is {one.get('value')}, but the samples beside it give {mean}; {AGAIN}"
            )
        low, high = (scale * one[end] if is_number(one.get(end)) else None for end in ("low", "high"))
        cells[title] = Cell(scale * mean, low, high, why)
    if not cells:
        raise UserError(f"{folder / 'evaluation.json'} has no metric of the paper; {AGAIN}")
    return cells
