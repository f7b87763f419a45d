"""Each section runs alone after the set-up cell; student versions fail at the unfinished exercises and nowhere else."""

import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tests.notebooks.notebook_runs import COMPLETE, STUDENT, code_cells, errors, is_check, read, run, sections

pytestmark = pytest.mark.slow


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


@pytest.mark.parametrize("path", STUDENT, ids=lambda path: path.stem)
def test_student_notebook_fails_at_the_unfinished_exercises_and_nowhere_else(path):
    for cell in code_cells(run(read(path), allow_errors=True)):
        assert errors(cell) == (["Unfinished"] if is_check(cell) else []), cell.source
