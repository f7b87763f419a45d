"""The solutions that the notebooks hold between their marks, as functions: what their checkers and mutants are tried on."""

import ast
import math
from functools import cache
from pathlib import Path
from typing import NamedTuple

import jupytext
import torch

from safedpo.labs.build import BEGIN
from safedpo.labs.checks import modules
from safedpo.labs.grading.notebook import checks_of

SOURCES = sorted((Path(__file__).parents[3] / "notebooks" / "source").glob("*.py"))

# Exercise -> what draws a case for it.
DRAWERS = {name: one.draw for module in modules() for name, one in module.EXERCISES.items() if one.draw}


class Solution(NamedTuple):
    """One exercise as the complete notebook solves it: the cell, and the name of the function that is checked."""

    notebook: str
    exercise: str
    cell: str
    function: str

    def run(self, tree: ast.Module | None = None) -> object:
        """The function that the cell (or a changed tree of it) defines."""
        import safedpo.finite as finite

        space: dict = {"torch": torch, "math": math} | {name: getattr(finite, name) for name in finite.__all__}
        exec(compile(tree or ast.parse(self.cell), f"<{self.exercise}>", "exec"), space)
        return space[self.function]

    @property
    def lines(self) -> int:
        """Lines of the solution that are not empty."""
        inside, count = False, 0
        for line in map(str.strip, self.cell.splitlines()):
            if line.startswith("### "):
                inside = line == BEGIN
            else:
                count += inside and bool(line)
        return count


@cache
def solutions() -> dict[str, Solution]:
    """Exercise -> its solution, for every exercise whose cell needs nothing but itself."""
    found = {}
    for path in SOURCES:
        cells = [cell.source for cell in jupytext.read(path).cells if cell.cell_type == "code"]
        for cell, check in zip(cells, cells[1:], strict=False):
            if BEGIN in cell:
                ((exercise, function),) = dict(checks_of(check)).items()
                found[exercise] = Solution(path.stem[:2], exercise, cell, function)
    return found
