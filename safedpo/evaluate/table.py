"""The README's table: runs of several seeds, their evaluations read back from JSON, one row a method."""

import re
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from safedpo.errors import UserError, visible
from safedpo.evaluate.report import METRICS
from safedpo.evaluate.results import must_match_the_shipped
from safedpo.evaluate.stored import MODELS, read_report
from safedpo.files import read_json

ROW = "| {} |"


@dataclass(frozen=True)
class Row:
    """One method: metric -> its value in each seed, and the smallest number of responses behind any of them."""

    name: str
    seeds: tuple[str, ...]
    values: dict[str, tuple[float, ...]]
    n: int


def read_rows(folder: str | Path, *, greedy: bool = False) -> list[Row]:
    """Read `METHOD/SEED/evaluation.json` under `folder`: the reference, then one row a METHOD folder, by name and
    numbers (delta-2 before delta-10).

    A method's name is its folder's name. The reference must be the same model in all files (by fingerprint), else
    UserError; it was sampled with each evaluation's own seed, so it too has one value a seed. `greedy`: of the greedy
    responses, one a prompt, in the place of the sampled ones.
    """
    files = sorted(Path(folder).glob("*/*/evaluation.json"), key=lambda file: [*map(natural, file.parts[-3:-1])])
    if not files:
        raise UserError(f"no METHOD/SEED/evaluation.json under {folder}; make them with `safedpo evaluate`")
    reports = {file: read_report(file) for file in files}
    prints = {report["settings"]["fingerprint"] for report in reports.values()}
    if len(prints) > 1:
        raise UserError(
            f"the evaluations under {folder} rest on {len(prints)} different references: "
            f"{', '.join(sorted(prints))}; a table compares methods on one"
        )
    _must_be_one_sweep(Path(folder), reports)
    methods: dict[str, dict[str, dict]] = {}
    references: dict[str, dict] = {}
    for file, report in reports.items():
        models = {name: report[name]["greedy"] if greedy else report[name] for name in MODELS if name in report}
        methods.setdefault(file.parts[-3], {})[file.parts[-2]] = models["policy"]
        if "reference" in models:
            references[f"{report['settings']['seed']}"] = models["reference"]
    return ([_row("reference", references)] if references else []) + [_row(*item) for item in methods.items()]


def _must_be_one_sweep(folder: Path, reports: dict[Path, dict]) -> None:
    """Where the folder is a sweep's, every evaluation must be of its reference, decoding and dtype, and the sweep of what is
    shipped, if it says so."""
    if not (folder / "sweep.json").exists():
        return
    sweep = read_json(folder / "sweep.json")
    must_match_the_shipped(sweep, folder)
    settings, prints = sweep.get("settings", {}), sweep.get("fingerprints", {})
    wanted = settings.get("decoding", {}) | {"data": settings.get("prompts"), "fingerprint": prints.get("reference")}
    wanted |= {name: settings.get(name) for name in ("model", "dtype")}
    for file, report in reports.items():
        found = report["settings"]
        different = [
            f"{name} {value} there, {found[name]} here"
            for name, value in wanted.items()
            if name in found and found[name] != value
        ]
        if different:
            raise UserError(
                f"{file} does not belong to {folder / 'sweep.json'}: {'; '.join(different)}; measure that run again, or take "
                "it out of the folder"
            )


def markdown_table(rows: list[Row]) -> str:
    """Mean over seeds, and each seed's value after it, in percent.

    >>> row = Row("DPO", ("0", "1"), {m: (0.25, 0.35) for m in METRICS}, 300)
    >>> print(markdown_table([row]))
    | | harm | helpfulness | over-refusal | broken | seeds | responses a seed |
    |---|---|---|---|---|---|---|
    | DPO | **30.0** (25.0, 35.0) | **30.0** (25.0, 35.0) | **30.0** (25.0, 35.0) | **30.0** (25.0, 35.0) | 2 | 300 |
    """
    titles = ["", *(metric.replace("_", "-") for metric in METRICS), "seeds", "responses a seed"]
    lines = ["| " + " | ".join(titles).strip() + " |", "|" + "---|" * len(titles)]
    for row in rows:
        cells = [
            _cell(row.name),
            *(_percent(row.values[metric]) for metric in METRICS),
            str(len(row.seeds)),
            str(row.n),
        ]
        lines.append(ROW.format(" | ".join(cells)))
    return "\n".join(lines)


def _cell(name: str) -> str:
    r"""A folder's name inside a table: nothing in it ends the cell or steers a terminal.

    >>> print(_cell("a|b\n\x1b[31m"))
    a\|b \x1b[31m
    """
    return visible(name.replace("\n", " ").replace("|", "\\|"))


def _percent(values: tuple[float, ...]) -> str:
    if not values:
        return "none"
    return f"**{100 * fmean(values):.1f}** ({', '.join(f'{100 * value:.1f}' for value in values)})"


def _row(name: str, by_seed: dict[str, dict]) -> Row:
    values = {
        metric: tuple(one[metric]["value"] for one in by_seed.values() if one[metric]["value"] is not None)
        for metric in METRICS
    }
    return Row(name, tuple(by_seed), values, min(one["harm"]["n"] for one in by_seed.values()))


def natural(name: str) -> tuple[tuple[str, float], ...]:
    """A name to sort by, its numbers as numbers.

    >>> sorted(["delta-10", "delta-2", "delta-2.5"], key=natural)
    ['delta-2', 'delta-2.5', 'delta-10']
    """
    return tuple((words, float(number or 0)) for words, number in re.findall(r"([^0-9]*)([0-9]+(?:\.[0-9]+)?)?", name))
