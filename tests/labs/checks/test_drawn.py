"""Drawn cases are cases: the exercise's own independent computation is finite on them, and seeds differ."""

import random

import pytest
import torch

from safedpo.labs.checking import find
from tests.labs.checks.solutions import DRAWERS


@pytest.mark.parametrize("name", sorted(name for name in DRAWERS if not find(name).score))
def test_a_drawn_case_has_a_right_answer_and_depends_on_the_seed(name):
    exercise, values = find(name), []
    for seed in range(20):
        case = DRAWERS[name](random.Random(seed))
        assert len(case) == len(exercise.cases[0])
        right = exercise.right(*case)
        parts = right if isinstance(right, tuple) else (right,)
        assert exercise.verify or all(not torch.as_tensor(part).double().isnan().any() for part in parts)
        values.append(repr(parts))
    assert len(set(values)) > (1 if exercise.gives.startswith("True where it is broken") else 3)
