"""Each hand-written slope against numbers, and against autograd of its loss by the claim of the ledger."""

import pytest
import torch

from safedpo.finite.claims import check
from safedpo.finite.claims.methods import slopes
from safedpo.finite.slopes import SLOPES, cdpo_slope, robust_dpo_slope

FLAGS = torch.tensor([False, False, True, True]), torch.tensor([False, True, False, True])
GAP = torch.tensor([-3.0, 0.0, 1.0, 4.0], dtype=torch.float64)


def test_the_claim_holds_and_covers_every_slope():
    assert check(slopes.CLAIMS[0], seed=1, worlds=3).holds
    assert set(SLOPES) == {"safedpo", "cdpo", "robust_dpo", "ipo", "bfpo"}


def test_numbers_by_hand():
    sigmoid = torch.tensor([0.5 * 3, 2.0, -2.5, -2.0], dtype=torch.float64).sigmoid()  # delta I - beta gap
    assert torch.allclose(SLOPES["safedpo"](0.5, 2.0, *FLAGS)(GAP), -0.5 * sigmoid, rtol=1e-12)
    assert SLOPES["ipo"](0.5, 2.0, *FLAGS)(GAP).tolist() == [-8.0, -2.0, 0.0, 6.0]
    targets = torch.tensor([0.5, 1.0, -1.0, -0.5], dtype=torch.float64) / 0.5
    assert torch.allclose(SLOPES["bfpo"](0.5, 2.0, *FLAGS)(GAP), 2 * (GAP - targets))
    at_zero = torch.zeros(1, dtype=torch.float64)
    for e in (0.0, 0.1, 0.3):
        assert cdpo_slope(2.0, 0.0, *FLAGS, flip_rate=e)(at_zero).item() == pytest.approx(2 * (0.5 - (1 - e)))
        expected = -2 * (0.5 + e / (1 - 2 * e))
        assert robust_dpo_slope(2.0, 0.0, *FLAGS, flip_rate=e)(at_zero).item() == pytest.approx(expected)


def test_flags_and_settings_broadcast():
    betas = torch.tensor([0.1, 1.0]).double()[:, None]
    for slope in SLOPES.values():
        together = slope(betas, torch.tensor([2.0]).double(), *FLAGS)(GAP)
        for row, beta in zip(together, (0.1, 1.0), strict=True):
            assert torch.allclose(row, slope(torch.tensor(beta).double(), 2.0, *FLAGS)(GAP), rtol=1e-6)
