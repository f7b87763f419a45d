"""`sweep.json`: whose folder this is, and what all its finished runs found; put together from what lies on disk."""

import json
from collections.abc import Sequence
from pathlib import Path

from safedpo.errors import UserError
from safedpo.files import write_json

SWEEP = "sweep.json"


def claim(home: Path, found: dict | None, about: dict) -> None:
    """Make the folder this sweep's own, or find that it is; refuses a folder that holds anything else.

    `found`: what `sweep.json` says; `about`: the settings, versions and fingerprints of this sweep.
    """
    if found is None:
        home.mkdir(parents=True, exist_ok=True)
        # Another process may be claiming the folder at this moment: its unfinished file is no stranger.
        if others := sorted(path.name for path in home.iterdir() if SWEEP not in path.name):
            raise UserError(
                f"{home} is not empty and holds no {SWEEP} (found {', '.join(others[:5])}); give a new output_dir"
            )
        assemble(home, about)
        return
    for part in ("fingerprints", "settings"):
        different = [
            f"{name}: there {found[part].get(name)!r}, here {value!r}"
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
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        found["settings"]["dtype"], found["fingerprints"]["reference"]
        return found
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} is damaged ({error!r}); give another output_dir, or delete {home}") from error


def assemble(home: Path, about: dict) -> dict:
    """Put `sweep.json` together from the finished runs in `home`, and once more if another process added one."""
    while True:
        files = sorted(home.glob("*/*/points.json"))
        runs = [json.loads(file.read_text(encoding="utf-8")) for file in files]
        runs.sort(key=lambda run: (run["rule"] != "safedpo", run["rule"], run["delta"], run["seed"]))
        content = about | {
            "commands": sorted({run.pop("command") for run in runs}),
            "reference": _reference(home, files, about["shown_prompts"]),
            "runs": runs,
        }
        write_json(home / SWEEP, content, indent=None)
        if sorted(home.glob("*/*/points.json")) == files:
            return content


def _reference(home: Path, files: Sequence[Path], prompts: Sequence[str]) -> dict | None:
    """The reference's metrics and its responses to the shown prompts; None while no run is finished."""
    if not files:
        return None
    metrics = json.loads((files[0].parent / "evaluation.json").read_text(encoding="utf-8"))["reference"]
    responses: dict[str, dict] = {prompt: {} for prompt in prompts}
    for line in (home / "samples-reference.jsonl").read_text(encoding="utf-8").splitlines():
        sample = json.loads(line)
        if sample["prompt"] in responses:
            responses[sample["prompt"]].setdefault("greedy" if sample["greedy"] else "sampled", sample["response"])
    return metrics | {"responses": [{"prompt": prompt, **texts} for prompt, texts in responses.items()]}
