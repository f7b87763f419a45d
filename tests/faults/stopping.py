"""A child process that is killed at its k-th file operation: every open, rename, mkdir and removal below some folders."""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

EVENTS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "shutil.rmtree", "os.scandir"}


def run_until(work: Callable[[], object], folder: Path, stop: int | None) -> tuple[bool, int]:
    """Fork and do `work`; with `stop` the child dies (SIGKILL) just before its `stop`-th operation below `folder`.

    Returns whether the child came to its end, and how many operations it did (where it did). A child that fails in any
    other way fails the test.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _be_the_child(work, str(folder), stop, writer)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL and stop is not None:
        return False, 0
    assert os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0, said[-3000:]
    return True, int(said)


def _be_the_child(work: Callable[[], object], folder: str, stop: int | None, writer: int) -> None:
    count = 0

    def watch(event: str, arguments: tuple) -> None:
        nonlocal count
        if event in EVENTS and arguments and str(arguments[0]).startswith(folder):
            count += 1
            if count == stop:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    try:
        with open(os.devnull, "w") as nothing:
            sys.stdout = sys.stderr = nothing
            work()
        os.write(writer, str(count).encode())
        os._exit(0)
    except BaseException:
        os.write(writer, traceback.format_exc().encode())
        os._exit(1)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path in it."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}
