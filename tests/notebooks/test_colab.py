"""Colab, as far as it can be had here: its Python, its package list, our wheel, and the notebooks' own first cell.

`make test-colab` makes the environment from `constraints-colab.txt` (PyTorch's tested build in place of its CUDA build,
a stand-in for `google.colab`) and the wheel, and names both in SAFEDPO_COLAB and SAFEDPO_WHEEL.
"""

import json
import os
import re
import resource
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from nbclient import NotebookClient

from tests.notebooks.colab_list import ABSENT, OURS, read_freeze
from tests.notebooks.notebook_runs import COMPLETE, STUDENT, code_cells, errors, is_check, read

PYTHON, WHEEL = os.environ.get("SAFEDPO_COLAB"), os.environ.get("SAFEDPO_WHEEL")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (PYTHON and WHEEL), reason="make test-colab makes the environment and the wheel"),
]
STAND_IN = Path(__file__).parent / "colab_stand_in"
SET_UP_SECONDS = 30  # promised for the first cell


def freeze() -> str:
    found = subprocess.run([PYTHON, "-m", "pip", "freeze"], capture_output=True, text=True, check=True).stdout
    return "\n".join(line for line in found.splitlines() if not line.lower().startswith("safedpo"))


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """Colab's working folder: the wheel and nothing else; the kit is not installed, nor anywhere on the path."""
    subprocess.run([PYTHON, "-m", "pip", "uninstall", "-q", "-y", "safedpo"], check=True, capture_output=True)
    folder = tmp_path_factory.mktemp("content")
    shutil.copy(WHEEL, folder)
    kernel = folder / "jupyter" / "kernels" / "colab"
    kernel.mkdir(parents=True)
    started = [PYTHON, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(json.dumps({"argv": started, "display_name": "Colab", "language": "python"}))
    return folder


def executed(book, content, monkeypatch, *, allow_errors=False):
    """Run the notebook's cells by a kernel of Colab's Python in that folder; returns the notebook with outputs."""
    monkeypatch.setenv("JUPYTER_PATH", str(content / "jupyter"))
    away = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    client = NotebookClient(
        book,
        timeout=300,
        kernel_name="colab",
        allow_errors=allow_errors,
        resources={"metadata": {"path": str(content)}},
    )
    return client.execute(env=away | {"SAFEDPO_FAST": "1", "PYTHONPATH": str(STAND_IN)})


def printed(book) -> str:
    return "\n".join(o.get("text", "") for c in code_cells(book) for o in c.outputs if o.output_type == "stream")


def processor_seconds() -> float:
    """Of all processes that this one has started and that have ended, theirs included."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime


@pytest.fixture(scope="module")
def before():
    return freeze()


def test_the_environment_is_colab_s_list(before):
    found = read_freeze(before)
    pins = read_freeze(OURS.read_text(encoding="utf-8"))
    assert {name: found.get(name) for name in pins} == pins
    assert not set(ABSENT) & set(found)


def test_the_first_cell_installs_the_wheel_alone_and_quickly(content, before, monkeypatch):
    book = read(COMPLETE[0])
    first = code_cells(book)[0]
    book.cells = [first, type(first)(first | {"source": "import google.colab; print(google.colab.asked)"})]
    start, used = time.monotonic(), processor_seconds()
    done = executed(book, content, monkeypatch)
    used = processor_seconds() - used
    print(
        f"first cell, with starting and ending the kernel: {time.monotonic() - start:.0f} s, {used:.0f} s of processor"
    )
    assert 0 < used < SET_UP_SECONDS  # of the processor: what else this machine does at the moment does not count
    assert ": ready" in printed(done) and "['widget manager']" in printed(done)
    assert freeze() == before  # nothing upgraded, nothing added
    where = [PYTHON, "-c", "import safedpo; print(safedpo.__file__)"]
    away = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    found = subprocess.run(where, capture_output=True, text=True, cwd=content, check=True, env=away).stdout
    assert "site-packages" in found


@pytest.mark.parametrize("path", COMPLETE, ids=lambda path: path.stem)
def test_complete_notebook_runs_on_colab(path, content, monkeypatch):
    done = executed(read(path), content, monkeypatch)
    for cell in code_cells(done):
        assert cell.execution_count and not errors(cell)
    # No library tells the reader to upgrade anything.
    assert not re.search(r"Unexpected keyword|pip install -U|upgrade", printed(done))


@pytest.mark.parametrize("path", STUDENT, ids=lambda path: f"student-{path.stem}")
def test_student_notebook_runs_on_colab(path, content, monkeypatch):
    for cell in code_cells(executed(read(path), content, monkeypatch, allow_errors=True)):
        assert errors(cell) == (["Unfinished"] if is_check(cell) else []), cell.source


def test_the_doctor_finds_nothing_wrong_and_upgrades_nothing(content):
    code = "import json, google.colab; from safedpo.cli.doctor import doctor; print(json.dumps(doctor().as_dict()['checks']))"
    environment = os.environ | {"PYTHONPATH": str(STAND_IN)}
    done = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, cwd=content, env=environment)
    assert done.returncode == 0, done.stderr
    checks = json.loads(done.stdout)
    assert not [check for check in checks if check["state"] == "problem"]
    for check in checks:
        assert "pip install" not in check["advice"] or "--no-deps" in check["advice"], check


def test_after_all_of_it_nothing_was_upgraded(before):
    assert freeze() == before
