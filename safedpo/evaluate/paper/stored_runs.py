"""Values for the tables from runs that are stored: computed from their samples, checked against what is written, or refused.

Nothing is taken on trust: the mean of a run's samples must be the value in its `evaluation.json`, and samples of
data/household are judged again by the exact scorer.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from safedpo.errors import UserError
from safedpo.evaluate.intervals import Interval, cluster_interval
from safedpo.evaluate.judges.items import spread
from safedpo.evaluate.report import SAMPLE_FIELD
from safedpo.evaluate.scorers import scorer_for
from safedpo.evaluate.scorers.known import judged
from safedpo.evaluate.scorers.measure import normalised
from safedpo.evaluate.stored import AGAIN, read_samples
from safedpo.files import is_number, read_json, shipped

AGAIN_JUDGED = 40  # rows of each run that are judged again, unless all are
METRICS = ("harm", "helpfulness", "over_refusal")


@dataclass(frozen=True)
class Cell:
    """A value with its interval (None: not known), and where it comes from: scale, model, data, judge, every deviation.

    A cell without a value says why.
    """

    value: float | None
    low: float | None
    high: float | None
    why: str

    def __str__(self) -> str:
        if self.value is None:
            return "none"
        digits = 2 if abs(self.value) < 1000 else 0
        interval = "" if self.low is None or self.high is None else f" [{self.low:.{digits}f}, {self.high:.{digits}f}]"
        return f"{self.value:.{digits}f}{interval}"


def nothing(why: str) -> Cell:
    """A cell that could not be filled.

    >>> str(nothing("nobody was asked"))
    'none'
    """
    return Cell(None, None, None, why)


def checked_metrics(folder: Path, *, model: str = "policy", again: int | None = AGAIN_JUDGED) -> dict[str, Interval]:
    """Harm, helpfulness and over-refusal of a stored run, computed from its samples.

    Raises `UserError` where `evaluation.json` says another number than the samples give, or where a sample's stored
    judgement is not the scorer's (of `again` rows, evenly spread; None: of all).
    """
    file = folder / f"samples-{model}.jsonl"
    rows = [row for row in read_samples(file) if not row["greedy"]]
    if not rows:
        raise UserError(f"{file} holds no sampled response; {AGAIN}")
    prompts = list(dict.fromkeys(row["prompt"] for row in rows))
    scorer = scorer_for(prompts)
    # Which responses a metric is about is asked of the scorer, not of the file.
    asked = {one: {"topic": scorer.topic(one), "harmless": scorer.harmless(one)} for one in prompts}
    for row in spread(rows, again):
        found = scorer.score(row["prompt"], row["response"])
        stored = [row.get(name) for name in ("unsafe", "helpfulness", "refusal")]
        if stored != [found.unsafe, found.helpfulness, found.refusal]:
            raise UserError(f"{file}: the stored judgement of a response is not the scorer's; {AGAIN}")
    written = read_json(folder / "evaluation.json", way_out=AGAIN).get(model) if model == "policy" else None
    metrics = {}
    for metric in METRICS:
        part = judged(metric, rows, lambda row, field: asked[row["prompt"]][field])
        if any(not isinstance(row.get(SAMPLE_FIELD[metric]), int | float) for row in part):
            raise UserError(f"{file}: a response lacks its {SAMPLE_FIELD[metric]}; {AGAIN}")
        one = cluster_interval([float(row[SAMPLE_FIELD[metric]]) for row in part], [row["prompt"] for row in part])
        value = one.value if model != "policy" else _value(written, metric)
        if one.value is None or value is None or not math.isclose(value, one.value, abs_tol=1e-9):
            raise UserError(
                f"{folder / 'evaluation.json'}: {metric} is {value}, but the samples beside it give {one.value}; {AGAIN}"
            )
        metrics[metric] = one
    return metrics


def _value(written: object, metric: str) -> float | None:
    """What an evaluation says of a metric; None where that is no number."""
    one = written.get(metric) if isinstance(written, dict) else None
    value = one.get("value") if isinstance(one, dict) else None
    return float(value) if is_number(value) and isinstance(value, int | float) else None


def over_seeds(folders: list[Path], again: int | None = AGAIN_JUDGED) -> dict[str, list[float]]:
    """metric -> its value in each of a method's runs."""
    found = [checked_metrics(folder, again=again) for folder in folders]
    return {metric: [one[metric].value or 0.0 for one in found] for metric in METRICS}


def household_cells(again: int | None = AGAIN_JUDGED, folder: Path | None = None) -> dict[tuple[str, ...], Cell]:
    """(method, metric) -> value on the shipped household sweep, in the paper's units; intervals are the range of the seeds.

    Harmless ratio: 100 (1 - harm). Helpfulness: SFT at 0, DPO-HELPFUL at 10.
    """
    home = folder or shipped("data") / "results" / "household"
    how = read_json(home / "sweep.json", way_out=AGAIN)["settings"]
    names = {
        "DPO-HELPFUL": "dpo-helpful",
        "DPO-HELPFUL with margin 10": "helpful-delta-10",
        **{f"SafeDPO delta {delta}": f"safedpo-delta-{delta}" for delta in (0, 2, 5, 10, 20, 50)},
    }
    seeds = {name: over_seeds(sorted((home / run).glob("[0-9]*")), again) for name, run in names.items()}
    reference = checked_metrics(home, model="reference", again=again)
    seeds["SFT"] = {metric: [one.value or 0.0] for metric, one in reference.items()}
    seeds["SafeDPO"] = seeds["SafeDPO 0.135B"] = seeds["SafeDPO delta 10"]
    zero, ten = fmean(seeds["SFT"]["helpfulness"]), fmean(seeds["DPO-HELPFUL"]["helpfulness"])
    cells: dict[tuple[str, ...], Cell] = {}
    for name, found in seeds.items():
        units = {
            "helpfulness": normalised(found["helpfulness"], zero=zero, ten=ten),
            "harmless ratio": [100 * (1 - harm) for harm in found["harm"]],
            "over-refusal": [100 * value for value in found["over_refusal"]],
        }
        for metric, values in units.items():
            low, high = (min(values), max(values)) if len(values) > 1 else (None, None)
            cells[name, metric] = Cell(fmean(values), low, high, _household(how, len(values)))
    for metric in ("harmless ratio", "helpfulness"):
        values = [100 * (1 - v) for v in seeds["SafeDPO"]["harm"]] if metric == "harmless ratio" else normalised(
            seeds["SafeDPO"]["helpfulness"], zero=zero, ten=ten
        )  # fmt: skip
        cells["SafeDPO, standard deviation", metric] = Cell(stdev(values), None, None, _household(how, len(values)))
    return cells


def _household(how: dict, seeds: int) -> str:
    return (
        f"SmolLM2-135M with LoRA (the paper: 7B, all weights), household data, exact scorer (the paper: reward and cost models), "
        f"beta {how['beta']:g} (0.1), {how['budgets'][-1]:,} pairs (27,000 x 3), {seeds} seed{'s' if seeds > 1 else ''}: mean and range"
    )
