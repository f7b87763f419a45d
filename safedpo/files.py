"""Where the project's own files are, and how files are read and written: whole, by one program at a time, or not at all."""

import errno
import glob
import json
import math
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safedpo.errors import UserError, brief

PACKAGE = Path(__file__).resolve().parent
_UNFINISHED = re.compile(r"\.(.+)\.unfinished-(\d+)")  # what a killed `whole_file` leaves behind


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
        with writing(path):
            _remove_of_the_dead(path)
            yield unfinished
            unfinished.replace(path)
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def _remove_of_the_dead(path: Path) -> None:
    """Remove what killed processes of this machine left of an earlier try to write `path`."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.unfinished-*"):
        found = _UNFINISHED.fullmatch(left.name)
        if found and not _alive(int(found[2])):
            with suppress(OSError):
                left.unlink()


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass
    return True


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Turn every way in which a disk refuses into one message that names `path`.

    `OSError` is what Python raises; safetensors and torch have exceptions of their own for a full disk.

    >>> with writing("results/run.json"):
    ...     raise OSError(errno.ENOSPC, "No space left on device")
    Traceback (most recent call last):
    safedpo.errors.UserError: cannot write results/run.json: No space left on device; free some space there, or name a \
folder on another disk
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = refusal_of_the_disk(error)
        if reason is None:
            raise
        way_out = "free some space there, or name a folder on another disk"
        raise UserError(f"cannot write {path}: {reason}; {way_out}") from error


def refusal_of_the_disk(error: BaseException) -> str | None:
    """What the disk said, if that is what went wrong; None for any other exception.

    >>> refusal_of_the_disk(RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"))
    'PytorchStreamWriter failed writing file data/0: file write failed'
    >>> refusal_of_the_disk(ValueError("beta is -1"))
    """
    if isinstance(error, OSError):
        about = f" ({error.filename})" if error.filename else ""
        return f"{error.strerror or brief(str(error)) or type(error).__name__}{about}"
    text = brief(str(error))
    by_name = type(error).__name__ == "SafetensorError" and ("I/O" in text or "os error" in text.lower())
    by_text = "PytorchStreamWriter" in text or "inline_container" in text or os.strerror(errno.ENOSPC) in text
    return text if by_name or (isinstance(error, RuntimeError) and by_text) else None


def write_json(path: Path, content: object, *, indent: int | None = 2) -> None:
    """Write `content` as one whole JSON file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home:
    ...     write_json(Path(home) / "a.json", {"delta": 10})
    ...     (Path(home) / "a.json").read_text().split()
    ['{', '"delta":', '10', '}']
    """
    write_text(path, json.dumps(content, indent=indent, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write `text` as one whole file in UTF-8; what UTF-8 cannot hold (half a surrogate pair) becomes an escape."""
    with whole_file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8", errors="backslashreplace")


def read_json(path: Path, kind: type = dict, *, way_out: str = "delete it, or make it again"):
    """The content of a JSON file, which must be a `kind`; `UserError` with `way_out` for a file that is anything else.

    Deep nesting and numbers of thousands of digits are damage like any other, and so is a number that is not finite.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home:
    ...     file = Path(home) / "run.json"
    ...     _ = file.write_text("[]")
    ...     read_json(file)
    Traceback (most recent call last):
    safedpo.errors.UserError: ...run.json is damaged (it holds a list, not a dict); delete it, or make it again
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; {way_out}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"{path} is damaged ({brief(str(error)) or type(error).__name__}); {way_out}") from error
    if not isinstance(content, kind):
        found, wanted = type(content).__name__, kind.__name__
        raise UserError(f"{path} is damaged (it holds a {found}, not a {wanted}); {way_out}")
    return content


def is_number(value: object, low: float = -math.inf, high: float = math.inf) -> bool:
    """Whether something read from JSON is a finite number within bounds; true and false are none.

    >>> is_number(0.5, 0, 1), is_number(True), is_number(float("nan")), is_number("1")
    (True, False, False, False)
    """
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high and abs(value) < 1e308
    )


def leftover(path: Path) -> bool:
    """Whether `path` is what a killed write of this kit left behind: it may be removed, and makes no folder "not empty".

    >>> [leftover(Path(name)) for name in (".run.json.unfinished-7", ".lock", "run.json")]
    [True, True, False]
    """
    return bool(_UNFINISHED.fullmatch(path.name)) or path.name == ".lock"


def remove_leftovers(folder: Path) -> None:
    """Remove what killed writes left in `folder`. Only for who holds the folder's lock."""
    for path in folder.iterdir():
        if _UNFINISHED.fullmatch(path.name) and path.is_file():
            with suppress(OSError):
                path.unlink()


def check_writable(folder: Path) -> None:
    """Refuse a folder in which nothing can be written, or that cannot be made: before the work, not after it.

    Nothing is left behind: a byte is written where the folder is, or where it will be made.

    >>> check_writable(Path("/proc/nowhere"))
    Traceback (most recent call last):
    safedpo.errors.UserError: cannot write /proc/nowhere: ...
    """
    with writing(folder):
        there = next((one for one in (folder, *folder.absolute().parents) if one.exists()), folder)
        with tempfile.TemporaryFile(dir=there) as probe:  # nameless where the system allows it: killed, it is gone
            probe.write(b"?")


@contextmanager
def exclusive(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Let one program at a time into `folder`; a second one waits, or is refused by `UserError`.

    The lock lies on the folder itself, so that nothing is left in it, and ends with the process that holds it, however
    that ends. Where the file system cannot lock a folder, a file `.lock` in it serves.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home, exclusive(Path(home)), exclusive(Path(home)):
    ...     pass
    Traceback (most recent call last):
    safedpo.errors.UserError: another program is at work in ...; wait until it ends, or give another folder
    """
    busy = UserError(f"another program is at work in {folder}; wait until it ends, or give another folder")
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
    except (ImportError, PermissionError):
        with _lock_file(folder, wait, busy):
            yield
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise busy from None
        except OSError:
            with _lock_file(folder, wait, busy):
                yield
            return
        yield
    finally:
        os.close(handle)


@contextmanager
def _lock_file(folder: Path, wait: bool, busy: UserError) -> Iterator[None]:
    from filelock import FileLock, Timeout

    try:
        held = FileLock(folder / ".lock", thread_local=False).acquire(timeout=-1 if wait else 0)
    except Timeout:
        raise busy from None
    with held:
        yield
