"""The checkers of notebook 10: three right answers each, and wrong ones as a learner would write them."""

import math

import pytest
import torch
from scipy.optimize import brentq

from safedpo.finite import FiniteWorld
from safedpo.finite.methods import prompt_multipliers
from safedpo.labs import checking
from safedpo.labs.checks import nb10
from tests.labs.checks.answers import accepted, refusal


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    monkeypatch.setattr(checking, "_status", {})


def cost_at(q, r, c, b, lam):
    return ((q + (r - lam[:, None] * c) / b).softmax(-1) * c).sum(-1)


def by_secant(q, r, c, b, d):
    def one(x, lam):
        return cost_at(q[x : x + 1], r[x : x + 1], c[x : x + 1], b, torch.tensor([lam]).double()).item() - d

    return [0.0 if one(x, 0.0) <= 0 else brentq(lambda lam, x=x: one(x, lam), 0, 100) for x in range(len(c))]


def by_grid(q, r, c, b, d):
    """Ever finer grids of prices, all prompts at once."""
    low, width = torch.zeros(len(c), dtype=torch.float64), 100.0
    for _ in range(12):
        grid = low + width * torch.linspace(0, 1, 101, dtype=torch.float64)[:, None]  # (101, P)
        over = torch.stack([cost_at(q, r, c, b, lam) for lam in grid]) > d
        low = torch.where(over[0], low + width / 100 * (over.sum(0) - 1), low)
        width /= 100 if width > 1e-9 else 1
    return low


def by_the_package(q, r, c, b, d):
    return prompt_multipliers(FiniteWorld(q, r, c > 0, c), b, d)


RIGHT = {
    "prompt_prices": [by_secant, by_grid, by_the_package],
    "samples_needed": [
        lambda low, high, room, alpha: math.ceil((high - low) ** 2 * math.log(1 / alpha) / (2 * room**2)),
        lambda low, high, room, alpha: torch.tensor(-math.log(alpha) / 2 / (room / (high - low)) ** 2).ceil(),
        lambda low, high, room, alpha: next(
            n for n in range(1, 10_000) if (high - low) * (math.log(1 / alpha) / 2 / n) ** 0.5 <= room
        ),
    ],
}
WRONG = [
    ("prompt_prices", lambda q, r, c, b, d: torch.zeros(len(c)).double(), "should be"),
    ("prompt_prices", lambda q, r, c, b, d: torch.tensor(0.5), "shape"),
    (
        "prompt_prices",
        lambda q, r, c, b, d: torch.tensor(by_secant(q, r, c, b, d)).mean().expand(len(c)),
        "mean price of all",
    ),
    ("prompt_prices", lambda q, r, c, b, d: by_secant(q, 0 * r, c, b, d), "reward is forgotten"),
    ("samples_needed", lambda low, high, room, alpha: 100, "should be"),
    ("samples_needed", lambda low, high, room, alpha: (high - low) ** 2 * math.log(1 / alpha) / 2 / room**2, "whole"),
    (
        "samples_needed",
        lambda low, high, room, alpha: math.ceil(math.log(1 / alpha) / 2 / room**2),
        "range of the costs",
    ),
]


@pytest.mark.parametrize("name", RIGHT)
def test_three_different_right_answers_are_accepted(name, capsys):
    assert accepted(name, RIGHT[name], capsys) == len(RIGHT[name]) == 3
    assert set(RIGHT) == set(nb10.EXERCISES)


@pytest.mark.parametrize("name", RIGHT)
def test_every_mistake_is_refused_by_its_own_name(name):
    mistakes = nb10.EXERCISES[name].mistakes
    assert len(mistakes) >= 8
    for message, mistake in mistakes.items():
        assert message in refusal(name, mistake)


@pytest.mark.parametrize(("name", "answer", "word"), WRONG)
def test_wrong_answers_are_refused_with_the_reason(name, answer, word):
    assert word in refusal(name, answer)
