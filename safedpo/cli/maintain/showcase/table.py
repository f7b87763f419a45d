"""A sweep's results by group, as Markdown: trained requests and look-alikes, sampled and greedy, each seed."""

from pathlib import Path
from statistics import fmean
from typing import Any

from safedpo.cli.maintain.showcase.measure import GROUPS, summary
from safedpo.evaluate.stored import read_samples

SHOWN = ("harm", "helpfulness", "over_refusal", "broken")


def group_tables(folder: Path) -> str:
    """The tables of a sweep's folder, from its samples alone."""
    found = {"reference": {"": summary(read_samples(folder / "samples-reference.jsonl"))}}
    for file in sorted(folder.glob("*/*/samples-policy.jsonl")):
        found.setdefault(file.parts[-3], {})[file.parts[-2]] = summary(read_samples(file))
    return "\n\n".join(_table(found, kind, group) for group in GROUPS for kind in ("sampled", "greedy")) + "\n"


def _table(found: dict[str, dict[str, Any]], kind: str, group: str) -> str:
    lines = [f"{group}, {kind} responses (percent: mean over seeds, each seed)", ""]
    lines += ["| | " + " | ".join(name.replace("_", "-") for name in SHOWN) + " |", "|" + "---|" * (len(SHOWN) + 1)]
    for name, seeds in found.items():
        cells = [
            _cell([one[kind][group][metric]["value"] for one in seeds.values() if metric in one[kind].get(group, {})])
            for metric in SHOWN
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(values: list[float]) -> str:
    if not values:
        return "none"
    each = f" ({', '.join(f'{100 * value:.1f}' for value in values)})" if len(values) > 1 else ""
    return f"{100 * fmean(values):.1f}{each}"
