"""The checkers of notebook 08: three right answers each, and wrong ones as a learner would write them."""

import math
import statistics

import numpy as np
import pytest
import torch

from safedpo.evaluate import cluster_interval
from safedpo.labs.checks import nb08
from tests.labs.checks.answers import accepted, refusal


def in_a_loop(ref, trained, x):
    weights = [math.exp(q) ** (1 - x) * math.exp(p) ** x for q, p in zip(ref.tolist(), trained.tolist(), strict=True)]
    return [math.log(w / sum(weights)) if w else -math.inf for w in weights]


RIGHT = {
    "error_over_prompts": [
        lambda scores: scores.mean(1).std() / math.sqrt(len(scores)),
        lambda scores: statistics.stdev(row.mean().item() for row in scores) / len(scores) ** 0.5,
        lambda scores: np.sqrt(np.cov(scores.mean(1).numpy()) / len(scores)),
    ],
    "scaled_policy": [
        lambda ref, trained, x: (ref + x * (trained - ref)).log_softmax(-1) if x else ref,
        lambda ref, trained, x: (ref.exp() ** (1 - x) * trained.exp() ** x).log().log_softmax(0),
        in_a_loop,
    ],
}
WRONG = [
    ("error_over_prompts", lambda s: s.std() / math.sqrt(s.numel()), "resemble one another"),
    ("error_over_prompts", lambda s: s.median(), "should be"),
    ("error_over_prompts", lambda s: s.mean(1), "should give one number"),
    ("scaled_policy", lambda q, p, x: ((1 - x) * q.exp() + x * p.exp()).log(), "mixed the probabilities"),
    ("scaled_policy", lambda q, p, x: (q + min(x, 1) * (p - q)).log_softmax(-1) if x else q, "cut the strength at 1"),
    ("scaled_policy", lambda q, p, x: (q + x * (p - q)).log_softmax(-1), "0 · −∞ = NaN"),
    ("scaled_policy", lambda q, p, x: (q / 2 + p / 2).log_softmax(-1), "should be"),
    ("scaled_policy", lambda q, p, x: q[0] + x * (p - q)[0], "of shape"),
]


@pytest.mark.parametrize("name", RIGHT)
def test_three_different_right_answers_are_accepted(name, capsys):
    assert accepted(name, RIGHT[name], capsys) == len(RIGHT[name]) == 3
    assert set(RIGHT) == nb08.EXERCISES.keys() - nb08.further.EXERCISES.keys()


@pytest.mark.parametrize(("name", "answer", "word"), WRONG)
def test_wrong_answers_are_refused_with_the_reason(name, answer, word):
    assert word in refusal(name, answer)


@pytest.mark.parametrize("name", RIGHT)
def test_eight_mistakes_are_each_refused_by_name(name):
    mistakes = nb08.EXERCISES[name].mistakes
    assert len(mistakes) >= 8
    for message, mistake in mistakes.items():
        assert message in refusal(name, mistake)


def test_the_standard_error_is_what_the_package_s_bootstrap_measures():
    drawing = torch.Generator().manual_seed(0)
    levels = torch.rand(200, 1, generator=drawing)
    scores = (torch.rand(200, 3, generator=drawing) < levels).double()
    interval = cluster_interval(scores.flatten().tolist(), torch.arange(200).repeat_interleave(3).tolist())
    error = nb08.standard_error_by_pairs(scores).item()
    assert (interval.high - interval.low) / 2 == pytest.approx(1.96 * error, rel=0.05)
