"""A cell that runs too long ends with an error, and the next one runs."""

import nbformat
import pytest
from nbclient import NotebookClient


@pytest.mark.slow
def test_a_slow_cell_ends_and_the_next_runs():
    code = [
        "from safedpo.labs.grading.export.limit import limit_cells\nlimit_cells(1)",
        "while True:\n    pass",
        "print(7)",
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in code])
    NotebookClient(book, allow_errors=True, timeout=60, kernel_name="python3").execute()
    assert book.cells[1].outputs[0].ename == "TimeoutError" and book.cells[2].outputs[0].text == "7\n"
