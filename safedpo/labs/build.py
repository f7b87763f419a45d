"""Percent sources become notebooks: `notebooks/source/NN_name.py` -> the complete one and the student's.

One source holds the solutions between nbgrader's marks. The complete notebook keeps the code and loses the marks; in
the student's the code between them becomes a stub that raises `NotImplementedError`. No outputs, no widget state,
and cell ids that depend on the source alone, so that building twice gives the same bytes.
"""

import hashlib
import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from safedpo.errors import UserError
from safedpo.labs import setup

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
STUB = ("# YOUR CODE HERE", "raise NotImplementedError")
LINKS = "<!-- links -->"  # replaced by the Colab and solution links, or by nothing while no address is known
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


@dataclass(frozen=True)
class Built:
    """A notebook as it must stand on disk."""

    path: Path
    text: str


def build_all(folder: Path, repository: str = "") -> list[Built]:
    """Both notebooks of every source in `folder/source`; nothing is written.

    `repository` is the address that Colab and solution links are built from; empty, they are left out.
    """
    sources = sorted((folder / "source").glob("[0-9][0-9]_*.py"))
    if not sources:
        raise UserError(f"{folder / 'source'} holds no NN_name.py; run this in a clone of the project")
    built = []
    for source in sources:
        for student in (False, True):
            path = folder / ("student" if student else ".") / f"{source.stem}.ipynb"
            links = _links(source.stem, student, repository)
            text = source.read_text(encoding="utf-8")
            built.append(Built(path, notebook(text, student=student, links=links, set_up=setup.cell(repository))))
    return built


def write_all(folder: Path, repository: str = "") -> list[Path]:
    """Write every notebook that differs from its source; returns those written."""
    changed = drifted(folder, repository)
    for item in changed:
        item.path.parent.mkdir(parents=True, exist_ok=True)
        item.path.write_text(item.text, encoding="utf-8")
    return [item.path for item in changed]


def drifted(folder: Path, repository: str = "") -> list[Built]:
    """The notebooks on disk that are not what their source says."""
    return [b for b in build_all(folder, repository) if not b.path.is_file() or b.path.read_text("utf-8") != b.text]


def notebook(source: str, *, student: bool, links: str = "", set_up: str = "") -> str:
    """The .ipynb text of one percent source; in a cell that begins with `# SET-UP` that line becomes `set_up`.

    >>> source = "# %%\\ndef double(x):\\n    ### BEGIN SOLUTION\\n    return 2 * x\\n    ### END SOLUTION"
    >>> cell = json.loads(notebook(source, student=True))["cells"][0]
    >>> print("".join(cell["source"]))
    def double(x):
        # YOUR CODE HERE
        raise NotImplementedError
    """
    import jupytext

    book = jupytext.reads(source, fmt="py:percent")
    cells = []
    for number, cell in enumerate(book.cells):
        text = cell.source.replace(LINKS, links).strip()
        if not text:
            continue
        if text.partition("\n")[0] == setup.PLACE:  # what follows the mark are the names of this lesson
            text = set_up + text.removeprefix(setup.PLACE)
        made = {"cell_type": cell.cell_type, "id": _cell_id(number, text), "metadata": dict(cell.metadata)}
        if cell.cell_type == "code":
            text = _without_solution(text) if student else _without_marks(text)
            made |= {"execution_count": None, "outputs": []}
        cells.append(made | {"source": text.splitlines(keepends=True)})
    metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    whole = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def repository_address(root: Path) -> str:
    """The one constant that knows where the project lives: `[project.urls] Repository` of pyproject.toml."""
    if not (root / "pyproject.toml").is_file():
        raise UserError(f"{root} holds no pyproject.toml; notebooks are built in a clone, from its source/ folder")
    with (root / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)["project"]["urls"]["Repository"]


def _without_marks(code: str) -> str:
    return "\n".join(line for line in code.splitlines() if line.strip() not in (BEGIN, END))


def _without_solution(code: str) -> str:
    lines, inside = [], False
    for line in code.splitlines():
        mark = line.strip()
        if mark == BEGIN:
            inside = True
            indent = line[: len(line) - len(line.lstrip())]
            lines += [indent + stub for stub in STUB]
        elif mark == END:
            inside = False
        elif not inside:
            lines.append(line)
    if inside:
        raise UserError(f"a cell has {BEGIN} without {END}:\n{code}")
    return "\n".join(lines)


def _cell_id(number: int, text: str) -> str:
    return f"c{number:03d}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _links(stem: str, student: bool, repository: str) -> str:
    if not repository:
        return ""
    owner_name = re.sub(r"^https?://github\.com/", "", repository).strip("/")
    colab = f"https://colab.research.google.com/github/{owner_name}/blob/main/notebooks"
    here = f"student/{stem}" if student else stem
    other = f"[Solutions](../{stem}.ipynb)" if student else f"[Exercises](student/{stem}.ipynb)"
    return f"[Open in Colab]({colab}/{here}.ipynb) · {other}"
