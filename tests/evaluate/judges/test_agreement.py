"""Cohen's kappa against its definition summed by hand, and its interval against simulation."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safedpo.errors import UserError
from safedpo.evaluate.judges.agreement import agreement

LABELS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1, max_size=60)


@given(LABELS)
@settings(max_examples=150, deadline=None)
def test_kappa_is_its_definition(pairs):
    one, other = zip(*pairs, strict=True)
    found, n = agreement(one, other, draws=50), len(pairs)
    same = sum(a == b for a, b in pairs) / n
    chance = sum(Counter(one)[label] * Counter(other)[label] for label in "abc") / n**2
    if chance == 1:
        assert found.kappa is None
    else:
        assert math.isclose(found.kappa, (same - chance) / (1 - chance), abs_tol=1e-9)
        assert agreement(other, one, draws=50).kappa == pytest.approx(found.kappa)
    assert found.share == pytest.approx(same) and sum(found.counts.values()) == found.n == n
    if found.low is not None:
        assert n >= 6 and found.low <= found.high


def test_two_that_agree_and_two_that_do_not_know_of_one_another():
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 2, (2, 1500))
    assert agreement(one, one).kappa == 1.0
    assert abs(agreement(one, other).kappa) < 0.08
    assert agreement(["a"] * 9, ["a"] * 9).kappa is None and "not defined" in str(agreement(["a"] * 9, ["a"] * 9))


def test_the_interval_covers_the_true_kappa_about_as_often_as_it_says():
    """Two judges, each flips a fair coin's side with probability 0.15: kappa is (1 - 2 * 0.15)^2."""
    rng, truth, inside = np.random.default_rng(1), 0.7**2, 0
    for _ in range(200):
        side = rng.integers(0, 2, 120)
        one, other = ((side + (rng.random(120) < 0.15)) % 2 for _ in range(2))
        found = agreement(one, other, draws=300)
        inside += found.low <= truth <= found.high
    assert 0.9 <= inside / 200 <= 0.99


def test_labels_of_one_prompt_move_together():
    one, other = [0, 1] * 30, ([0, 1] * 25 + [1, 0] * 5)
    alone, clustered = agreement(one, other), agreement(one, other, [i // 10 for i in range(60)])
    assert alone.kappa == clustered.kappa and clustered.high - clustered.low > alone.high - alone.low


@pytest.mark.parametrize("given", [("ab", "a", None), ("", "", None), ("ab", "ab", [1])])
def test_labels_that_do_not_fit_are_refused(given):
    with pytest.raises(UserError, match="labels"):
        agreement(*given)
