"""Every complete notebook runs from top to bottom."""

import pytest

from tests.notebooks.notebook_runs import COMPLETE, code_cells, errors, read, run


@pytest.mark.parametrize("path", COMPLETE, ids=lambda path: path.stem)
def test_complete_notebook_executes(path):
    for cell in code_cells(run(read(path))):
        assert cell.execution_count and not errors(cell)
        assert "not run yet" not in str(cell.outputs)  # what notebook 10 says of methods whose section was left out
