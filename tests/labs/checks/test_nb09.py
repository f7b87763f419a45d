"""The checkers of notebook 09: three right answers each, and wrong ones as a learner would write them."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy.stats import beta, binom, binomtest

from safedpo.evaluate.bounds import clustered_bound
from safedpo.evaluate.judges.agreement import kappa
from safedpo.labs.checks import nb09
from safedpo.labs.checks.exercises.planted import evaluations
from tests.labs.checks.answers import accepted, refusal


def by_halving(harmful, n, alpha):
    low, high = 0.0, 1.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if binom.cdf(harmful, n, middle) > alpha else (low, middle)
    return high


def in_a_loop(counts):
    n, rows, columns = counts.sum().item(), counts.sum(1), counts.sum(0)
    seen = sum(counts[i, i].item() for i in range(len(counts))) / n
    chance = sum(rows[i].item() * columns[i].item() for i in range(len(counts))) / n**2
    return (seen - chance) / (1 - chance)


RIGHT = {
    "harm_bound": [
        by_halving,
        lambda k, n, a: 1.0 if k == n else beta.ppf(1 - a, k + 1, n - k),
        lambda k, n, a: binomtest(k, n, 0.5, alternative="less").proportion_ci(1 - a, "exact").high,
    ],
    "cohen_kappa": [
        in_a_loop,
        lambda c: kappa(c.numpy()),
        lambda c: np.float64(1 - (1 - c.trace() / c.sum()) / (1 - (c.sum(0) * c.sum(1)).sum() / c.sum() ** 2)),
    ],
}
WRONG = [
    ("harm_bound", lambda k, n, a: k / n, "do not prove a rate of zero"),
    ("harm_bound", lambda k, n, a: 1 - a ** (1 / n), "no harmful response"),
    ("harm_bound", lambda k, n, a: (k + 1) / (n + 2), "should be"),
    ("cohen_kappa", lambda c: c.trace() / c.sum(), "always say safe"),
    ("cohen_kappa", lambda c: c / c.sum(), "should give one number"),
    ("cohen_kappa", lambda c: c.trace(), "should be"),
]


@pytest.mark.parametrize("name", RIGHT)
def test_three_different_right_answers_are_accepted(name, capsys):
    assert accepted(name, RIGHT[name], capsys) == len(RIGHT[name]) == 3
    assert set(RIGHT) == set(nb09.EXERCISES) - {"evaluation_is_broken"}


@pytest.mark.parametrize(("name", "answer", "word"), WRONG)
def test_wrong_answers_are_refused_with_the_reason(name, answer, word):
    assert word in refusal(name, answer)


@pytest.mark.parametrize("name", RIGHT)
def test_eight_mistakes_are_each_refused_by_name(name):
    mistakes = nb09.EXERCISES[name].mistakes
    assert len(mistakes) >= 8
    for message, mistake in mistakes.items():
        assert message in refusal(name, mistake)


def _twin(evaluate):
    """With the package's own bound, on a few lists of replies."""
    lists = (
        [["safe"], ["unsafe", "safe", "?"], ["I say unsafe", "safe"], ["no"], ["safe"], ["unsafe"]],
        [["safe"]] * 5,
        [["unsafe"]] * 2,
    )
    for replies, alpha in zip([lists[0], *lists], (0.2, 0.05, 0.05, 0.05), strict=True):
        read = [[one for one in prompt if one in ("safe", "unsafe")] for prompt in replies]
        named = [(one == "unsafe", place) for place, prompt in enumerate(read) for one in prompt]
        shares = [prompt.count("unsafe") / len(prompt) for prompt in read if prompt]
        bound = clustered_bound(*map(list, zip(*named, strict=True)), confidence=1 - alpha)
        want = [sum(shares) / len(shares), bound, sum(map(len, replies)) - len(named)]
        if not np.allclose(evaluate(replies, alpha), want, atol=1e-5):
            return True
    return False


def test_a_check_against_the_package_s_own_bound_is_accepted(capsys):
    assert accepted("evaluation_is_broken", [_twin, lambda evaluate: torch.tensor(_twin(evaluate))], capsys) == 2


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda evaluate: "lambda" in evaluate.__name__ + evaluate.__qualname__, "does not notice"),
        (lambda evaluate: isinstance(evaluate, partial), "does not notice"),
        (lambda evaluate: evaluate([["safe"]], 0.05)[1] != 0.95, "A false alarm"),
        (lambda evaluate: not evaluate([["safe"], ["unsafe"]], 0.05)[1] < 1, "does not notice"),
        (lambda evaluate: None, "It should give True (broken) or False (sound)"),
    ],
)
def test_weak_checks_of_an_evaluation_are_refused(answer, words):
    assert words in refusal("evaluation_is_broken", answer)


def test_each_fault_is_one_and_each_sound_evaluation_none():
    sound, faults = evaluations.HIDDEN_SOUND, evaluations.FAULTS | evaluations.HIDDEN_FAULTS
    assert not any(map(_twin, sound)) and all(map(_twin, faults.values())) and len(faults) == 36
