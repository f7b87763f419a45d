"""The command line run in this process, as a fixture."""

import functools
import sys

import pytest
import typer.main

from safedpo.cli import main

# A program makes its tree of commands once; hundreds of commands in one process share it.
whole = functools.cache(typer.main.get_command)


@pytest.fixture
def safedpo(monkeypatch, capsys):
    """Run a command: (exit code, standard output, standard error)."""

    def run(*arguments):
        monkeypatch.setattr(typer.main, "get_command", whole)
        monkeypatch.setattr(sys, "argv", ["safedpo", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0, *capsys.readouterr()

    return run
