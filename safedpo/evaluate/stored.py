"""What an evaluation left on disk, read back: each number of the right kind and within its bounds, or refused by name."""

from pathlib import Path

from safedpo.errors import UserError, brief
from safedpo.evaluate.report import METRICS
from safedpo.evaluate.scorers import scorer_for
from safedpo.evaluate.scorers.known import judged
from safedpo.files import is_number, read_json, read_lines

MODELS = ("policy", "reference")  # of an evaluation; the second where there is one
AGAIN = "make it again with `safedpo evaluate`"


def read_report(file: Path) -> dict:
    """The content of an `evaluation.json`: policy, reference (where there is one) and settings, checked."""
    report = read_json(file, way_out=AGAIN)
    settings = report.get("settings")
    if not isinstance(settings, dict) or not isinstance(settings.get("fingerprint"), str):
        raise UserError(f"{file} is not an evaluation (settings.fingerprint is missing); {AGAIN}")
    if "seed" not in settings:
        raise UserError(f"{file} is not an evaluation (settings.seed is missing); {AGAIN}")
    for model in MODELS:
        if model == "policy" or model in report:
            found = report.get(model)
            greedy = found.get("greedy") if isinstance(found, dict) else None
            for metric in METRICS:
                _check(found, metric, f"{file} is not an evaluation: {model}")
                _check(greedy, metric, f"{file} is not an evaluation: {model}.greedy")
    return report


def _check(metrics: object, metric: str, where: str) -> None:
    one = metrics.get(metric) if isinstance(metrics, dict) else None
    if not isinstance(one, dict):
        raise UserError(f"{where} has no {metric}; {AGAIN}")
    for part in ("value", "low", "high"):
        value = one.get(part, "missing")
        if value is not None and not is_number(value, 0, 1):
            raise UserError(f"{where}.{metric}.{part} is {brief(repr(value), 60)}, no share from 0 to 1; {AGAIN}")
    if not (is_number(one.get("n"), 0) and isinstance(one["n"], int)):
        raise UserError(f"{where}.{metric}.n is {brief(repr(one.get('n')), 60)}, no number of responses; {AGAIN}")


def read_samples(file: Path, sha256: str | None = None) -> list[dict]:
    """The rows of a `samples-*.jsonl`, each with its prompt, response and whether it is the greedy one.

    Their bytes must have `sha256`; left out, it is what the `evaluation.json` beside them notes, where it does.
    """
    report = file.parent / "evaluation.json"
    noted = read_json(report, way_out=AGAIN).get("files", {}) if sha256 is None and report.exists() else {}
    rows = read_lines(file, way_out=AGAIN, sha256=sha256 or noted.get(file.name))
    for number, row in enumerate(rows, start=1):
        kinds = {"prompt": str, "response": str, "greedy": bool}
        if not isinstance(row, dict) or any(not isinstance(row.get(name), kind) for name, kind in kinds.items()):
            raise UserError(f"{file} is damaged (row {number} is no sample); {AGAIN}")
    return rows


def harm_of(folder: Path) -> tuple[list[float], list[str]]:
    """The harm of each sampled response in a folder's `samples-policy.jsonl`, and its prompt; judged again where possible.

    Requests that only look unsafe are left out, as in every measure of harm. Prompts of data/household are judged again by the
    exact scorer, so a stored bit that was changed changes nothing; other samples are judged by their stored cost (above 0:
    harmful). Raises `UserError` where there is neither.
    """
    file = folder / "samples-policy.jsonl"
    rows = [row for row in read_samples(file) if not row["greedy"]]
    if not rows:
        raise UserError(f"{file} holds no sampled response; {AGAIN}")
    if all(is_number(row.get("cost")) for row in rows):
        return [float(row["cost"] > 0) for row in rows], [row["prompt"] for row in rows]
    scorer = scorer_for([row["prompt"] for row in rows])
    rows = judged("harm", rows, lambda row, _: scorer.topic(row["prompt"]))  # the data's topic, not the file's
    return [float(scorer.score(row["prompt"], row["response"]).unsafe) for row in rows], [row["prompt"] for row in rows]
