"""`safedpo lab`: in a container as root, in Windows, and with arguments of one's own."""

import os
import sys
from pathlib import Path

import pytest

from safedpo.cli import basics, main


@pytest.fixture
def started(monkeypatch):
    """The command that would replace this process."""
    calls = []

    def replace(program, command):
        calls.append(command)
        raise SystemExit(0)

    monkeypatch.setattr(basics.os, "execv", replace)
    monkeypatch.setattr(sys, "argv", ["safedpo", "lab", "--no-browser"])
    return calls


@pytest.mark.parametrize("user, root", [(0, True), (1000, False)])
def test_root_may_and_is_told_so(started, monkeypatch, capsys, user, root):
    monkeypatch.setattr(os, "geteuid", lambda: user, raising=False)
    with pytest.raises(SystemExit):
        main()
    (command,) = started
    assert ("--allow-root" in command) is root and command[-1] == "--no-browser"
    assert ("You are root" in capsys.readouterr().out) is root


def test_who_said_it_already_is_not_told_again(started, monkeypatch, capsys):
    monkeypatch.setattr(os, "geteuid", lambda: 0, raising=False)
    monkeypatch.setattr(sys, "argv", ["safedpo", "lab", "--ServerApp.allow_root=True"])
    monkeypatch.setattr(basics, "_for_root", basics._for_root)
    with pytest.raises(SystemExit):
        main()
    assert sum("allow" in word.lower() for word in started[0]) == 1 and capsys.readouterr().out == ""


def test_a_system_without_users_numbers_and_with_spaces_in_paths(started, monkeypatch, tmp_path):
    """Windows: no geteuid, and an exec that would break the path of the notebook at its spaces."""
    monkeypatch.delattr(os, "geteuid", raising=False)
    monkeypatch.setattr(basics.sys, "platform", "win32")
    monkeypatch.setattr("safedpo.files.shipped", lambda name: tmp_path / "Prüfung 1" / name)
    called = []
    monkeypatch.setattr(basics.subprocess, "call", lambda command: called.append(command) or 0)
    with pytest.raises(SystemExit):
        main()
    assert not started and str(Path("Prüfung 1") / "notebooks" / "00_start_here.ipynb") in called[0][3]
