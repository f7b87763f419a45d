"""The margins at which label noise puts the optimum, against a numerical minimum of the expected loss."""

import math

import pytest
from scipy.optimize import minimize_scalar

from safedpo.errors import UserError
from safedpo.finite.noise import bit_flip_margin, pair_flip_margin

DELTAS = [-3.0, 0.0, 0.5, 2.0, 5.0, 10.0]


def softplus(x):
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def least(loss, near):
    return minimize_scalar(loss, bracket=(near - 1, near + 1), tol=1e-12).x


@pytest.mark.parametrize("delta", DELTAS)
@pytest.mark.parametrize("rate", [0.01, 0.1, 0.3, 0.49])
def test_flipped_pairs(rate, delta):
    """A clean pair costs softplus(delta - m); with both bits wrong T swaps it: softplus(delta + m)."""
    found = pair_flip_margin(rate, delta)
    by_search = least(lambda m: (1 - rate) * softplus(delta - m) + rate * softplus(delta + m), found + 0.3)
    assert found == pytest.approx(by_search, abs=1e-5)


@pytest.mark.parametrize("delta", DELTAS)
@pytest.mark.parametrize("safe_wins", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("rate", [0.01, 0.1, 0.3, 0.49])
def test_flipped_bits(rate, safe_wins, delta):
    """One wrong bit: safe called unsafe is UU and dropped; unsafe called safe is SS, ordered by helpfulness, no margin."""

    def loss(m):
        as_equals = safe_wins * softplus(-m) + (1 - safe_wins) * softplus(m)
        mixed = (1 - rate) ** 2 * softplus(delta - m) + rate**2 * softplus(delta + m)
        return mixed + rate * (1 - rate) * as_equals

    found = bit_flip_margin(rate, safe_wins, delta)
    assert found == pytest.approx(least(loss, found + 0.3), abs=1e-5)


def test_closed_forms_without_a_margin():
    for rate in (0.05, 0.2, 0.45):
        assert pair_flip_margin(rate, 0.0) == pytest.approx(math.log((1 - rate) / rate), rel=1e-12)
        share = ((1 - rate) ** 2 + rate * (1 - rate) * 0.3) / (1 - rate + rate**2)
        assert bit_flip_margin(rate, 0.3, 0.0) == pytest.approx(math.log(share / (1 - share)), rel=1e-9)


@pytest.mark.parametrize("delta", [700.0, 2000.0, -700.0, -2000.0])
def test_extreme_margins_do_not_overflow(delta):
    asymptote = delta + math.log(0.8 / 0.1) if delta > 0 else math.log(0.9 / 0.1) / 2
    assert pair_flip_margin(0.1, delta) == pytest.approx(asymptote, abs=1e-9)
    assert math.isfinite(bit_flip_margin(0.1, 0.3, delta))


@pytest.mark.parametrize("rate", [1e-30, 1e-12])
def test_tiny_rates_are_ordinary_cases(rate):
    assert pair_flip_margin(rate, 2.0) == pytest.approx(2 + math.log1p(-2 * rate) - math.log(rate), rel=1e-6)
    assert bit_flip_margin(rate, 0.3, 0.0) > 0


@pytest.mark.parametrize("rate", [0.0, 0.5, -0.1, 1.0, math.nan])
def test_a_rate_without_a_finite_optimum_is_refused(rate):
    for call in (lambda: pair_flip_margin(rate, 1.0), lambda: bit_flip_margin(rate, 0.5, 1.0)):
        with pytest.raises(UserError, match="rate is"):
            call()
