"""Settings tried on validation: one run of a sweep each, its summary, and what happened to the log-probabilities."""

import json
from pathlib import Path
from typing import Any

from safedpo.cli.maintain.showcase.measure import headline, read_summary, write_summary
from safedpo.cli.maintain.showcase.plan import Plan
from safedpo.errors import UserError
from safedpo.evaluate.sweep import SweepSettings, sweep
from safedpo.files import read_json
from safedpo.household import load

COMMAND = "safedpo maintain showcase"
Part = tuple[int, int]  # (k, n): the k-th of n, from 1


def split_file(plan: Plan, split: str) -> Path:
    """The file of a split: of the shipped data, or of the plan's own."""
    return Path(plan.data) / f"{split}.jsonl" if plan.data else load(split)


def tried(home: Path, plan: Plan, stage: str, todo: dict[str, tuple[str, dict]], part: Part, delta=10) -> dict | None:
    """name -> the summary of a setting, of which a part is tried here; None while one of the others is not there."""
    for name in list(todo)[part[0] - 1 :: part[1]]:
        found = headline(_try(home, plan, home / stage / name, *todo[name], delta))
        print(f"{name}: {percent(found)}", flush=True)
    files = {name: home / stage / name / "summary.json" for name in todo}
    if missing := [name for name, file in files.items() if not file.exists()]:
        print(f"{stage}: nothing is chosen while {', '.join(missing)} is not there; start it again then", flush=True)
        return None
    return {name: read_summary(file) for name, file in files.items()}


def _try(home: Path, plan: Plan, folder: Path, kind: str, settings: dict, delta: float) -> dict[str, Any]:
    """One setting with seed 0 on validation, at its end; its summary, with what happened to the log-probabilities."""
    file = folder / "summary.json"
    if not file.exists():
        own = settings | {"budgets": settings["budgets"][-1:], "samples": 1, "max_new_tokens": plan.max_new_tokens}
        own |= {"model": plan.model, "dtype": plan.dtype, "prompts": split_file(plan, "validation")}
        data = needed(home / "pairs" / f"{kind}.jsonl", "pairs")
        sweep(SweepSettings(deltas=(delta,), data=data, **own), folder, command=COMMAND)
        run = folder / f"safedpo-delta-{delta:g}" / "0"
        log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        last = log[-max(1, len(log) // 10) :]
        mean = {
            name: sum(row[name] for row in last) / len(last)
            for name in ("loss", "rewards/chosen", "rewards/rejected", "rewards/margins")
        }
        prints = {
            "fingerprints": read_json(folder / "sweep.json")["fingerprints"]
        }  # of the pairs, the prompts, the reference
        write_summary(folder / "reference.json", folder / "samples-reference.jsonl", **prints)
        write_summary(file, run / "samples-policy.jsonl", training=mean, **prints)
    return read_summary(file)


def reference_broken(home: Path) -> float:
    """The reference's share of broken sentences on validation, as the runs beside the policies measured it."""
    return headline(read_summary(needed(home / "compare" / "own" / "reference.json", "compare")))["broken"]


def needed(path: Path, stage: str) -> Path:
    if not path.exists():
        raise UserError(f"{path} is missing; run {COMMAND} --stage {stage} first")
    return path


def percent(found: dict[str, float]) -> str:
    return ", ".join(f"{name} {100 * value:.1f}" for name, value in found.items())
