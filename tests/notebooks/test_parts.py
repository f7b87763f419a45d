"""Each section runs alone after the set-up cell; student versions fail at the unfinished exercises and nowhere else."""

import subprocess
import sys

import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tests.notebooks.notebook_runs import COMPLETE, STUDENT, code_cells, errors, is_check, read, run, sections


def test_no_section_uses_a_name_that_only_another_section_makes(tmp_path):
    """The quick half of the next test: every section of every notebook, read and not run."""
    for path in COMPLETE:
        (_, set_up), *parts = sections(read(path))
        for heading, cells in parts:
            name = "".join(letter if letter.isalnum() else "-" for letter in f"{path.stem} {heading}")
            text = "\n\n".join(cell.source for cell in (*set_up, *cells))
            (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    assert len(list(tmp_path.iterdir())) > 50
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--select", "F821", str(tmp_path)]
    found = subprocess.run([*ruff, "--output-format", "concise"], capture_output=True, text=True)
    assert not found.returncode, found.stdout + found.stderr


@pytest.mark.slow
@pytest.mark.parametrize("path", COMPLETE, ids=lambda path: path.stem)
def test_each_section_runs_alone_after_the_set_up_cell(path):
    (_, set_up), *parts = sections(read(path))
    assert len(set_up) == 2  # it finds the package, then brings in the names of the lesson
    book = new_notebook()
    for heading, cells in parts:
        # Nothing is left of the sections before: a section may use the set-up cell and its own cells only.
        book.cells += [new_code_cell("%reset -f"), *(new_code_cell(cell.source) for cell in set_up)]
        book.cells += [new_code_cell(cell.source, metadata={"section": heading}) for cell in cells]
    failed = {
        (cell.metadata.get("section"), *errors(cell)) for cell in run(book, allow_errors=True).cells if errors(cell)
    }
    assert not failed


@pytest.mark.slow
@pytest.mark.parametrize("path", STUDENT, ids=lambda path: path.stem)
def test_student_notebook_fails_at_the_unfinished_exercises_and_nowhere_else(path):
    for cell in code_cells(run(read(path), allow_errors=True)):
        assert errors(cell) == (["Unfinished"] if is_check(cell) else []), cell.source
