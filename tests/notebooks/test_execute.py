"""Every complete notebook runs from top to bottom."""

import pytest

from tests.notebooks.notebook_runs import COMPLETE, code_cells, errors, read, run


@pytest.mark.parametrize("path", COMPLETE, ids=lambda path: path.stem)
def test_complete_notebook_executes(path):
    for cell in code_cells(run(read(path))):
        assert cell.execution_count and not errors(cell)
        printed = "".join(output.text for output in cell.outputs if output.output_type == "stream")
        assert "were not all run" not in printed  # what a cell of notebook 10 says when sections were left out
