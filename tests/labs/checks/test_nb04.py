"""The checkers of notebook 04: three right answers each, and wrong ones as a learner would write them."""

import math

import pytest
import torch

from safedpo.errors import UserError
from safedpo.finite import FiniteWorld, flip_bits, population
from safedpo.labs import checking
from safedpo.labs.checking import NotYet, check, find
from safedpo.labs.checks import nb04
from safedpo.labs.predictions import Question
from tests.labs.checks.answers import accepted


def by_law_of_flips(rate, safe_wins):
    """The exact law of the package: flip, transform, and add up the weights."""
    lead = math.log(safe_wins / (1 - safe_wins))
    world = FiniteWorld(torch.tensor([[0.5, 0.5]]).double().log(), [[lead, 0.0]], [[False, True]])
    kept = flip_bits(population(world), rate).transform()
    wrong = kept.chosen == 1
    with_margin = wrong & (kept.chosen_unsafe != kept.rejected_unsafe)
    return kept.weight.sum(), kept.weight[wrong].sum(), kept.weight[with_margin].sum()


def noise_one_by_one(e, p):
    looks_ss, turned = e * (1 - e), e**2
    return (1 - e) ** 2 + looks_ss + turned, looks_ss * (1 - p) + turned, turned


RIGHT = {
    "t_under_noise": [
        by_law_of_flips,
        noise_one_by_one,
        lambda e, p: (1 - e + e * e, e * (1 - p + e * p), torch.tensor(e * e)),
    ],
    "price_of_margin": [0.317 - 0.0604, 0.2567, lambda: torch.tensor(0.256)],
}


@pytest.mark.parametrize("name", RIGHT)
def test_three_different_right_answers_are_accepted(name, capsys):
    assert accepted(name, RIGHT[name], capsys) == len(RIGHT[name]) == 3


def test_every_exercise_is_here():
    assert nb04.EXERCISES.keys() - nb04.further.EXERCISES.keys() == set(RIGHT)


@pytest.mark.parametrize("name", RIGHT)
def test_at_least_eight_mistakes_are_refused_each_by_its_own_name(name):
    exercise = find(name)
    assert len(exercise.mistakes) >= 8
    for message, mistake in exercise.mistakes.items():
        with pytest.raises(NotYet) as error:
            check(name, mistake)
        assert message in str(error.value)


LEARNERS = [
    ("t_under_noise", lambda e, p: (1 - e + e**2, e**2 + e * (1 - e) * p, e**2), "exchanged"),
    ("t_under_noise", lambda e, p: (1 - e + e**2, (e**2 + e * (1 - e) * (1 - p)), 2 * e**2), "should be"),
    ("t_under_noise", lambda e, p: 1 - e + e**2, "3 tensors"),
    ("price_of_margin", 0.317, "how much *larger*"),
    ("price_of_margin", -0.2567, "sign"),
    ("price_of_margin", 5.25, "ratio"),
]


@pytest.mark.parametrize(("name", "answer", "words"), LEARNERS, ids=[f"{n}-{i}" for i, (n, *_) in enumerate(LEARNERS)])
def test_wrong_answers_of_learners(name, answer, words):
    with pytest.raises(NotYet, match=r"hint\(") as error:
        check(name, answer)
    assert words in str(error.value)


def test_what_the_reading_exercise_expects_is_what_the_table_of_the_method_says():
    distances = nb04.safe_distances()  # golden: the toy table of the method
    assert distances[200, 0.0] == pytest.approx(0.06042, abs=5e-6)
    assert distances[200, 50.0] == pytest.approx(0.31714, abs=5e-6)
    assert distances[1000, 20.0] == pytest.approx(0.007711, abs=5e-7)


@pytest.mark.parametrize("question", nb04.QUESTIONS.values())
def test_questions_are_well_formed(question: Question):
    assert 0 <= question.right < len(question.options) == len(set(question.options)) and len(question.why) > 40


def test_a_hint_is_there_for_every_strength():
    for name in RIGHT:
        assert len(find(name).hints) == 3
        with pytest.raises(UserError):
            checking.hint(name, 4)
