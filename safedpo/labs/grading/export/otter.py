"""Tests and settings for otter-grader (`otter generate`, `otter run`), which call our judge.

Otter has no time limit for a cell; its plug-in `CellLimit` here gives it one. Otter itself is imported only by that name,
because only otter asks for it.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import nbformat

from safedpo.labs.grading.notebook import exercises_of

TEST = '''\
OK_FORMAT = True

test = {{
    "name": {name!r},
    "points": 1,
    "suites": [
        {{
            "cases": [
                {{
                    "code": r"""
>>> from safedpo.labs.grading.judge import graded
>>> graded({name!r}, {answer}, seed={seed})
'right'
""",
                    "hidden": True,
                    "locked": False,
                }}
            ],
            "scored": True,
            "setup": "",
            "teardown": "",
            "type": "doctest",
        }}
    ],
}}
'''


def write_tests(out: Path, notebooks: Sequence[Path], *, seed: int = 0, seconds: int = 60) -> list[Path]:
    """Write `NN_name/tests/EXERCISE.py` and `NN_name/otter_config.json` for each notebook; returns the folders."""
    folders = []
    for path in notebooks:
        book = nbformat.read(path, as_version=4)
        tests = out / path.stem / "tests"
        tests.mkdir(parents=True, exist_ok=True)
        for name, answer in exercises_of(book, path).items():
            (tests / f"{name}.py").write_text(TEST.format(name=name, answer=answer, seed=seed), encoding="utf-8")
        plugin = {"safedpo.labs.grading.export.otter.CellLimit": {"seconds": seconds}}
        (tests.parent / "otter_config.json").write_text(json.dumps({"plugins": [plugin]}, indent=2), encoding="utf-8")
        folders.append(tests.parent)
    return folders


def __getattr__(name: str):
    if name != "CellLimit":
        raise AttributeError(f"module {__name__} has no attribute {name!r}")
    from otter.plugins import AbstractOtterPlugin

    class CellLimit(AbstractOtterPlugin):
        """Puts a first cell into each submission that limits the time of the others."""

        def before_execution(self, submission):
            code = f"from safedpo.labs.grading.export.limit import limit_cells\nlimit_cells({self.plugin_config['seconds']})"
            submission.cells.insert(0, nbformat.v4.new_code_cell(code))
            return submission

    return CellLimit
