"""The command line run in this process, as a fixture."""

import sys

import pytest

from safedpo.cli import main


@pytest.fixture
def safedpo(monkeypatch, capsys):
    """Run a command: (exit code, standard output, standard error)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["safedpo", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0, *capsys.readouterr()

    return run
