"""Measured results that are stored, behind one door: the sweep, one of its runs, the reference's samples, the blends.

A folder that `safedpo sweep` filled, shipped (`data/results/household`) or the reader's own:

    stored_results()            the shipped one; refused where it was made of other data or another reference
    stored_results("runs/t4")   the reader's own
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from safedpo.errors import UserError
from safedpo.evaluate.results.checked import METRICS, check_stored
from safedpo.evaluate.results.policies import AGAIN, method, must_fit_what_is_shipped
from safedpo.files import read_json, read_lines, shipped

if TYPE_CHECKING:  # its module needs transformers, which these results do without
    from safedpo.evaluate.table import Row


@dataclass(frozen=True)
class Results:
    """What a sweep found. `sweep` is the content of its `sweep.json`, which is what `safedpo.show.explorer` takes."""

    folder: Path
    sweep: dict

    @property
    def budgets(self) -> list[int]:
        """Pairs seen when the policies were measured; the last is the length of a run."""
        return self.sweep["settings"]["budgets"]

    @property
    def beta(self) -> float:
        return self.sweep["settings"]["beta"]

    @property
    def reference(self) -> dict[str, dict]:
        """metric -> `{"value", "low", "high", "n"}` of the reference."""
        return self.sweep["reference"]

    def deltas(self, rule: str = "safedpo") -> list[float]:
        """The safety margins that were trained under a rule, ascending."""
        return sorted({run["delta"] for run in self.sweep["runs"] if run["rule"] == rule})

    def points(self, delta: float, *, rule: str = "safedpo", pairs: int | None = None) -> list[dict]:
        """What each seed's run was after `pairs` (default: at its end): metrics with intervals, and responses.

        Raises `UserError` where there is no such run, or none was measured after so many pairs.
        """
        pairs = self.budgets[-1] if pairs is None else pairs
        runs = self._runs(rule, delta)
        if pairs not in self.budgets:
            raise UserError(f"nothing was measured after {pairs} pairs; the budgets are {self.budgets}")
        return [point for run in runs for point in run["points"] if point["pairs"] == pairs]

    def values(self, metric: str, delta: float, *, rule: str = "safedpo", pairs: int | None = None) -> list[float]:
        """A metric of each seed, in [0, 1].

        >>> max(stored_results().values("harm", 10)) < min(stored_results().values("harm", 0))
        True
        """
        return [point[metric]["value"] for point in self.points(delta, rule=rule, pairs=pairs)]

    def topic_values(self, metric: str, topic: str, delta: float, *, rule: str = "safedpo") -> list[dict]:
        """A metric of each seed on the prompts of one topic, at the end of its run: `{"value", "low", "high", ...}`.

        Raises `UserError` where there is no such run, metric or topic.

        >>> len(stored_results().topic_values("over_refusal", "lookalikes", 10))
        3
        """
        found = []
        for seed in (run["seed"] for run in self._runs(rule, delta)):
            file = self.folder / method(rule, delta) / str(seed) / "evaluation.json"
            topics = _json(file)["policy"]["topics"]
            if metric not in topics.get(topic, {}):
                raise UserError(
                    f"{file} has no {metric} of the topic {topic!r}; it has {', '.join(METRICS)} of {', '.join(topics)}"
                )
            found.append(topics[topic][metric])
        return found

    def _runs(self, rule: str, delta: float) -> list[dict]:
        """The runs of a method, by seed."""
        runs = [run for run in self.sweep["runs"] if (run["rule"], run["delta"]) == (rule, delta)]
        if not runs:
            trained = ", ".join(f"{one:g}" for one in self.deltas(rule)) or "none"
            raise UserError(f"{self.folder} holds no run with rule {rule} and delta {delta:g}; trained were {trained}")
        return sorted(runs, key=lambda run: run["seed"])

    def responses(self, delta: float, *, rule: str = "safedpo") -> list[dict]:
        """The first seed's responses to the shown prompts at the end of its run.

        `{"prompt", "greedy", "sampled", "tokens", "log_ratios"}`; the last two belong to the greedy response.
        """
        return self.points(delta, rule=rule)[0]["responses"]

    def log(self, name: str, seed: int = 0) -> list[dict]:
        """The training log of one run, a dict a step; `name` is its folder's, for example `safedpo-delta-10`."""
        run = self.folder / name / str(seed)
        return _lines(run / "log.jsonl", _noted(run / "run.json", "log.jsonl"))

    def table(self, *, greedy: bool = False) -> "list[Row]":
        """One row a method, with every seed, as `safedpo table` prints it; `greedy`: of the greedy responses."""
        from safedpo.evaluate.table import read_rows

        return read_rows(self.folder, greedy=greedy)

    def reference_scores(self, metric: str = "helpfulness") -> tuple[list[str], Tensor]:
        """The prompts that a metric is about, and the scores of the reference's sampled responses: (P, S) float64, S a prompt.

        Raises `UserError` for a metric that there is none of.
        """
        from operator import getitem

        from safedpo.evaluate.report import SAMPLE_FIELD
        from safedpo.evaluate.scorers.known import judged

        if metric not in SAMPLE_FIELD:
            raise UserError(f"no metric {metric!r}; there are {', '.join(SAMPLE_FIELD)}")
        file = self.folder / "samples-reference.jsonl"
        rows = [row for row in _lines(file, self.sweep.get("files", {}).get(file.name)) if not row["greedy"]]
        rows = judged(metric, rows, getitem)
        by_prompt: dict[str, list[float]] = {}
        for row in rows:
            by_prompt.setdefault(row["prompt"], []).append(float(row[SAMPLE_FIELD[metric]]))
        return list(by_prompt), torch.tensor(list(by_prompt.values()), dtype=torch.float64)

    @cached_property
    def blends(self) -> dict:
        """Blends of neighbouring margins, measured beside the policy that was trained in between (`blends.json`)."""
        return _json(self.folder / "blends.json")

    def must_rest_on(self, fingerprint: str, whose: str = "the model loaded here") -> None:
        """Raise `UserError` unless the reference of these results has this fingerprint.

        >>> stored_results().must_rest_on("0000")
        Traceback (most recent call last):
        ...
        safedpo.errors.UserError: .../household rests on the reference ..., the model loaded here is 0000: \
numbers of one say nothing about the other; load the model that sweep.json names, or run the sweep again
        """
        found = self.sweep["fingerprints"]["reference"]
        if found != fingerprint:
            raise UserError(
                f"{self.folder} rests on the reference {found}, {whose} is {fingerprint}: numbers of one say nothing "
                "about the other; load the model that sweep.json names, or run the sweep again"
            )


def stored_results(folder: str | Path | None = None) -> Results:
    """The results in a sweep's folder; without one the shipped ones, checked against the shipped data and adapters.

    Raises `UserError` for a folder that holds no finished sweep, for damaged files, and, of the shipped results, where
    the training data, the held-out prompts or the adapters' reference are not those that they were made with.

    >>> results = stored_results()
    >>> results.deltas(), results.budgets
    ([0.0, 2.0, 5.0, 10.0, 20.0, 50.0], [300, 600, 1000])
    """
    home = Path(folder) if folder is not None else shipped("data") / "results" / "household"
    sweep = _json(home / "sweep.json")
    if sweep.get("runs") == []:
        raise UserError(f"the sweep in {home} has no finished run yet; start it again with the same command")
    check_stored(sweep, home / "sweep.json")
    results = Results(home, sweep)
    must_match_the_shipped(sweep, home)
    if folder is None:
        must_fit_what_is_shipped(results)
    return results


def must_match_the_shipped(sweep: Mapping, where: str | Path) -> None:
    """Raise `UserError` for a sweep that names the shipped model, pairs and prompts and was made of others.

    Such a sweep was made with another version of the kit, or its files were changed: its numbers would be read beside texts
    and a reference that they do not belong to. A sweep of a reader's own model or data names no shipped ones and passes.

    >>> sweep = stored_results().sweep
    >>> must_match_the_shipped(sweep, "runs/t4")
    >>> must_match_the_shipped(sweep | {"fingerprints": sweep["fingerprints"] | {"data": "0000"}}, "runs/old")
    Traceback (most recent call last):
    ...
    safedpo.errors.UserError: runs/old says that it was made of the shipped model and data, and differs from what is \
shipped: data fingerprint 0000 there, ... here; run the sweep again, or install the version that made it
    """
    file = shipped("data") / "results" / "household" / "sweep.json"
    if not file.exists() or Path(where) == file.parent:
        return
    ours = _json(file)
    if any(sweep.get("settings", {}).get(name) != ours["settings"][name] for name in ("model", "data", "prompts")):
        return
    theirs = sweep.get("fingerprints", {})
    different = [
        f"{name} fingerprint {theirs.get(name)} there, {known} here"
        for name, known in ours["fingerprints"].items()
        if theirs.get(name) != known
    ]
    if different:
        raise UserError(
            f"{where} says that it was made of the shipped model and data, and differs from what is shipped: "
            f"{'; '.join(different)}; run the sweep again, or install the version that made it"
        )


def _json(file: Path) -> dict:
    if not file.exists():
        raise UserError(f"{file} is missing; give the output directory of a finished `safedpo sweep`")
    return read_json(file, way_out=AGAIN)


def _lines(file: Path, sha256: str | None) -> list[dict]:
    if not file.exists():
        raise UserError(f"{file} is missing; give the folder of a finished sweep, and a run that it holds")
    return read_lines(file, way_out=AGAIN, sha256=sha256)


def _noted(file: Path, name: str) -> str | None:
    """The sha256 that `run.json` notes of a file beside it, where it does."""
    files = _json(file).get("files") if file.exists() else None
    return files.get(name) if isinstance(files, dict) else None
