"""The paper's tables and figures beside what was reproduced: no cell can be filled by hand.

published    what the paper prints, "not found" where it could not be read; both versions' numbers
stored_runs  values of stored runs, computed from their samples and checked
own_runs     the reader's own run as rows, with every deviation named
tables       all of it, line by line
"""

from safedpo.evaluate.paper.own_runs import own_cells
from safedpo.evaluate.paper.published import Published, published, versions
from safedpo.evaluate.paper.stored_runs import Cell, household_cells, nothing
from safedpo.evaluate.paper.tables import Line, lines, markdown

__all__ = [
    "Cell",
    "Line",
    "Published",
    "household_cells",
    "lines",
    "markdown",
    "nothing",
    "own_cells",
    "published",
    "versions",
]
