"""The notebooks' own solutions: accepted on many drawn cases, together worth hours of work, and with their effort told."""

import re

import pytest

from safedpo.labs.checking import examine, find, on_drawn_cases
from tests.labs.checks.solutions import DRAWERS, SOURCES, solutions

READ_OFF = ("read_pareto", "price_of_margin", "silent_bug", "price_of_support")  # numbers, no functions with cases
# Open work, for a share of the point: a changed claim may be as good a claim. tests/labs/lessons/studio attacks its checkers.
OPEN = [name for name in solutions() if find(name).score]
PROGRAMS = sorted(solutions().keys() - {*READ_OFF, *OPEN})
LESSONS = [path for path in SOURCES if path.stem[:2] in {f"{n:02}" for n in range(1, 10)}]
HEADING = re.compile(r"\*\*Exercise (\d+)\*\* (●○○|●●○|●●●) (\d+) min\.")


@pytest.mark.parametrize("name", PROGRAMS)
def test_our_own_solution_is_right_on_every_drawn_case(name):
    answer, exercise = solutions()[name].run(), find(name)
    assert examine(exercise, answer, name) is None
    assert on_drawn_cases(exercise, answer, name, seed="own", count=10) is None


def test_every_program_has_cases_to_draw():
    assert set(PROGRAMS) <= set(DRAWERS)


def test_there_are_hours_of_work_in_them():
    found = [one for one in solutions().values() if "01" <= one.notebook <= "09"]
    assert len(found) >= 45
    assert sum(one.lines for one in found) >= 250


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_every_exercise_tells_its_minutes_and_difficulty_and_each_notebook_has_a_hard_one(path):
    text = path.read_text(encoding="utf-8")
    told = HEADING.findall(text)
    asked = re.findall(r"^check\(", text, re.MULTILINE)
    assert [int(number) for number, *_ in told] == list(range(1, len(asked) + 1))
    assert any(dots == "●●●" for _, dots, _ in told)
    assert 40 <= sum(int(minutes) for *_, minutes in told) <= 90


def test_together_they_take_six_to_nine_hours():
    minutes = [int(m) for path in LESSONS for *_, m in HEADING.findall(path.read_text(encoding="utf-8"))]
    assert 6 * 60 <= sum(minutes) <= 9 * 60
