"""The computed pages name every exercise with its section, and every mistake that a checker knows."""

import re

from safedpo.labs.checking import find
from safedpo.labs.grading.guide.pages import misconceptions, outcomes
from safedpo.labs.grading.guide.sections import sections
from tests.labs.grading.class_of_five import FOLDER

PATHS = [next(FOLDER.glob(f"{number}_*.ipynb")) for number in ("01", "02")]


def test_outcomes_add_up():
    page = outcomes(PATHS)
    totals = [tuple(map(int, pair)) for pair in re.findall(r"## .*: (\d+) minutes to read, (\d+) for", page)]
    for path, (reading, doing) in zip(PATHS, totals, strict=True):
        found = sections(path)
        assert (reading, doing) == (round(sum(s.reading for s in found)), round(sum(s.doing for s in found)))
        assert all(f"| {one.heading} |" in page for one in found)
        assert all(f"`{name}`" in page for one in found for name in (*one.exercises, *one.claims))


def test_misconceptions_are_the_checkers_messages():
    page = misconceptions(PATHS)
    for path in PATHS:
        for name in (name for one in sections(path) for name in one.exercises):
            assert all(f"- {message}" in page for message in find(name).mistakes)
    assert page.count("\n- ") > 20
