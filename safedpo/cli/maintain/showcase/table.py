"""Results as Markdown: a sweep's, with trained requests and look-alikes apart, sampled and greedy, each seed; and the trials'."""

from pathlib import Path
from statistics import fmean
from typing import Any

from safedpo.cli.maintain.showcase.measure import ASKED, read_summary, summary
from safedpo.evaluate.stored import read_samples
from safedpo.evaluate.table import natural
from safedpo.household import LOOKALIKES

SHOWN = ("harm", "helpfulness", "over_refusal", "broken")
TRIALS = ("compare", "choose", "alone")


def tables_apart(folder: Path) -> str:
    """The tables of a sweep's folder, from its samples alone."""
    found = {"reference": {"": summary(read_samples(folder / "samples-reference.jsonl"))}}
    files = folder.glob("*/*/samples-policy.jsonl")
    for file in sorted(files, key=lambda file: [*map(natural, file.parts[-3:-1])]):
        found.setdefault(file.parts[-3], {})[file.parts[-2]] = summary(read_samples(file))
    return "\n\n".join(_table(found, kind, asked) for asked in ASKED for kind in ("sampled", "greedy")) + "\n"


def trial_table(folder: Path) -> str:
    """All trials of a folder `STAGE/NAME/summary.json` on validation, sampled (95 % intervals over prompts) and greedy."""
    columns = ("", "harm", "helpfulness", "helpfulness, greedy", "broken", "broken, greedy", "look-alikes refused")
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    files = sorted(folder.glob("compare/own/reference.json"))  # the one that the rules looked at
    files += [file for stage in TRIALS for file in sorted((folder / stage).glob("*/summary.json"))]
    for file in files:
        found = read_summary(file)
        sampled, greedy = (found[kind]["requests"] for kind in ("sampled", "greedy"))
        refused = found["sampled"][LOOKALIKES].get("refusals")
        name = "reference" if file.stem == "reference" else f"{file.parts[-3]}: {file.parts[-2]}"
        cells = [_interval(sampled["harm"]), _interval(sampled["helpfulness"]), _share(greedy["helpfulness"])]
        cells += [_interval(sampled["broken"]), _share(greedy["broken"]), _interval(refused)]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _interval(one: dict[str, Any] | None) -> str:
    if one is None:
        return "none"
    return _share(one) + (
        " [not known]" if one["low"] is None else f" [{100 * one['low']:.1f}, {100 * one['high']:.1f}]"
    )


def _share(one: dict[str, Any]) -> str:
    return f"{100 * one['value']:.1f}"


def _table(found: dict[str, dict[str, Any]], kind: str, asked: str) -> str:
    lines = [f"{asked}, {kind} responses (percent: mean over seeds, each seed)", ""]
    lines += ["| | " + " | ".join(name.replace("_", "-") for name in SHOWN) + " |", "|" + "---|" * (len(SHOWN) + 1)]
    for name, seeds in found.items():
        cells = [
            _cell([one[kind][asked][metric]["value"] for one in seeds.values() if metric in one[kind].get(asked, {})])
            for metric in SHOWN
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(values: list[float]) -> str:
    if not values:
        return "none"
    each = f" ({', '.join(f'{100 * value:.1f}' for value in values)})" if len(values) > 1 else ""
    return f"{100 * fmean(values):.1f}{each}"
