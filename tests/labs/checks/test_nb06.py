"""The checkers of notebook 06: three right answers each, and wrong ones as a learner would write them."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from safedpo.finite import kl
from safedpo.labs.bugs.faults import broken
from safedpo.labs.bugs.symptoms import counted_tokens, first_losses, margins
from safedpo.labs.checking import NotYet, check
from safedpo.labs.checks import nb06
from tests.labs.checks.answers import accepted, refusal


def by_cross_entropy(logits, ids, starts, ends):
    labels = ids.clone()
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        labels[i, :start] = labels[i, end:] = -100
    losses = cross_entropy(logits[:, :-1].transpose(1, 2), labels[:, 1:], reduction="none", ignore_index=-100)
    return -losses.sum(-1)


def row_by_row(logits, ids, starts, ends):
    rows = []
    for z, y, s, e in zip(logits, ids, starts.tolist(), ends.tolist(), strict=True):
        rows.append(z[s - 1 : e - 1].log_softmax(-1)[torch.arange(e - s), y[s:e]].sum())
    return torch.stack(rows)


def with_logsumexp(logits, ids, starts, ends):
    place = torch.arange(1, ids.shape[1])
    counted = (place >= starts[:, None]) & (place < ends[:, None])
    picked = logits[:, :-1].gather(-1, ids[:, 1:, None])[..., 0] - logits[:, :-1].logsumexp(-1)
    return torch.where(counted, picked, 0.0).sum(-1)


RIGHT = {
    "response_logps": [by_cross_entropy, row_by_row, with_logsumexp],
    "kl_to_optimum": [
        kl,
        lambda p, q: (p.exp() * (p - q)).nan_to_num(0.0, posinf=math.inf).sum(-1),
        lambda p, q: torch.stack(
            [(a[a > -math.inf].exp() * (a - b)[a > -math.inf]).sum() for a, b in zip(p, q, strict=True)]
        ),
    ],
    "step_loss": [
        lambda means, sizes: (means * torch.tensor(sizes)).sum() / sum(sizes),
        lambda means, sizes: sum(m * n for m, n in zip(means, sizes, strict=True)) / sum(sizes),
        lambda means, sizes: means.repeat_interleave(torch.tensor(sizes)).mean(),
    ],
    "silent_bug": [lambda: 12, lambda: 12.0, lambda: torch.tensor(12)],
}
WRONG = [
    ("response_logps", lambda z, y, s, e: row_by_row(z, y, s, e) / (e - s), "mean over tokens"),
    ("response_logps", lambda z, y, s, e: row_by_row(z, y, s + 1, e), "first token"),
    ("response_logps", lambda z, y, s, e: row_by_row(z, y, s, e - 1), "last token"),
    ("response_logps", lambda z, y, s, e: row_by_row(z, y, s, e).sum(), "took the sum over the batch"),
    (
        "response_logps",
        lambda z, y, s, e: z.roll(1, 1).log_softmax(-1).gather(-1, y[..., None])[..., 0].sum(-1),
        "should be",
    ),
    ("response_logps", lambda z, y, s, e: row_by_row(z.detach(), y, s, e), "no gradient flows"),
    (
        "response_logps",
        lambda z, y, s, e: z[..., 0].sum() * 0 + row_by_row(z.detach(), y, s, e),
        "part of it is detached",
    ),
    (
        "kl_to_optimum",
        lambda p, q: torch.where(p.isfinite() & q.isfinite(), p.exp() * (p - q), 0.0).sum(-1),
        "leave it",
    ),
    ("kl_to_optimum", lambda p, q: (p.exp() * (p - q)).sum(-1), "nan"),
    ("kl_to_optimum", lambda p, q: (q.exp() * (q - p)).sum(-1), "infinite"),
    ("kl_to_optimum", lambda p, q: kl(p, q).mean(), "took the mean over the batch"),
    (
        "step_loss",
        lambda means, sizes: means.mean(),
        "mean of the means",
    ),
    ("step_loss", lambda means, sizes: means / sum(sizes), "shape"),
    ("silent_bug", 11, "dropout"),
    ("silent_bug", 13, "does not move at all"),
    ("silent_bug", 7, "should be"),
]


@pytest.mark.parametrize("name", RIGHT)
def test_three_different_right_answers_are_accepted(name, capsys):
    assert accepted(name, RIGHT[name], capsys) == len(RIGHT[name]) == 3
    assert set(RIGHT) == nb06.EXERCISES.keys() - nb06.further.EXERCISES.keys()


@pytest.mark.parametrize("name", RIGHT)
def test_every_mistake_is_refused_by_its_own_name(name):
    mistakes = nb06.EXERCISES[name].mistakes
    assert len(mistakes) >= (3 if name == "silent_bug" else 8)
    for message, mistake in mistakes.items():
        with pytest.raises(NotYet) as error:
            check(name, mistake)
        assert message in str(error.value)


@pytest.mark.parametrize(("name", "answer", "word"), WRONG)
def test_wrong_answers_are_refused_with_the_reason(name, answer, word):
    assert word in refusal(name, answer)


def test_the_mystery_can_be_told_from_its_figure():
    """Sound tokens and step 0; and no other fault has a margin that stays at 0."""
    assert counted_tokens(broken(nb06.MYSTERY)) == counted_tokens(broken(0))
    assert first_losses(broken(nb06.MYSTERY)) == pytest.approx(first_losses(broken(0)))
    flat = [number for number in range(16) if max(map(abs, margins(broken(number), steps=3))) < 1e-3]
    assert flat == [nb06.MYSTERY]
