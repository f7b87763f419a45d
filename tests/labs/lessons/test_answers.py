"""The helpers of the lessons against sums written out, SciPy and the package's own closed forms."""

import math

import pytest
import torch

from safedpo.finite import optimal_policy, six_answers, tv
from safedpo.labs import agree, falling, ledger_row, refusal, rising
from safedpo.labs.lessons.answers import fined, random_policies, with_support
from safedpo.labs.lessons.bandit import saturation_time


def test_agree_needs_both_the_sides_and_the_ledger(capsys):
    from dataclasses import replace

    row = ledger_row("gibbs-identity")
    assert agree(torch.ones(3), torch.ones(3), row)
    assert not agree(torch.ones(3), torch.tensor([1.0, 1.0, 1.1]), row)
    assert not agree(1.0, 1.0, replace(row, holds=False))
    assert not agree(math.nan, 1.0, row)
    assert capsys.readouterr().out.count("differ by") == 4


def test_falling_and_rising_are_strict():
    assert falling([2.0, 1.0]) and not falling([1.0, 1.0]) and rising([1.0, 2.0]) and not rising([2.0, 1.0])


def test_a_call_that_succeeds_is_no_refusal():
    with pytest.raises(AssertionError, match="where ValueError was expected"):
        refusal(ValueError, int, "3")
    assert "invalid literal" in str(refusal(ValueError, int, "x"))


def test_random_policies_are_policies_and_repeat():
    found = random_policies(5, seed=1)
    assert found.shape == (5, 1, 6) and torch.allclose(found.exp().sum(-1), torch.ones(5, 1).double())
    assert torch.equal(found, random_policies(5, seed=1))


def test_support_is_what_was_asked_for_and_the_figure_tells_the_distance():
    poor = with_support(six_answers(), 1e-3)
    assert poor.ref_logps.exp()[~poor.unsafe].sum().item() == pytest.approx(1e-3)
    assert poor.ref_logps.exp().sum().item() == pytest.approx(1)
    distance = tv(optimal_policy(poor, 0.1, penalty=1.0), optimal_policy(poor, 0.1)).item()
    assert f"{distance:.2g}" in fined(poor, 0.1, 1.0)[1]


@pytest.mark.parametrize("delta", [2.0, 5.0])
def test_the_flow_saturates_when_the_closed_form_says(delta):
    formula = (delta + 1 - math.exp(-delta)) / (2 * 0.1**2)
    assert saturation_time(delta, beta=0.1, rate=1.0, step=0.05) == pytest.approx(formula, abs=0.1)
