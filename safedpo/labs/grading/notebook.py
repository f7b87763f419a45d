"""Run one student's notebook under limits and grade it; whatever the notebook does, this comes back in bounded time."""

import ast
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from safedpo.errors import UserError
from safedpo.files.notebooks import read_notebook
from safedpo.labs.checks import modules
from safedpo.labs.grading.judge import ANSWER
from safedpo.labs.grading.kernel import JUDGE, MEMORY_VARIABLE

GRACE = 10  # seconds between the interrupt and the end of a kernel that ignores it
JUDGING = 90  # and all of them


@dataclass(frozen=True)
class Grade:
    """One graded notebook: a verdict for each exercise, what its cells did, and the seconds it took."""

    notebook: str
    verdicts: list[dict]
    predictions: dict[str, int]
    incidents: list[str]
    seconds: float

    @property
    def points(self) -> float:
        """Points reached."""
        return sum(verdict["points"] for verdict in self.verdicts)

    @property
    def of(self) -> float:
        """Points to be had."""
        return sum(verdict["of"] for verdict in self.verdicts)


def grade(
    path: str | Path,
    *,
    seed: int = 0,
    time_limit: float = 120.0,
    cell_limit: float = 60.0,
    memory_gb: float = 4.0,
) -> Grade:
    """Run the notebook at `path` in a fresh kernel and judge its exercises.

    `time_limit`: seconds for all its cells together; `cell_limit`: for each of them, so that an endless loop costs the other
    cells nothing; `memory_gb`: what the kernel may allocate; `seed`: of the hidden cases.
    A notebook that hangs, crashes or lacks cells is graded as what it is. Raises `UserError` where there is no notebook, or
    one without an exercise of this kit.
    """
    path, started = Path(path), time.monotonic()
    book = read_notebook(path)
    asked = exercises_of(book, path)
    incidents: list[str] = []
    with tempfile.TemporaryDirectory(prefix="grade-") as home, _client(book, Path(home), memory_gb) as client:
        # A cell may swallow the interrupt that ends its time; then the whole kernel ends.
        with _killed_after(client, time_limit + GRACE, incidents):
            _run_cells(client, started + time_limit, cell_limit, incidents)
        with _killed_after(client, JUDGING, incidents):
            verdicts, predictions = _judge(client, asked, seed, Path(home) / "tmp", incidents)
    return Grade(path.name, verdicts, predictions, incidents, round(time.monotonic() - started, 1))


def exercises_of(book: nbformat.NotebookNode, path: Path) -> dict[str, str]:
    """Exercise -> the expression that its check is given, for every exercise of the notebook that this one once was.

    Which notebook that is, its `check` cells say, not the file's name: students rename files. An exercise whose cell was
    deleted is looked for under its own name.
    """
    checked: dict[str, str] = {}
    for cell in book.cells:
        if cell.cell_type == "code":
            checked |= dict(checks_of(cell.source))
    found = max(modules(), key=lambda module: len(module.EXERCISES.keys() & checked.keys()))
    known = found.EXERCISES
    if not known.keys() & checked.keys():
        raise UserError(f"{path} has no exercise of this kit in it; give a notebook from notebooks/student")
    return {name: checked.get(name, name) for name in known}


def checks_of(source: str) -> Iterator[tuple[str, str]]:
    """(exercise, answer's expression) of every check in a cell's code.

    >>> list(checks_of("check('dpo_loss', mine)"))
    [('dpo_loss', 'mine')]
    """
    try:
        tree = ast.parse("\n".join(line for line in source.splitlines() if not line.lstrip().startswith(("%", "!"))))
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "check"):
            continue
        if len(node.args) == 2 and isinstance(node.args[0], ast.Constant):
            yield str(node.args[0].value), ast.unparse(node.args[1])


@contextmanager
def _client(book: nbformat.NotebookNode, home: Path, memory_gb: float) -> Iterator[NotebookClient]:
    """A client with a fresh, limited kernel whose working folder is thrown away afterwards."""
    work, spec = home / "work", home / "kernels" / "grader"
    work.mkdir()
    spec.mkdir(parents=True)
    command = [sys.executable, "-m", "safedpo.labs.grading.kernel", "-f", "{connection_file}"]
    spec.joinpath("kernel.json").write_text(
        json.dumps({"argv": command, "display_name": "grader", "language": "python"}), encoding="utf-8"
    )
    specs = KernelSpecManager(kernel_dirs=[str(home / "kernels")])
    manager = AsyncKernelManager(
        kernel_name="grader", kernel_spec_manager=specs, transport="ipc", ip=str(home / "socket")
    )
    client = NotebookClient(book, km=manager, resources={"metadata": {"path": str(work)}}, record_timing=False)
    # What the student's code sees: no network settings, temporary files and IPython's own beside its work.
    (home / "tmp").mkdir()
    environment = os.environ | {
        "TMPDIR": str(home / "tmp"),
        "IPYTHONDIR": str(home / "tmp"),
        "MPLBACKEND": "agg",
        "HF_HUB_OFFLINE": "1",
        "SAFEDPO_FAST": "1",
        MEMORY_VARIABLE: str(memory_gb),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    try:
        with client.setup_kernel(
            cleanup_kc=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ):
            yield client
    except DeadKernelError:
        raise UserError(f"the kernel did not start within its {memory_gb} GB; give more memory_gb") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _killed_after(client: NotebookClient, seconds: float, incidents: list[str]) -> Iterator[None]:
    process = client.km.provisioner.process  # type: ignore[union-attr]

    def kill() -> None:
        incidents.append("a cell did not stop when it was told to; the kernel was ended, and what it held is lost")
        process.kill()

    timer = threading.Timer(seconds, kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _run_cells(client: NotebookClient, deadline: float, cell_limit: float, incidents: list[str]) -> None:
    for number, cell in enumerate(client.nb.cells):
        if cell.cell_type != "code":
            continue
        left = deadline - time.monotonic()
        if left <= 0:
            incidents.append(f"cell {number + 1} and those after it did not run: the time was used up")
            return
        client.timeout, client.interrupt_on_timeout = max(1, round(min(left, cell_limit))), True
        try:
            client.execute_cell(cell, number)
        except CellTimeoutError:
            incidents.append(f"cell {number + 1} was stopped: its time was used up")
        except CellExecutionError as error:
            if error.ename == "KeyboardInterrupt":
                incidents.append(f"cell {number + 1} was stopped: its time was used up")
            else:
                first = (str(error.evalue).splitlines() or [""])[0][:200]
                incidents.append(f"cell {number + 1}: {error.ename}: {first}")
        except DeadKernelError:
            incidents.append(f"cell {number + 1} ended the kernel (too much memory, or an exit)")
            return


def _judge(client: NotebookClient, asked: dict, seed: int, tmp: Path, incidents: list[str]) -> tuple[list[dict], dict]:
    """Let the kernel judge what it holds, exercise by exercise: an answer that never returns costs the others nothing."""
    verdicts: list[dict] = []
    for name, expression in asked.items():
        told = _ask(client, {name: expression}, seed, tmp, incidents)
        message = "not judged: " + (incidents[-1] if incidents else "the kernel gave no verdict")
        verdicts += told or [{"exercise": name, "points": 0, "of": 1, "message": message}]
    return verdicts, _ask(client, {}, seed, tmp, incidents) or {}


def _ask(client: NotebookClient, asked: dict, seed: int, tmp: Path, incidents: list[str]):
    """The kernel's verdicts on these exercises (on none: the predictions), or None; through a file, for students print."""
    file = tmp / secrets.token_hex(16)
    cell = nbformat.v4.new_code_cell(JUDGE + json.dumps({"asked": asked, "seed": seed, "file": str(file)}))
    client.nb.cells.append(cell)
    client.timeout = ANSWER
    try:
        client.execute_cell(cell, len(client.nb.cells) - 1)
    except CellExecutionError as error:
        slow = error.ename == "KeyboardInterrupt"
        what = (
            f"an answer did not return within {ANSWER} seconds"
            if slow
            else f"an answer cannot be judged: {error.evalue}"
        )
        incidents.append(what)
    except (CellTimeoutError, DeadKernelError, RuntimeError) as error:
        incidents.append(f"the answers could not be judged ({type(error).__name__}): the kernel no longer answers")
    finally:
        client.nb.cells.pop()
    if not file.is_file():
        return None
    found = json.loads(file.read_text(encoding="utf-8"))
    if found["changed"]:
        names = ", ".join(found["changed"][:3]) + (" and more" if len(found["changed"]) > 3 else "")
        incidents.append(f"the notebook changed {names}; that was undone before its answers were judged")
    return found["told"]
