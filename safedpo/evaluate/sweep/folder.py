"""`sweep.json`: whose folder this is, and what all its finished runs found; put together from what lies on disk."""

from collections.abc import Sequence
from pathlib import Path

from safedpo.errors import UserError, brief
from safedpo.evaluate.stored import read_report, read_samples
from safedpo.files import exclusive, leftover, read_json, write_json, writing

SWEEP, SAMPLES = "sweep.json", "samples-reference.jsonl"


def claim_folder(home: Path, about: dict) -> None:
    """Make the folder this sweep's own, or find that it is; refuses a folder that holds anything else.

    `about`: the settings, versions and fingerprints of this sweep. Several processes that start at once wait for one
    another here: the first makes the folder theirs, the others find that it is.
    """
    with writing(home):
        home.mkdir(parents=True, exist_ok=True)
    with exclusive(home, wait=True):
        found = read(home)
        if found is None:
            if others := sorted(path.name for path in home.iterdir() if not leftover(path)):
                raise UserError(
                    f"{home} is not empty and holds no {SWEEP} (found {', '.join(others[:5])}); give a new output_dir"
                )
            _assemble(home, about)
            return
    for part in ("fingerprints", "settings"):
        different = [
            f"{name}: there {brief(repr(found[part].get(name)))}, here {brief(repr(value))}"
            for name, value in about[part].items()
            if found[part].get(name) != value
        ]
        if different:
            raise UserError(
                f"{home} holds another sweep (it differs in {'; '.join(different[:5])}); give another "
                "output_dir, or the settings of that sweep"
            )


def read(home: Path) -> dict | None:
    """What `sweep.json` says, or None where there is none."""
    file = home / SWEEP
    if not file.exists():
        return None
    way_out = f"give another output_dir, or delete {home}"
    found = read_json(file, way_out=way_out)
    settings, prints = found.get("settings"), found.get("fingerprints")
    if not (isinstance(settings, dict) and isinstance(prints, dict) and isinstance(settings.get("dtype"), str)):
        raise UserError(f"{file} is damaged (settings or fingerprints are missing); {way_out}")
    return found


def assemble(home: Path, about: dict) -> dict:
    """Put `sweep.json` together from the finished runs in `home`; one process at a time, the others wait."""
    with exclusive(home, wait=True):
        return _assemble(home, about)


def _assemble(home: Path, about: dict) -> dict:
    files = sorted(home.glob("*/*/points.json"))
    runs = [_points(file) for file in files]
    runs.sort(key=lambda run: (run["rule"] != "safedpo", run["rule"], run["delta"], run["seed"]))
    content = about | {
        "commands": sorted({run.pop("command") for run in runs}),
        "reference": _reference(home, files, about["shown_prompts"]),
        "files": _sums(files),
        "runs": runs,
    }
    write_json(home / SWEEP, content, indent=None, seal=True)
    return content


def _sums(files: Sequence[Path]) -> dict[str, str]:
    """The sha256 of the reference's samples, as the evaluation of a run noted it; nothing while no run is finished."""
    noted = read_json(files[0].parent / "evaluation.json").get("files", {}) if files else {}
    return {name: noted[name] for name in (SAMPLES,) if name in noted}


def _points(file: Path) -> dict:
    way_out = f"delete {file} and start the sweep again: that run is measured once more"
    run = read_json(file, way_out=way_out)
    right = {"rule": str, "delta": int | float, "seed": int, "command": str, "points": list}
    if wrong := [name for name, kind in right.items() if not isinstance(run.get(name), kind)]:
        raise UserError(f"{file} is damaged ({wrong[0]} is {brief(repr(run.get(wrong[0])), 60)}); {way_out}")
    return run


def _reference(home: Path, files: Sequence[Path], prompts: Sequence[str]) -> dict | None:
    """The reference's metrics and its responses to the shown prompts; None while no run is finished."""
    if not files:
        return None
    metrics = read_report(files[0].parent / "evaluation.json")["reference"]
    responses: dict[str, dict] = {prompt: {} for prompt in prompts}
    for sample in read_samples(home / SAMPLES, _sums(files).get(SAMPLES)):
        if sample["prompt"] in responses:
            responses[sample["prompt"]].setdefault("greedy" if sample["greedy"] else "sampled", sample["response"])
    return metrics | {"responses": [{"prompt": prompt, **texts} for prompt, texts in responses.items()]}
