"""The showcase's results in one JSON file and one Markdown table: sampled and greedy, each seed, broken sentences counted."""

from pathlib import Path
from statistics import fmean
from typing import Any

from safedpo.cli.maintain.showcase.measure import GROUPS, read_summary, summary_of_file
from safedpo.cli.maintain.showcase.plan import Plan
from safedpo.errors import UserError
from safedpo.evaluate.results.drawn import drawn
from safedpo.evaluate.stored import read_samples
from safedpo.files import read_json, write_json, write_text

SHOWN = ("harm", "helpfulness", "over_refusal", "broken")


def write_table(home: Path, plan: Plan) -> str:
    """Write `home/results.json` and `home/results.md`; returns the Markdown.

    results.json holds the plan, the choices with all trials, the exact values, every method's summary of each seed, and
    `drawn`: prompts of the test split drawn by a fixed seed with one response of the reference and of delta 10 each.
    """
    found = {"reference": {"": summary_of_file(_samples(home / "sweep" / "samples-reference.jsonl"))}}
    for folder, suffix in ((home / "sweep", ""), (home / "sweep-long", ", long")):
        for file in sorted(folder.glob("*/*/samples-policy.jsonl")):
            found.setdefault(file.parts[-3] + suffix, {})[file.parts[-2]] = summary_of_file(file)
    sides = {
        "reference": _samples(home / "sweep" / "samples-reference.jsonl"),
        "delta 10": _samples(home / "sweep" / "safedpo-delta-10" / "0" / "samples-policy.jsonl"),
    }
    content = {
        "plan": plan.to_json(),
        "choices": {name: read_json(home / name / "chosen.json") for name in ("reference", "compare", "choose")},
        "alone": read_json(home / "alone" / "found.json"),
        "exact": read_json(home / "data" / "exact.json"),
        "fingerprints": read_json(home / "sweep" / "sweep.json")["fingerprints"],
        "methods": found,
        "unseen": {file.parent.name: read_summary(file) for file in sorted((home / "unseen").glob("*/summary.json"))},
        "drawn": drawn({name: read_samples(file) for name, file in sides.items()}),
    }
    write_json(home / "results.json", content, indent=1)
    text = "\n\n".join(_table(found, kind, group) for group in GROUPS for kind in ("sampled", "greedy"))
    write_text(home / "results.md", text + "\n")
    return text


def _samples(file: Path) -> Path:
    if not file.exists():
        raise UserError(f"{file} is missing; run safedpo maintain showcase --stage sweep first")
    return file


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
