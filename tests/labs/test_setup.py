"""The set-up cell in its three places, and what notebook 00 shows of the ledger."""

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from safedpo.errors import UserError
from safedpo.finite.claims import CLAIMS
from safedpo.labs import setup
from safedpo.labs.ledger import Place, Table, ledger_row, ledger_table, places


@pytest.fixture
def without_the_package(monkeypatch, tmp_path):
    """A folder with nothing in it and a Python that does not find safedpo; pip is recorded instead of run."""
    calls, found = [], importlib.util.find_spec
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "safedpo" else found(name))
    monkeypatch.setattr(subprocess, "run", lambda command: calls.append(command) or SimpleNamespace(returncode=0))
    return calls


@pytest.fixture
def colab(monkeypatch):
    """What a Colab kernel has imported: an upload that gives `chosen`, and the switch for widgets."""
    module = ModuleType("google.colab")
    module.asked, module.chosen = [], {}

    def upload():
        module.asked.append("upload")
        for name, content in module.chosen.items():
            Path(name).write_bytes(content)  # Colab leaves it in the working folder
        return module.chosen

    module.files = SimpleNamespace(upload=upload)
    module.output = SimpleNamespace(enable_custom_widget_manager=lambda: module.asked.append("widgets"))
    monkeypatch.setitem(sys.modules, "google.colab", module)
    return module


def first_part(repository=""):
    """The part of the cell that looks for the package."""
    return setup.cell(repository).split("from safedpo")[0]


def test_an_installed_package_is_left_alone(monkeypatch, capsys):
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: pytest.fail("nothing is to be installed"))
    for _ in range(2):  # running it again changes nothing
        before = list(sys.path)
        exec(setup.cell(), {})
        assert sys.path == before
    assert capsys.readouterr().out.count(": ready") == 2


def test_a_clone_is_found_from_the_folder_of_the_notebooks(without_the_package, tmp_path, monkeypatch):
    (tmp_path / "safedpo").mkdir()
    (tmp_path / "safedpo" / "__init__.py").touch()
    (tmp_path / "notebooks" / "student").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "notebooks" / "student")
    exec(first_part(), {})
    assert sys.path[0] == str(tmp_path) and not without_the_package


@pytest.mark.parametrize(
    ("wheel", "source"),
    [
        (None, "git+https://example.org/kit"),
        ("safedpo-0.1.0-py3-none-any.whl", "safedpo-0.1.0-py3-none-any.whl"),
    ],
)
def test_a_bare_colab_installs_our_package_alone(without_the_package, tmp_path, wheel, source):
    if wheel:
        (tmp_path / wheel).touch()
    exec(first_part("https://example.org/kit"), {})
    (command,) = without_the_package
    assert command[1:-1] == ["-m", "pip", "install", "-q", "--no-deps"] and command[-1].endswith(source)
    assert not {"-U", "--upgrade", "--force-reinstall"} & set(command)


def test_without_address_and_wheel_it_says_what_to_do(without_the_package):
    with pytest.raises(AssertionError, match="Put safedpo-.*whl .made by `make wheel`. beside this notebook"):
        exec(first_part(), {})
    assert not without_the_package


def test_a_wheel_in_the_folder_above_serves_a_student_s_notebook(without_the_package, tmp_path, monkeypatch):
    (tmp_path / "safedpo-0.1.0-py3-none-any.whl").touch()
    (tmp_path / "student").mkdir()
    monkeypatch.chdir(tmp_path / "student")
    exec(first_part(), {})
    assert without_the_package[0][-1] == str(tmp_path / "safedpo-0.1.0-py3-none-any.whl")


@pytest.mark.parametrize("name", ["safedpo-0.1.0-py3-none-any.whl", "safedpo-0.1.0-py3-none-any (1).whl"])
def test_colab_offers_an_upload_and_takes_a_browser_s_second_copy_too(without_the_package, tmp_path, colab, name):
    colab.chosen = {name: b"wheel"}
    exec(first_part(), {})
    assert colab.asked == ["upload"]
    assert without_the_package[0][-1].endswith("safedpo-0.1.0-py3-none-any.whl")  # a name that pip accepts
    assert (tmp_path / "safedpo-0.1.0-py3-none-any.whl").exists()


def test_an_upload_that_was_cancelled_says_what_to_do(without_the_package, colab):
    with pytest.raises(AssertionError, match="made by `make wheel`"):
        exec(first_part(), {})
    assert not without_the_package


def test_a_pip_that_fails_is_one_sentence(without_the_package, monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda command: SimpleNamespace(returncode=1))
    with pytest.raises(AssertionError, match="pip could not install git.https://example.org/kit: see its message"):
        exec(first_part("https://example.org/kit"), {})


def test_colab_s_switch_for_widgets_is_turned_on(colab, capsys):
    setup.ready()
    assert colab.asked == ["widgets"] and ": ready" in capsys.readouterr().out


def test_advice_fits_the_place(colab, monkeypatch):
    assert setup.advice("plotly").startswith("!pip install --no-deps plotly")
    monkeypatch.delitem(sys.modules, "google.colab")
    assert setup.advice("plotly").startswith(f"{sys.executable} -m pip install plotly")


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(setup, "NEEDED", ("torch", "no_such_package"))
    with pytest.raises(UserError, match="need no_such_package, .*pip install no_such_package"):
        setup.ready()


def test_a_line_of_the_ledger(monkeypatch):
    assert ledger_row("dpo-gradient").id == "dpo-gradient" and ledger_row("dpo-gradient").holds
    with pytest.raises(UserError, match="no claim 'dpo'"):
        ledger_row("dpo")
    # A row is computed, not remembered: with a fault in the claim it does not hold.
    broken = tuple(replace(c, residual=lambda seed, worlds: 1.0) if c.id == "log-z-cancels" else c for c in CLAIMS)
    monkeypatch.setattr("safedpo.finite.claims.CLAIMS", broken)
    ledger_row.cache_clear()
    assert not ledger_row("log-z-cancels").holds
    ledger_row.cache_clear()


def row_that_holds(claim):
    from safedpo.finite.claims import Row

    return Row(claim.id, claim.statement, claim.source, 0.0, claim.tolerance, True)


def test_places_are_read_from_the_cells(tmp_path):
    cells = [
        {"cell_type": "markdown", "source": ["## 1 First\n", "text"]},
        {"cell_type": "code", "source": ['row = ledger_row("a-claim")']},
        {"cell_type": "markdown", "source": ['no heading, ledger_row("not-code")']},
        {"cell_type": "code", "source": ['assert ledger_row("b").holds and ledger_row("c").holds']},
    ]
    (tmp_path / "07_x.ipynb").write_text(json.dumps({"cells": cells}))
    assert places(tmp_path) == [Place("07_x", "1 First", claim) for claim in ("a-claim", "b", "c")]


def test_tables_escape_and_say_what_fails():
    html = Table(("a",), [("x < y\nz",)])._repr_html_()
    assert "x &lt; y<br>z" in html
    row = row_that_holds(CLAIMS[0])
    assert ledger_table([replace(row, holds=False)]).lines[0][-1] == "NO"
    assert repr(Table(("a", "b"), [("1\n2", "3")])) == "1, 2 | 3"
