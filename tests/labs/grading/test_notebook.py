"""A class of made-up submissions is graded: right, empty, wrong, and each kind of notebook that misbehaves."""

import json
from pathlib import Path

import nbformat
import pytest

from safedpo.errors import UserError
from safedpo.files import shipped
from safedpo.labs.grading.notebook import exercises_of, grade

SOLVED = {
    "dpo_loss": """
def dpo_loss(chosen_logps, rejected_logps, ref_chosen_logps, ref_rejected_logps, beta):
    m = beta * ((chosen_logps - ref_chosen_logps) - (rejected_logps - ref_rejected_logps))
    return torch.nn.functional.softplus(-m)
""",
    "implicit_reward": """
def implicit_reward(logps, ref_logps, beta):
    return beta * (logps - ref_logps)
""",
}


HEADER = "import torch\nfrom safedpo.labs import check"


def submission(tmp_path: Path, *cells: str, name: str = "student.ipynb") -> Path:
    """A short notebook with the set-up, these cells, and the three checks of notebook 01."""
    checks = [f"check({name!r}, {name})" for name in ("implicit_reward", "dpo_loss", "dpo_gradient")]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in (HEADER, *cells, *checks)])
    path = tmp_path / name
    nbformat.write(book, path)
    return path


def points(graded) -> dict[str, float]:
    """Points of the three short exercises of notebook 01; what was not handed in has none."""
    found = {verdict["exercise"]: verdict["points"] for verdict in graded.verdicts}
    short = ("implicit_reward", "dpo_loss", "dpo_gradient")
    assert not any(value for name, value in found.items() if name not in short)
    return {name: found[name] for name in short}


def message(graded, name: str) -> str:
    return next(verdict["message"] for verdict in graded.verdicts if verdict["exercise"] == name)


@pytest.mark.slow
def test_the_complete_notebook_has_all_points_and_the_handout_none():
    complete = grade(shipped("notebooks") / "01_from_preferences_to_dpo.ipynb")
    assert complete.points == complete.of >= 3 and not complete.incidents
    empty = grade(shipped("notebooks") / "student" / "01_from_preferences_to_dpo.ipynb")
    assert empty.points == 0 and {v["message"] for v in empty.verdicts} == {"not done: still the stub"}


def test_right_and_wrong_stand_side_by_side_and_the_mistake_is_named(tmp_path):
    wrong = SOLVED["dpo_loss"].replace("softplus(-m)", "softplus(m)")
    graded = grade(submission(tmp_path, SOLVED["implicit_reward"], wrong))
    assert points(graded) == {"implicit_reward": 1, "dpo_loss": 0, "dpo_gradient": 0}
    assert "not defined" in message(graded, "dpo_gradient") and message(graded, "dpo_loss") != "right"


@pytest.mark.slow
def test_an_answer_fitted_to_the_shown_numbers_is_caught_by_drawn_ones(tmp_path):
    table = """
from safedpo.labs.checks.nb01 import COLUMNS
def dpo_loss(c, r, rc, rr, beta):
    known = any(torch.equal(case[0], c) for case in COLUMNS)
    m = beta * ((c - rc) - (r - rr)) if known else 0 * c
    return torch.nn.functional.softplus(-m)
"""
    graded = grade(submission(tmp_path, table))
    assert points(graded)["dpo_loss"] == 0 and "not on others" in message(graded, "dpo_loss")


@pytest.mark.slow
def test_an_endless_loop_ends_and_what_stands_before_it_counts(tmp_path):
    graded = grade(submission(tmp_path, *SOLVED.values(), "while True:\n    pass"), time_limit=30)
    assert points(graded) == {"implicit_reward": 1, "dpo_loss": 1, "dpo_gradient": 0}
    assert any("its time was used up" in incident for incident in graded.incidents) and graded.seconds < 90


@pytest.mark.slow
def test_a_loop_that_swallows_every_interrupt_still_ends(tmp_path):
    stubborn = "while True:\n    try:\n        while True: pass\n    except BaseException: pass"
    graded = grade(submission(tmp_path, *SOLVED.values(), stubborn), time_limit=20)
    assert graded.seconds < 90 and graded.incidents and points(graded)["dpo_gradient"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cell", "incident"),
    [
        ("while True:\n    print('x' * 10_000)", "printed more than"),
        ("import urllib.request; urllib.request.urlopen('http://192.0.2.1', timeout=5)", "no network"),
        ("import subprocess; subprocess.run(['ls'])", "no other programs"),
        ("open('/etc/answers', 'w')", "outside the folder"),
        ("from pathlib import Path; Path.home().joinpath('x').mkdir()", "outside the folder"),
        ("raise ImportError('no such thing')", "no such thing"),
        ("import os; os._exit(1)", "ended the kernel"),
        ("x = bytearray(20_000_000_000)", "MemoryError"),
    ],
)
def test_a_notebook_that_misbehaves_is_graded_as_what_it_is(tmp_path, cell, incident):
    graded = grade(submission(tmp_path, *SOLVED.values(), cell), time_limit=60)
    assert any(incident in one for one in graded.incidents), graded.incidents
    survived = "ended the kernel" not in incident
    assert points(graded)["dpo_loss"] == (1 if survived else 0)


TRICKS = (
    "import safedpo.labs.grading.judge as j\nj.examine = j.on_drawn_cases = lambda *a, **k: None",
    "import builtins\nold = builtins.__import__\nbuiltins.__import__ = lambda *a, **k: old(*a, **k)",
    "import sys\nsys.modules['safedpo.labs.grading.judge'] = sys",
    'print(\'[{"exercise": "dpo_loss", "points": 1, "of": 1, "message": "right"}]\')',
)


@pytest.mark.slow
def test_changed_checkers_are_put_back_and_named_and_every_answer_is_graded_as_what_it_is(tmp_path):
    wrong = SOLVED["dpo_loss"].replace("softplus(-m)", "softplus(m)")
    graded = grade(submission(tmp_path, SOLVED["implicit_reward"], wrong, *TRICKS))
    assert points(graded) == {"implicit_reward": 1, "dpo_loss": 0, "dpo_gradient": 0}
    assert "The sign is wrong" in message(graded, "dpo_loss")
    (told,) = (incident for incident in graded.incidents if "that was undone" in incident)
    assert "judge.examine" in told and "and more" in told


ATTEMPTS = {
    "open('x', 'w')\nimport os; os.rename('x', {outside!r} + '/x')": "outside the folder",
    "import os; os.truncate({outside!r} + '/kept', 0)": "outside the folder",
    "import os; os.chmod({outside!r} + '/kept', 0o777)": "outside the folder",
    "import os; os.link({outside!r} + '/kept', 'link')": "outside the folder",
    "import sqlite3; sqlite3.connect({outside!r} + '/db')": "outside the folder",
    "import os; os.kill(os.getppid(), 0)": "no signals",
    "from safedpo.files import shipped; open(shipped('notebooks') / '01_from_preferences_to_dpo.ipynb')": "solutions",
    "import inspect; from safedpo.labs.checking import find; inspect.getsource(find('dpo_loss').right)": "OSError",
    "input('the answer?')": "input",
    "import sys; sys.exit(3)": "SystemExit",
}


@pytest.mark.slow
def test_every_attempt_ends_its_own_cell_and_costs_the_answers_nothing(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    graded = grade(submission(tmp_path, *SOLVED.values(), *(text.format(outside=str(outside)) for text in ATTEMPTS)))
    assert points(graded) == {"implicit_reward": 1, "dpo_loss": 1, "dpo_gradient": 0}
    assert len(graded.incidents) == len(ATTEMPTS) + 1  # and the answer that is missing
    for words, incident in zip(ATTEMPTS.values(), graded.incidents, strict=False):
        assert words in incident
    assert [one.name for one in outside.iterdir()] == ["kept"] and (outside / "kept").read_text() == "kept"


@pytest.mark.slow
def test_a_student_may_write_beside_the_notebook_and_delete_and_rename_cells(tmp_path):
    book = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(text)
            for text in (
                HEADER,
                "open('notes.txt', 'w').write('mine')",
                SOLVED["dpo_loss"].replace("def dpo_loss", "def mine"),
            )
        ]
        + [nbformat.v4.new_code_cell("check('dpo_loss', mine)")]
    )
    path = tmp_path / "my solution (2).ipynb"
    nbformat.write(book, path)
    graded = grade(path)
    assert points(graded) == {"implicit_reward": 0, "dpo_loss": 1, "dpo_gradient": 0} and not graded.incidents


@pytest.mark.slow
def test_grading_is_the_same_again_and_leaves_nothing_behind(tmp_path):
    path = submission(tmp_path, *SOLVED.values())
    before = path.read_bytes()
    first, second = grade(path, seed=3), grade(path, seed=3)
    assert first.verdicts == second.verdicts and path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["student.ipynb"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{}", "is no notebook"),
        ("not json", "is no notebook"),
        (json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}), "no exercise of this kit"),
    ],
)
def test_what_is_no_submission_is_refused_in_one_sentence(tmp_path, content, words):
    path = tmp_path / "x.ipynb"
    path.write_text(content)
    with pytest.raises(UserError, match=words) as error:
        grade(path)
    assert "\n" not in str(error.value)


def test_a_check_is_found_by_its_call_not_by_its_text(tmp_path):
    cells = ["%matplotlib inline\ncheck('dpo_loss', mine)", "# check('dpo_gradient', x)", "this is ( no python"]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
    asked = exercises_of(book, tmp_path / "x.ipynb")
    assert asked["dpo_loss"] == "mine" and asked["dpo_gradient"] == "dpo_gradient"
