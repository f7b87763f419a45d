"""One program at a time in a folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safedpo.errors import UserError


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
