"""The checkers of notebook 07: three right answers each, and wrong ones as a learner would write them."""

import math

import pytest
import torch
from torch.nn.functional import softplus

from safedpo.labs.checks import nb07
from safedpo.losses import safedpo_loss
from tests.labs.checks.answers import accepted, refusal


def by_the_loss_itself(equal, mixed, delta):
    same = torch.zeros(equal + mixed, dtype=torch.float64)
    rejected_unsafe = torch.arange(equal + mixed) >= equal
    return safedpo_loss(*[same] * 4, torch.zeros_like(rejected_unsafe), rejected_unsafe, beta=0.1, delta=delta).mean()


RIGHT = {
    "step_zero_loss": [
        lambda e, m, d: (e * math.log(2) + m * (d + math.log1p(math.exp(-d)))) / (e + m),
        lambda e, m, d: math.log(2) + m / (e + m) * (float(softplus(torch.tensor(d).double())) - math.log(2)),
        by_the_loss_itself,
    ],
    "lora_parameters": [
        lambda s, r: sum(r * (i + o) for i, o in s),
        lambda s, r: sum(torch.zeros(r, i).numel() + torch.zeros(o, r).numel() for i, o in s),
        lambda s, r: torch.tensor(s).sum() * r,
    ],
}
WRONG = [
    ("step_zero_loss", lambda e, m, d: math.log(2), "log 2 for every pair"),
    ("step_zero_loss", lambda e, m, d: (e * math.log(2) + m * d) / (e + m), "not equal"),
    ("step_zero_loss", lambda e, m, d: (e * 0.5 + m * 1.0) / (e + m), "should be"),
    ("lora_parameters", lambda s, r: sum(i * o for i, o in s), "size of the layers"),
    ("lora_parameters", lambda s, r: sum(r * o for i, o in s), "forgot A"),
    ("lora_parameters", lambda s, r: len(s) * r, "should be"),
]


@pytest.mark.parametrize("name", RIGHT)
def test_three_different_right_answers_are_accepted(name, capsys):
    assert accepted(name, RIGHT[name], capsys) == len(RIGHT[name]) == 3
    assert set(RIGHT) == nb07.EXERCISES.keys() - nb07.further.EXERCISES.keys()


@pytest.mark.parametrize(("name", "answer", "word"), WRONG)
def test_wrong_answers_are_refused_with_the_reason(name, answer, word):
    assert word in refusal(name, answer)


@pytest.mark.parametrize("name", RIGHT)
def test_eight_mistakes_are_each_refused_by_name(name):
    mistakes = nb07.EXERCISES[name].mistakes
    assert len(mistakes) >= 8
    for message, mistake in mistakes.items():
        assert message in refusal(name, mistake)
