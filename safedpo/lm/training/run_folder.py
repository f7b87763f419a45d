"""The folder of a run: whose it is, and how a finished run is put into it without half-written files."""

import json
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from safedpo.errors import UserError
from safedpo.files import write_json
from safedpo.lm.models.adapters import write_portable_config
from safedpo.lm.training.checkpoints import UNFINISHED, checkpoints

VERSIONS = ("safedpo", "torch", "transformers", "peft", "accelerate")
IDENTITY = ("kind", "model", "data", "dtype", "fingerprints", "settings", "processes")  # what makes it the same run


def claim(config, about: dict) -> dict:
    """Make the folder this run's own, or find that it holds the same run, interrupted. Refuses all else.

    Returns what the interrupted run had noted about itself (nothing if there was none).
    """
    folder, about, found = Path(config.output_dir), _plain(about), None
    if config.should_save:
        folder.mkdir(parents=True, exist_ok=True)
        found = _found(folder)
        if found is None:
            write_json(folder / "run.json", about | {"status": "running", "versions": versions()})
        elif different := _differences(found, about):
            raise UserError(
                f"{folder} holds another run (it differs in {'; '.join(different)}); give another output_dir, "
                "or delete that folder"
            )
        elif found.get("status") == "finished":
            raise UserError(f"{folder} holds this very run, finished; read its run.json, or give another output_dir")
    if config.world_size > 1:
        config.distributed_state.wait_for_everyone()
    return found or {}


def dtype_of_run(output_dir: str | Path, dtype: str) -> str:
    """`dtype` as asked; for `auto` that of the interrupted run in `output_dir`, if there is one.

    So a run goes on in the number format it began in, on whatever machine.

    >>> dtype_of_run("no/such/run", "auto")
    'auto'
    """
    file = Path(output_dir) / "run.json"
    if dtype != "auto" or not file.is_file():
        return dtype
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return found["dtype"] if found["status"] == "running" else dtype
    except (ValueError, KeyError, TypeError):
        return dtype  # `claim` says what is wrong with it


def note(config, **facts) -> None:
    """Add facts to the `run.json` of a run that goes on, so that they outlive an interruption."""
    if config.should_save:
        file = Path(config.output_dir) / "run.json"
        write_json(file, json.loads(file.read_text(encoding="utf-8")) | _plain(facts))


def _found(folder: Path) -> dict | None:
    file = folder / "run.json"
    if not file.exists():
        if others := [path.name for path in folder.iterdir()]:
            raise UserError(
                f"{folder} is not empty and holds no run.json (found {', '.join(sorted(others)[:5])}); "
                "give a new output_dir"
            )
        return None
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file} is damaged ({error}); delete {folder} or give another output_dir") from error


def _differences(found: dict, about: dict) -> list[str]:
    pairs = [(name, found.get(name), about.get(name)) for name in IDENTITY if not isinstance(about.get(name), dict)]
    for group in ("settings", "fingerprints"):
        old, new = found.get(group, {}), about.get(group, {})
        pairs += [(name, old.get(name), new.get(name)) for name in sorted(old.keys() | new.keys())]
    return [f"{name}: there {old!r}, here {new!r}" for name, old, new in pairs if old != new][:5]


def finish(model, tokenizer, folder: Path, about: dict) -> None:
    """Put the trained weights and, last, the final `run.json` into the folder; then remove the checkpoints."""
    staged = folder / UNFINISHED
    shutil.rmtree(staged, ignore_errors=True)
    model.save_pretrained(staged)
    write_portable_config(staged)
    if not (staged / "adapter_config.json").exists():
        tokenizer.save_pretrained(staged)  # full training makes a model folder of its own
    (staged / "README.md").unlink(missing_ok=True)  # PEFT's form to fill in; run.json says it all
    for file in sorted(staged.iterdir()):
        file.replace(folder / file.name)
    staged.rmdir()
    write_json(folder / "run.json", _plain(about) | {"status": "finished", "versions": versions()})
    for checkpoint in checkpoints(folder):
        shutil.rmtree(checkpoint)


def read_log(folder: Path) -> list[dict]:
    """The rows of `log.jsonl`: one a logged step."""
    lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def versions() -> dict[str, str]:
    """The installed versions that results depend on."""
    found = {}
    for name in VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a clone that was not installed
            found[name] = "not installed"
    return found


def _plain(content: dict) -> dict:
    return json.loads(json.dumps(content, default=str))
