"""The students' side: exercises come out of the sealed file, whole for the kit and closed to everybody else."""

import pytest
import torch

from safedpo.labs.checking import Exercise, examine
from safedpo.labs.grading.handout import opened
from safedpo.labs.grading.handout.seal import seal
from safedpo.labs.predictions import Question

MODULE = """
import torch
from safedpo.labs.checking import Exercise
from safedpo.labs.predictions import Question
from safedpo.labs.checks.shared_by_test import right
EXERCISES = {"double": Exercise("twice x", ((2.0,),), right, {"too much": lambda x: right(x) * 2}, ("one", "all"))}
QUESTIONS = {"q": Question(("a", "b"), 1, "because")}
"""
SHARED = "import torch\ndef right(x):\n    return torch.tensor(2 * x)"


@pytest.fixture
def module(tmp_path, monkeypatch):
    file = tmp_path / "sealed.bin"
    file.write_bytes(seal({"safedpo.labs.checks.nb99": MODULE, "safedpo.labs.checks.shared_by_test": SHARED}))
    monkeypatch.setattr(opened, "FILE", file)
    opened._opened.cache_clear()
    yield next(opened.modules())
    opened._opened.cache_clear()


def test_an_answer_is_examined_as_ever(module):
    exercise = module.EXERCISES["double"]
    assert isinstance(exercise, Exercise) and module.__name__.endswith("nb99")
    assert examine(exercise, lambda x: 2 * x, "double") is None
    assert examine(exercise, lambda x: 4 * x, "double") == "too much"


def test_the_computations_answer_to_the_kit_alone_and_the_strongest_hint_is_gone(module):
    exercise = module.EXERCISES["double"]
    assert exercise.hints == ("one",)
    for computation in (exercise.right, *exercise.mistakes.values()):
        with pytest.raises(PermissionError, match="write yours"):
            computation(2.0)


def test_a_question_tells_only_what_committing_tells(module):
    question = module.QUESTIONS["q"]
    assert not hasattr(question, "right") and not hasattr(question, "why")
    assert question.verdict(0) == Question(("a", "b"), 1, "because").verdict(0)
    assert question.is_right(1) and not question.is_right(0) and question.options == ("a", "b")


def test_the_modules_are_found_no_more(module):
    with pytest.raises(ModuleNotFoundError):
        import safedpo.labs.checks.shared_by_test  # noqa: F401
    assert torch.equal(torch.tensor(1), torch.tensor(1))
