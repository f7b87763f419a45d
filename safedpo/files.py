"""Where the project's own files are, and the one way in which files are written: whole, or not at all."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safedpo.errors import UserError

PACKAGE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """The folder `data` or `notebooks` that came with this copy of the package: beside it in a clone, inside it in a wheel.

    >>> (shipped("data") / "household").name
    'household'
    """
    beside, inside = PACKAGE.parent / name, PACKAGE / f"_{name}"
    for folder in (inside, beside):
        if folder.is_dir():
            return folder
    raise UserError(f"{name}/ was found neither in {inside} nor in {beside}; install safedpo again")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to; it becomes `path` only if the block ends well.

    A reader, or a run that is killed, never meets half a file. Raises `UserError` where the disk refuses.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home:
    ...     with whole_file(Path(home) / "answer.txt") as unfinished:
    ...         _ = unfinished.write_text("42")
    ...     [path.name for path in Path(home).iterdir()]
    ['answer.txt']
    """
    unfinished = path.with_name(f".{path.name}.unfinished-{os.getpid()}")
    try:
        yield unfinished
        unfinished.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}; free space or name another folder") from error
    finally:
        unfinished.unlink(missing_ok=True)


def write_json(path: Path, content: object, *, indent: int | None = 2) -> None:
    """Write `content` as one whole JSON file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home:
    ...     write_json(Path(home) / "a.json", {"delta": 10})
    ...     (Path(home) / "a.json").read_text().split()
    ['{', '"delta":', '10', '}']
    """
    with whole_file(path) as unfinished:
        unfinished.write_text(json.dumps(content, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")
