"""The checkers of notebook 09: three right answers each, and wrong ones as a learner would write them."""

import numpy as np
import pytest
from scipy.stats import beta, binom, binomtest

from safedpo.evaluate.judges.agreement import kappa
from safedpo.labs.checks import nb09
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
