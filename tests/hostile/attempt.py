"""One hostile input tried: it is refused in a sentence or harmless, soon, with nothing run and nobody asked."""

import io
import signal
import socket
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakSet

import pytest
from tqdm import tqdm

from safedpo.cli import main
from safedpo.errors import UserError

SECONDS = 10
CANARY = "canary.py"
STEERING = "\x1b\x07\x9b\u202e"


class Hangs(BaseException):
    """Longer than it may take."""


@dataclass(frozen=True)
class Outcome:
    """What came of it: the message where it was refused, else what it gave; and all that was printed."""

    refused: str | None
    value: object
    printed: str


class Cage:
    """A working folder with a canary: a module and a command that leave a file behind if anything runs them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.folder, self.sang, self.asked = folder, folder / "sang", []
        (folder / CANARY).write_text(f"open({str(self.sang)!r}, 'w')\nclass Canary: pass\n")
        monkeypatch.syspath_prepend(folder)
        monkeypatch.chdir(folder)
        monkeypatch.setattr(socket.socket, "connect", lambda _, address: self.asked.append(address))
        # A bar that an earlier test left open would move ours a line down, which steers the terminal.
        monkeypatch.setattr(tqdm, "_instances", WeakSet())

    def attempt(self, work: Callable[[], object]) -> Outcome:
        """Do `work`; fails the test if it hangs, executes the canary, asks for an address, or ends in anything but a sentence."""
        printed, refused, value = io.StringIO(), None, None
        with _limited(), redirect_stdout(printed), redirect_stderr(printed), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                value = work()
            except UserError as error:
                refused = str(error)
                assert 0 < len(refused) < 1500 and "Traceback" not in refused, refused
                assert not any(sign in refused for sign in STEERING), refused
        assert not self.asked, f"asked for {self.asked}"
        assert "canary" not in sys.modules and not self.sang.exists(), "something was executed"
        return Outcome(refused, value, printed.getvalue())

    def command(self, *words: object) -> tuple[int, str]:
        """Exit code of a `safedpo` command and all that it printed."""

        def run() -> int:
            before, sys.argv = sys.argv, ["safedpo", *map(str, words)]
            try:
                main()
            except SystemExit as end:
                return end.code or 0
            finally:
                sys.argv = before
            return 0

        found = self.attempt(run)
        assert "Traceback" not in found.printed, found.printed[-3000:]
        assert not any(sign in found.printed for sign in STEERING), found.printed
        return found.value, found.printed


@contextmanager
def _limited() -> Iterator[None]:
    """Ten seconds of computing, and thirty of waiting (a pipe that nobody writes to), on a machine that others use too."""

    def hang(*_):
        raise Hangs

    before = [(one, signal.signal(one, hang)) for one in (signal.SIGPROF, signal.SIGALRM)]
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, 3 * SECONDS)
    start = time.process_time()
    try:
        yield
        assert time.process_time() - start < SECONDS
    finally:
        for timer in (signal.ITIMER_PROF, signal.ITIMER_REAL):
            signal.setitimer(timer, 0)
        for one, handler in before:
            signal.signal(one, handler)
