"""The checkers of notebook 05: three right answers each, and wrong ones as a learner would write them."""

import math

import pytest
import torch

from safedpo.errors import UserError
from safedpo.finite import FiniteWorld, optimal_policy, six_answers, unsafe_mass
from safedpo.finite.methods import OPTIMA, dual_step
from safedpo.labs import checking
from safedpo.labs.checking import NotYet, check, find
from safedpo.labs.checks import nb05
from safedpo.labs.predictions import Question
from tests.labs.checks.answers import accepted


def dpo_optimum(reference, scores, beta):
    return (reference + scores / beta).log_softmax(-1)


def update_with_if(lam, cost, limit, eta):
    new = lam + eta * cost - eta * limit
    if new < 0:
        return 0.0, lam / eta
    return new, abs(cost - limit)


def in_one_tilt(q, r, c, b, m):
    return OPTIMA["SACPO"](FiniteWorld(q, r, c > 0, c), beta=b, lam=m)


def step_by_step(q, r, c, b, m):
    helpful = dpo_optimum(q, r, b)
    return dpo_optimum(helpful, -m * c, b)


RIGHT = {
    "dual_update": [
        dual_step,
        update_with_if,
        lambda m, c, d, e: (max(m + e * (c - d), 0), max(abs(c - d), 0) if m + e * (c - d) > 0 else m / e),
    ],
    "sacpo_steps": [
        lambda q, r, c, b, m: dpo_optimum(dpo_optimum(q, r, b), -c, b / m if m else math.inf),
        step_by_step,
        lambda q, r, c, b, m: dpo_optimum(dpo_optimum(q, r / b, 1.0), -c * m / b, 1.0),
    ],
    "read_pareto": [0.788, lambda: 0.787, torch.tensor(0.7880)],
}


@pytest.mark.parametrize("name", RIGHT)
def test_three_different_right_answers_are_accepted(name, capsys):
    assert accepted(name, RIGHT[name], capsys) == len(RIGHT[name]) == 3


def test_every_exercise_is_here():
    assert nb05.EXERCISES.keys() - nb05.further.EXERCISES.keys() == set(RIGHT)


@pytest.mark.parametrize("name", RIGHT)
def test_at_least_eight_mistakes_are_refused_each_by_its_own_name(name):
    exercise = find(name)
    assert len(exercise.mistakes) >= 8
    for message, mistake in exercise.mistakes.items():
        with pytest.raises(NotYet) as error:
            check(name, mistake)
        assert message in str(error.value)


LEARNERS = [
    ("dual_update", lambda m, c, d, e: (m + e * (c - d), abs(c - d)), "negative price"),
    ("dual_update", lambda m, c, d, e: max(0, m + e * (c - d)), "2 tensors"),
    ("dual_update", lambda m, c, d, e: (max(0, m - e * (c - d)), abs(max(0, m - e * (c - d)) - m) / e), "rises"),
    ("dual_update", lambda m, c, d, e: (max(0, m + e * (c - d)), m * abs(c - d)), "complementary slackness"),
    ("sacpo_steps", lambda q, r, c, b, m: dpo_optimum(dpo_optimum(q, r, b), c, b / m if m else math.inf), "cheaper"),
    ("sacpo_steps", lambda q, r, c, b, m: dpo_optimum(dpo_optimum(q, r, b), -c, b * m), "inverted"),
    ("sacpo_steps", lambda q, r, c, b, m: dpo_optimum(dpo_optimum(q, r, b), -c, b / m), "division by zero"),
    ("sacpo_steps", lambda q, r, c, b, m: dpo_optimum(q, -c, b / m if m else math.inf), "starts from π_ref again"),
    (
        "sacpo_steps",
        lambda q, r, c, b, m: dpo_optimum(dpo_optimum(q, r, b), -c, b / m if m else math.inf).exp(),
        "should be",
    ),
    ("sacpo_steps", in_one_tilt, "One tilt gives these numbers too"),
    ("sacpo_steps", lambda q, r, c, b, m: dpo_optimum(q, r - m * c, b), "One tilt gives these numbers too"),
    ("read_pareto", 0.00413, "unsafe mass"),
    ("read_pareto", 0.816, "too early"),
    ("read_pareto", 0.779, "π*"),
]


@pytest.mark.parametrize(("name", "answer", "words"), LEARNERS, ids=[f"{n}-{i}" for i, (n, *_) in enumerate(LEARNERS)])
def test_wrong_answers_of_learners(name, answer, words):
    with pytest.raises(NotYet, match=r"hint\(") as error:
        check(name, answer)
    assert words in str(error.value)


def test_what_the_reading_exercise_expects_is_what_the_package_shows():
    """The numbers a reader sees come from other code than the checker's."""
    world = six_answers()
    for lam in nb05.LAMBDAS:
        assert nb05._at(lam, "mass") == pytest.approx(
            unsafe_mass(world, OPTIMA["SACPO"](world, beta=0.5, lam=lam)).item()
            if lam
            else unsafe_mass(world, optimal_policy(world, 0.5, penalty=0.0)).item(),
            abs=1e-12,
        )
    assert nb05.first_below_one_percent().item() == pytest.approx(0.788, abs=5e-4)


@pytest.mark.parametrize("question", nb05.QUESTIONS.values())
def test_questions_are_well_formed(question: Question):
    assert 0 <= question.right < len(question.options) == len(set(question.options)) and len(question.why) > 40


def test_a_hint_is_there_for_every_strength():
    for name in RIGHT:
        assert len(find(name).hints) == 3
        with pytest.raises(UserError):
            checking.hint(name, 4)
