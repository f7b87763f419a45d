"""What a student's code changes in the checkers is found, named and undone; what the kit itself changes is not held against it."""

import sys
from dataclasses import replace
from types import ModuleType

import pytest
import torch

from safedpo.labs import checking, hint
from safedpo.labs.checks import nb01
from safedpo.labs.grading import judge, pristine


def patched_name():
    judge.examine = lambda *arguments: None


def patched_code():
    checking.examine.__code__ = (lambda exercise, answer, name: None).__code__


def easier_exercise():
    nb01.EXERCISES["dpo_loss"] = replace(nb01.EXERCISES["dpo_loss"], cases=())


def frozen_field():
    object.__setattr__(nb01.EXERCISES["dpo_loss"], "score", lambda *arguments: (1, "right"))


def other_module():
    sys.modules["safedpo.labs.grading.judge"] = ModuleType("judge")


def other_method():
    torch.Tensor.double = lambda self: self


def fewer_cases():
    judge.CASES = 0


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (patched_name, "safedpo.labs.grading.judge.examine"),
        (patched_code, "safedpo.labs.checking.examine"),
        (easier_exercise, "safedpo.labs.checks.nb01.EXERCISES.dpo_loss"),
        (frozen_field, "dpo_loss.score"),
        (other_module, "safedpo.labs.grading.judge"),
        (other_method, "Tensor.double"),
        (fewer_cases, "safedpo.labs.grading.judge.CASES"),
    ],
)
def test_each_change_is_named_and_undone(change, name):
    back = pristine.keep()
    assert back() == []
    try:
        change()
    finally:
        changed = back()
    assert changed == [name] and back() == []
    wrong = judge.verdict_on("dpo_loss", lambda c, r, rc, rr, beta: c)
    assert wrong.points == 0 and wrong.message != "right"


def test_using_the_kit_is_no_change(capsys):
    back = pristine.keep()
    hint("dpo_loss")
    with pytest.raises(checking.NotYet):
        checking.check("dpo_loss", lambda c, r, rc, rr, beta: c)
    assert back() == []
