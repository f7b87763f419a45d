"""Two sides agree, a curve falls or rises, a call is refused: and each says when it is not so."""

import math

import pytest
import torch

from safedpo.labs import agree, falling, ledger_row, refusal, rising


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
