"""Checkpoints that are whole or do not count.

A checkpoint is written in a folder of another name, sealed with a manifest of sizes and hashes, and renamed when it is
complete. So a run killed at any moment, also while writing, finds the last good one; a file damaged later is noticed.
"""

import json
import re
import shutil
from pathlib import Path

from safedpo.files import file_sha256, read_json

MANIFEST = "manifest.json"
NAME = re.compile(r"checkpoint-([0-9]{1,9})")
UNFINISHED = ".unfinished"


def seal(folder: Path) -> None:
    """Write the manifest of all files in `folder`, last.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home:
    ...     _ = (Path(home) / "weights").write_text("1 2 3")
    ...     seal(Path(home))
    ...     json.loads((Path(home) / MANIFEST).read_text())["weights"][0]  # its size in bytes
    5
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    content = {str(path.relative_to(folder)): [path.stat().st_size, file_sha256(path)] for path in files}
    (folder / MANIFEST).write_text(json.dumps(content, indent=1), encoding="utf-8")


def is_whole(folder: Path) -> bool:
    """Whether every file that the manifest names is there, unchanged.

    >>> import tempfile
    >>> home = Path(tempfile.mkdtemp())
    >>> _ = (home / "weights").write_text("1 2 3")
    >>> seal(home)
    >>> whole = is_whole(home)
    >>> _ = (home / "weights").write_text("1 2")
    >>> whole, is_whole(home)
    (True, False)
    """
    try:
        content = read_json(folder / MANIFEST)
        return bool(content) and all(
            (folder / name).stat().st_size == size and file_sha256(folder / name) == digest
            for name, (size, digest) in content.items()
        )
    except (OSError, ValueError, TypeError):
        return False


def publish(unfinished: Path, folder: Path) -> None:
    """Seal a checkpoint and give it its name.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home:
    ...     (Path(home) / UNFINISHED).mkdir()
    ...     _ = (Path(home) / UNFINISHED / "weights").write_text("1 2 3")
    ...     publish(Path(home) / UNFINISHED, Path(home) / "checkpoint-1")
    ...     [path.name for path in Path(home).iterdir()], is_whole(Path(home) / "checkpoint-1")
    (['checkpoint-1'], True)
    """
    seal(unfinished)
    shutil.rmtree(folder, ignore_errors=True)
    if folder.is_file():
        folder.unlink()
    unfinished.rename(folder)


def checkpoints(run: Path) -> list[Path]:
    """The checkpoints of a run, the newest step first.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home:
    ...     for name in ("checkpoint-9", "checkpoint-10", "checkpoint-old"):
    ...         (Path(home) / name).mkdir()
    ...     [path.name for path in checkpoints(Path(home))]
    ['checkpoint-10', 'checkpoint-9']
    """
    found = [path for path in run.glob("checkpoint-*") if NAME.fullmatch(path.name) and path.is_dir()]
    return sorted(found, key=lambda path: -int(path.name.removeprefix("checkpoint-")))


def last_good(run: Path) -> Path | None:
    """The newest whole checkpoint of a run, or None.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home:
    ...     for step in (1, 2):
    ...         (Path(home) / f"checkpoint-{step}").mkdir()
    ...         _ = (Path(home) / f"checkpoint-{step}" / "weights").write_text("1 2 3")
    ...     seal(Path(home) / "checkpoint-1")
    ...     last_good(Path(home)).name  # 2 was never sealed
    'checkpoint-1'
    """
    return next((path for path in checkpoints(run) if is_whole(path)), None)


def resume_from(run: Path) -> Path | None:
    """The newest whole checkpoint of a run, or None; newer ones are damaged, and are removed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home:
    ...     for step in (1, 2):
    ...         (Path(home) / f"checkpoint-{step}").mkdir()
    ...         _ = (Path(home) / f"checkpoint-{step}" / "weights").write_text("1 2 3")
    ...     seal(Path(home) / "checkpoint-1")
    ...     resume_from(Path(home)).name, (Path(home) / "checkpoint-2").exists()
    ('checkpoint-1', False)
    """
    good = last_good(run)
    for path in checkpoints(run):
        if path == good:
            break
        shutil.rmtree(path)
    return good


def clear(run: Path, keep: int) -> None:
    """Remove all but the newest `keep` checkpoints, and what a killed run left unfinished.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home:
    ...     for step in (1, 2, 3):
    ...         (Path(home) / f"checkpoint-{step}").mkdir()
    ...     clear(Path(home), keep=1)
    ...     [path.name for path in Path(home).iterdir()]
    ['checkpoint-3']
    """
    for path in checkpoints(run)[keep:]:
        shutil.rmtree(path)
    shutil.rmtree(run / UNFINISHED, ignore_errors=True)
