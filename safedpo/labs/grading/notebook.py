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
from safedpo.labs.checks import modules
from safedpo.labs.grading.kernel import MEMORY_VARIABLE

GRACE = 10  # seconds between the interrupt and the end of a kernel that ignores it
JUDGING = 60  # seconds that judging itself may take, after the cells


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


def grade(path: str | Path, *, seed: int = 0, time_limit: float = 120.0, memory_gb: float = 4.0) -> Grade:
    """Run the notebook at `path` in a fresh kernel and judge its exercises.

    `time_limit`: seconds for all its cells together; `memory_gb`: what the kernel may allocate; `seed`: of the hidden cases.
    A notebook that hangs, crashes or lacks cells is graded as what it is. Raises `UserError` where there is no notebook, or
    one without an exercise of this kit.
    """
    path, started = Path(path), time.monotonic()
    book = _read(path)
    asked = exercises_of(book, path)
    incidents: list[str] = []
    with tempfile.TemporaryDirectory(prefix="grade-") as home, _client(book, Path(home), memory_gb) as client:
        # A cell may swallow the interrupt that ends its time; then the whole kernel ends.
        with _killed_after(client, time_limit + GRACE):
            _run_cells(client, started + time_limit, incidents)
        with _killed_after(client, JUDGING + GRACE):
            verdicts, predictions = _judge(client, asked, seed, incidents)
    return Grade(path.name, verdicts, predictions, incidents, round(time.monotonic() - started, 1))


def exercises_of(book: nbformat.NotebookNode, path: Path) -> dict[str, str]:
    """Exercise -> the expression that its check is given, for every exercise of the notebook that this one once was.

    Which notebook that is, its `check` cells say, not the file's name: students rename files. An exercise whose cell was
    deleted is looked for under its own name.
    """
    checked: dict[str, str] = {}
    for cell in book.cells:
        if cell.cell_type == "code":
            checked |= dict(_checks(cell.source))
    found = max(modules(), key=lambda module: len(module.EXERCISES.keys() & checked.keys()))
    known = found.EXERCISES
    if not known.keys() & checked.keys():
        raise UserError(f"{path} has no exercise of this kit in it; give a notebook from notebooks/student")
    return {name: checked.get(name, name) for name in known}


def _checks(source: str) -> Iterator[tuple[str, str]]:
    try:
        tree = ast.parse("\n".join(line for line in source.splitlines() if not line.lstrip().startswith(("%", "!"))))
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "check"):
            continue
        if len(node.args) == 2 and isinstance(node.args[0], ast.Constant):
            yield str(node.args[0].value), ast.unparse(node.args[1])


def _read(path: Path) -> nbformat.NotebookNode:
    try:
        book = nbformat.read(path, as_version=4)
        nbformat.validate(book)
    except FileNotFoundError as error:
        raise UserError(f"there is no notebook {path}; give the path of an .ipynb file") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); give the path of an .ipynb file") from error
    except Exception as error:  # nbformat's many ways to say that this is no notebook
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise UserError(f"{path} is not a notebook ({reason}); save it again in Jupyter and hand that in") from error
    return book


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
def _killed_after(client: NotebookClient, seconds: float) -> Iterator[None]:
    process = client.km.provisioner.process  # type: ignore[union-attr]
    timer = threading.Timer(seconds, process.kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _run_cells(client: NotebookClient, deadline: float, incidents: list[str]) -> None:
    for number, cell in enumerate(client.nb.cells):
        if cell.cell_type != "code":
            continue
        left = deadline - time.monotonic()
        if left <= 0:
            incidents.append(f"cell {number + 1} and those after it did not run: the time was used up")
            return
        client.timeout, client.interrupt_on_timeout = max(1, round(left)), True
        try:
            client.execute_cell(cell, number)
        except CellTimeoutError:
            incidents.append(f"cell {number + 1} ran until the time was used up")
        except CellExecutionError as error:
            if error.ename == "KeyboardInterrupt":
                incidents.append(f"cell {number + 1} ran until the time was used up")
            else:
                first = (str(error.evalue).splitlines() or [""])[0][:200]
                incidents.append(f"cell {number + 1}: {error.ename}: {first}")
        except DeadKernelError:
            incidents.append(f"cell {number + 1} ended the kernel (too much memory, or an exit)")
            return


def _judge(client: NotebookClient, asked: dict, seed: int, incidents: list[str]) -> tuple[list[dict], dict]:
    """Let the kernel judge what it holds; a mark that the student cannot know says which line is the verdict's."""
    mark = secrets.token_hex(16)
    code = (
        "from safedpo.labs.grading.judge import judge as _judge\n"
        "from safedpo.labs.predictions import committed as _committed\n"
        f"print({mark!r} + __import__('json').dumps([_judge(globals(), {asked!r}, seed={seed!r}), _committed()]))"
    )
    cell = nbformat.v4.new_code_cell(code)
    client.nb.cells.append(cell)
    client.timeout = JUDGING
    try:
        client.execute_cell(cell, len(client.nb.cells) - 1)
    except (CellTimeoutError, CellExecutionError, DeadKernelError) as error:
        incidents.append(f"the answers could not be judged ({type(error).__name__}): the kernel no longer answers")
    finally:
        client.nb.cells.pop()
    for output in cell.outputs:
        for line in output.get("text", "").splitlines():
            if line.startswith(mark):
                return tuple(json.loads(line.removeprefix(mark)))
    message = "not judged: " + (incidents[-1] if incidents else "the kernel gave no verdict")
    return [{"exercise": name, "points": 0, "of": 1, "message": message} for name in asked], {}
