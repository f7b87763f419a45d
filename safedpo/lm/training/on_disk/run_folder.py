"""The folder of a run: whose it is, and how a finished run is put into it without half-written files."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safedpo.errors import UserError
from safedpo.files import (
    exclusive,
    file_sha256,
    leftover,
    read_json,
    remove_leftovers,
    write_json,
    writing,
)
from safedpo.lm.models.adapters import write_portable_config
from safedpo.lm.training.on_disk.about import differences, plain, versions
from safedpo.lm.training.on_disk.checkpoints import UNFINISHED, checkpoints, last_good


@contextmanager
def held(config) -> Iterator[None]:
    """Hold the run's folder for the time of the block, and say what is kept when the disk refuses in the middle of it.

    A second run in the same folder is refused. Of several processes of one run, the first holds the folder for all.

    >>> import tempfile
    >>> from types import SimpleNamespace
    >>> with tempfile.TemporaryDirectory() as home:
    ...     config = SimpleNamespace(output_dir=f"{home}/run", should_save=True)
    ...     with held(config), held(config):
    ...         pass
    Traceback (most recent call last):
    safedpo.errors.UserError: ...
    """
    folder = Path(config.output_dir)
    if not config.should_save:
        yield
        return
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder):
        try:
            with writing(folder):
                yield
        except UserError as error:
            if str(error).startswith("cannot write"):
                raise UserError(f"{error}. {_kept(folder)}") from error
            raise


def _kept(folder: Path) -> str:
    good = last_good(folder) if folder.is_dir() else None
    return (
        f"The run is kept up to {good.name}: start it again with the same arguments, and it goes on from there"
        if good
        else "Nothing of this run is kept; start it again"
    )


def claim_folder(config, about: dict) -> dict:
    """Make the folder this run's own, or find that it holds the same run, interrupted. Refuses all else.

    Returns what the interrupted run had noted about itself (nothing if there was none).

    >>> import tempfile
    >>> from types import SimpleNamespace
    >>> with tempfile.TemporaryDirectory() as home:
    ...     config = SimpleNamespace(output_dir=home, should_save=True, world_size=1)
    ...     first = claim_folder(config, {"kind": "train", "settings": {"beta": 0.1}})
    ...     claim_folder(config, {"kind": "train", "settings": {"beta": 0.2}})
    Traceback (most recent call last):
    safedpo.errors.UserError: ...holds another run (it differs in ...
    """
    folder, about, found = Path(config.output_dir), plain(about), None
    if config.should_save:
        found = _found(folder)
        if found is None:
            remove_leftovers(folder)
            write_json(folder / "run.json", about | {"status": "running", "versions": versions()}, seal=True)
        elif different := differences(found, about):
            raise UserError(
                f"{folder} holds another run (it differs in {'; '.join(different)}); give another output_dir, "
                "or delete that folder"
            )
        elif found.get("status") == "finished":
            tidy(folder)  # it may have been killed between its last write and this
            raise UserError(f"{folder} holds this very run, finished; read its run.json, or give another output_dir")
        else:
            remove_leftovers(folder)
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
        found = read_json(file)
    except UserError:
        return dtype  # `claim_folder` says what is wrong with it
    going_on = found.get("status") == "running" and isinstance(found.get("dtype"), str)
    return found["dtype"] if going_on else dtype


def note(config, **facts) -> None:
    """Add facts to the `run.json` of a run that goes on, so that they outlive an interruption.

    >>> import tempfile
    >>> from types import SimpleNamespace
    >>> with tempfile.TemporaryDirectory() as home:
    ...     write_json(Path(home) / "run.json", {"kind": "train"})
    ...     note(SimpleNamespace(output_dir=home, should_save=True), step_zero=0.7)
    ...     read_json(Path(home) / "run.json")
    {'kind': 'train', 'step_zero': 0.7}
    """
    if config.should_save:
        file = Path(config.output_dir) / "run.json"
        write_json(file, read_json(file) | plain(facts), seal=True)


def _found(folder: Path) -> dict | None:
    file = folder / "run.json"
    if not file.exists():
        if others := [path.name for path in folder.iterdir() if not leftover(path)]:
            raise UserError(
                f"{folder} is not empty and holds no run.json (found {', '.join(sorted(others)[:5])}); "
                "give a new output_dir"
            )
        return None
    return read_json(file, way_out=f"delete {folder} or give another output_dir")


def finish(model, tokenizer, folder: Path, about: dict, weights: dict | None = None) -> None:
    """Put the trained weights and, last, the final `run.json` into the folder; then remove the checkpoints.

    `run.json` names each file with its sha256 (`files`), so that a bit that is flipped later is noticed. `weights`: the whole
    ones of a model that is spread over processes.

    >>> import tempfile
    >>> from safedpo.lm.models.adapters import add_lora
    >>> from safedpo.lm.models.tiny import tiny_model, tiny_tokenizer
    >>> with tempfile.TemporaryDirectory() as home:
    ...     finish(add_lora(tiny_model(), r=1), tiny_tokenizer(), Path(home), {"kind": "train"})
    ...     run = read_json(Path(home) / "run.json")
    ...     run["status"], run["files"]["adapter_model.safetensors"] == file_sha256(Path(home) / "adapter_model.safetensors")
    ('finished', True)
    """
    staged = folder / UNFINISHED
    shutil.rmtree(staged, ignore_errors=True)
    model.save_pretrained(staged, state_dict=weights)
    write_portable_config(staged)
    if not (staged / "adapter_config.json").exists():
        tokenizer.save_pretrained(staged)  # full training makes a model folder of its own
    (staged / "README.md").unlink(missing_ok=True)  # PEFT's form to fill in; run.json says it all
    files = {file.name: file_sha256(file) for file in sorted(staged.iterdir())}
    for name in files:
        (staged / name).replace(folder / name)
    log = {"log.jsonl": file_sha256(folder / "log.jsonl")} if (folder / "log.jsonl").exists() else {}
    end = {"status": "finished", "files": files | log, "versions": versions()}
    write_json(folder / "run.json", plain(about) | end, seal=True)
    tidy(folder)


def tidy(folder: Path) -> None:
    """Remove what only an unfinished run needs: its checkpoints, and what killed writes left.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home:
    ...     (Path(home) / ".run.json.unfinished-7").touch()
    ...     tidy(Path(home))
    ...     list(Path(home).iterdir())
    []
    """
    shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
    for checkpoint in checkpoints(folder):
        shutil.rmtree(checkpoint, ignore_errors=True)
    remove_leftovers(folder)
