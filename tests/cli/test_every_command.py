"""Every command of the application, from the application's own list: interrupts, a terminal with ASCII alone, a full disk."""

import errno
import io
import json
import os
import random
import re
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from typer.core import TyperCommand

from safedpo.cli import main
from tests.faults.commands import COMMANDS, ODD, furnish, listed, stand_in
from tests.faults.stopping import contents

SILENT = ("lab", "table", "notebooks check")  # they write nothing
RUNS = ("train", "sft", "sweep", "judge")
EARLIER = ("out.json", "out.jsonl", "out.csv", "out.html", "clone/notebooks/00_x.ipynb")
SEED = int(os.environ.get("SAFEDPO_FUZZ_SEED", "18"))
FULL: dict = {"home": None, "left": 0, "seen": 0}


def _full_disk(event: str, arguments: tuple) -> None:
    """From the k-th writing operation below a folder on, the disk is full."""
    home = FULL["home"]
    if home is None or event not in ("open", "os.rename", "os.mkdir"):
        return
    if event == "open":
        mode, flags = arguments[1], arguments[2]
        if not (
            any(letter in mode for letter in "wax+") if isinstance(mode, str) else flags & (os.O_WRONLY | os.O_RDWR)
        ):
            return
    if str(arguments[0]).startswith(home) or not str(arguments[0]).startswith("/"):
        FULL["seen"] += 1
        if FULL["left"] and FULL["seen"] >= FULL["left"]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(arguments[0]))


sys.addaudithook(_full_disk)


@pytest.fixture(scope="module")
def furnished(tmp_path_factory):
    home = tmp_path_factory.mktemp("furnished")
    furnish(home)
    return home


@pytest.fixture
def place(furnished, tmp_path, monkeypatch):
    """A copy of the furnished folder, as the working folder."""
    home = tmp_path / "place"
    shutil.copytree(furnished, home, symlinks=True)
    stand_in(home, monkeypatch)
    return home


def test_every_command_is_in_the_list():
    assert sorted(name for name in listed() if not name.startswith("maintain")) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_an_interrupt_is_a_sentence(name, place, safedpo, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("typer.core.TyperCommand.invoke", stopped)
    code, _, err = safedpo(*COMMANDS[name].split())
    assert code == 130 and "what was finished is kept" in err and "Traceback" not in err


@pytest.fixture
def ascii_safedpo(monkeypatch):
    """Run a command where standard output and error take ASCII alone: (exit code, what both show)."""

    def run(*words: str) -> tuple[int, str]:
        shown = io.BytesIO()
        for name in ("stdout", "stderr"):
            stream = io.TextIOWrapper(shown, encoding="ascii", errors="strict", write_through=True)
            monkeypatch.setattr(sys, name, stream)
        monkeypatch.setattr(sys, "argv", ["safedpo", *words])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0, shown.getvalue().decode("ascii")

    return run


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_it_ends_well_on_a_terminal_with_ascii_alone(name, place, ascii_safedpo):
    if name == "notebooks check":
        ascii_safedpo("notebooks", "build", "--folder", "clone/notebooks")
    code, shown = ascii_safedpo(*COMMANDS[name].split())
    assert code == 0, shown
    if name not in ("generate", "judge"):  # a tiny model's texts hold any sign
        assert {*re.findall(r"\\u[0-9a-f]{4}", shown)} <= {rf"\u{ord(char):04x}" for char in ODD}


@pytest.mark.parametrize("name", listed())
def test_its_help_and_its_mistakes_on_a_terminal_with_ascii_alone(name, place, ascii_safedpo):
    code, shown = ascii_safedpo(*name.split(), "--help")
    assert code == 0 and "Usage" in shown and "\\u" not in shown
    odd, given = ODD.replace(" ", ""), ("--output-dir", "x") if name in ("train", "sft") else ()
    code, shown = ascii_safedpo(*name.split(), *given, f"--{odd}", ODD)
    assert code in (0, 2) and "Traceback" not in shown
    assert name == "lab" or ("->" in shown and r"\u65e5" in shown)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in SILENT])
def test_a_disk_that_fills_up_at_any_write_is_a_sentence_and_loses_nothing(
    name, furnished, safedpo, tmp_path, monkeypatch
):
    words = COMMANDS[name].split()

    def start(left: int) -> tuple[int, str]:
        home = anew(furnished, tmp_path / f"full-{left}", monkeypatch)
        FULL.update(home=str(home), left=left, seen=0)
        try:
            code, _, err = safedpo(*words)
        finally:
            FULL["home"] = None
        return code, err

    code, err = start(0)
    assert code == 0, err
    count, whole = FULL["seen"], contents(Path.cwd())
    assert count > 0
    for left in sorted({1, (count + 1) // 2, count}):
        code, err = start(left)
        must_be_whole_or_untouched(name, code, err, errno.ENOSPC, contents(furnished), whole)
        code, _, err = safedpo(*words)
        assert code == 0 or "this very run, finished" in err, (left, count, err)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of a file's size")
@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in SILENT])
def test_a_disk_that_refuses_in_the_middle_of_a_file(name, furnished, safedpo, tmp_path, monkeypatch):
    """Native code, such as that of safetensors, is refused as well: no file may grow beyond a size."""
    import resource

    words, (before, most) = COMMANDS[name].split(), resource.getrlimit(resource.RLIMIT_FSIZE)
    anew(furnished, tmp_path / "whole", monkeypatch)
    safedpo(*words)
    whole, start = contents(Path.cwd()), contents(furnished)
    sizes = sorted(
        len(data) for file, data in whole.items() if data != start.get(file) and not file.startswith("cache/")
    )
    for size in (10, sizes[-1] // 2):
        anew(furnished, tmp_path / f"cut-{size}", monkeypatch)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
        try:
            code, _, err = safedpo(*words)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))
        assert code == 2, err
        must_be_whole_or_untouched(name, code, err, errno.EFBIG, start, whole)
        code, _, err = safedpo(*words)
        assert code == 0 or "this very run, finished" in err, err


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "lab"])
def test_an_interrupt_at_any_moment_is_a_sentence_and_loses_nothing(name, furnished, safedpo, tmp_path, monkeypatch):
    """Ctrl-C at three drawn moments, in a folder of its own each; then the same command ends well."""
    words, start, invoke = COMMANDS[name].split(), contents(furnished), TyperCommand.invoke
    anew(furnished, tmp_path / "whole", monkeypatch)
    took = []

    def timed(*given, **named):
        begun = time.monotonic()
        try:
            return invoke(*given, **named)
        finally:
            took.append(time.monotonic() - begun)

    monkeypatch.setattr("typer.core.TyperCommand.invoke", timed)
    safedpo(*words)
    whole, luck = contents(Path.cwd()), random.Random(f"{SEED} {name}")
    for lap in range(3):
        home, moment = anew(furnished, tmp_path / f"lap-{lap}", monkeypatch), luck.uniform(0, took[0])
        print(f"seed {SEED}, lap {lap}: after {moment:.3f} of {took[0]:.3f} s")
        monkeypatch.setattr(
            "typer.core.TyperCommand.invoke", lambda *a, at=moment, **k: interrupted(at, invoke, *a, **k)
        )
        code, _, err = safedpo(*words)
        monkeypatch.setattr("typer.core.TyperCommand.invoke", invoke)
        assert code in (0, 130) or name == "notebooks check", err
        assert "Traceback" not in err and (code != 130 or "what was finished is kept" in err), err
        must_be_whole_or_untouched(name, 0, err, 0, start, whole)
        code, _, err = safedpo(*words)
        out = [{one for one in files if one.startswith("out/")} for files in (contents(home), whole)]
        done = code == 2 and out[0] == out[1] and "new folder" in err  # all was there before the interrupt came
        assert code == 0 or "this very run, finished" in err or done or name == "notebooks check", err


def interrupted(seconds: float, work, *given, **named):
    """`work(...)`, with SIGINT to this process after so long, unless it has ended by then."""
    running, unraisable = True, sys.unraisablehook

    def stop(*_):
        if running:
            raise KeyboardInterrupt

    # Inside a weak reference's callback Python drops the interrupt and reports it. The report of pytest parses source, and where
    # the callback itself came in the middle of `ast.parse`, Python 3.11 then refuses that outer one: depth mismatch.
    sys.unraisablehook = lambda lost: None if lost.exc_type is KeyboardInterrupt else unraisable(lost)
    earlier = signal.signal(signal.SIGINT, stop)
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        return work(*given, **named)
    finally:
        running = False
        timer.cancel()
        timer.join()
        signal.signal(signal.SIGINT, earlier)
        sys.unraisablehook = unraisable


def anew(furnished: Path, home: Path, monkeypatch) -> Path:
    """A fresh copy of the furnished folder, with results of an earlier day in the place of each result."""
    shutil.copytree(furnished, home, symlinks=True)
    stand_in(home, monkeypatch)
    for name in EARLIER:
        Path(name).write_text("what was there before")
    return home


def must_be_whole_or_untouched(name: str, code: int, err: str, number: int, start: dict, whole: dict) -> None:
    """One sentence; every file is as it was or as it is to be, and none is left half."""
    assert "Traceback" not in err and code in (0, 2), err
    assert code == 0 or (
        any(one in err for one in (os.strerror(number), "the disk became full"))
        and len(err.strip().splitlines()[-1]) < 600
    ), err
    start = start | dict.fromkeys(EARLIER, b"what was there before")
    for file, data in contents(Path.cwd()).items():
        if file.startswith("cache/") or (name in RUNS and file.startswith("out/")):
            continue  # an unfinished run goes on, which is what is tried next, and elsewhere bit by bit
        assert "unfinished" not in file, file
        if data in (start.get(file), whole.get(file)):
            continue
        assert file.endswith(".json") and file in whole, file  # it holds a time
        assert isinstance(json.loads(data), dict | list)
