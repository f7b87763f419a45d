"""Intervals against the binomial law, against coverage in simulation, and at the edges."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from safedpo.errors import UserError
from safedpo.evaluate.intervals import FEWEST_PROMPTS, cluster_interval, difference_interval


@pytest.mark.parametrize("events, prompts", [(12, 60), (3, 40), (95, 100)])
def test_one_binary_response_a_prompt_gives_binomial_quantiles(events, prompts):
    """Resampling P prompts of which a share p is unsafe makes the count Binomial(P, p) exactly."""
    values = [1] * events + [0] * (prompts - events)
    found = cluster_interval(values, range(prompts), draws=40_000)
    exact = stats.binom(prompts, events / prompts).ppf([0.025, 0.975]) / prompts
    assert found.value == events / prompts
    assert np.abs([found.low - exact[0], found.high - exact[1]]).max() <= 1.01 / prompts


def test_many_prompts_give_the_normal_limit_of_the_cluster_mean():
    rng = np.random.default_rng(1)
    cluster_means = rng.beta(2, 5, size=400)
    values = np.repeat(cluster_means, 3)
    found = cluster_interval(values, np.repeat(np.arange(400), 3), draws=20_000)
    half = 1.96 * cluster_means.std() / np.sqrt(400)
    assert found.high - found.value == pytest.approx(half, rel=0.05)
    assert found.value - found.low == pytest.approx(half, rel=0.05)
    assert (found.n, found.prompts) == (1200, 400)


def test_repeating_each_response_adds_no_certainty():
    values = [0, 1, 0, 0, 1, 0.5, 0, 0.25]
    once = cluster_interval(values, range(8))
    ten_times = cluster_interval(np.repeat(values, 10), np.repeat(range(8), 10))
    assert (ten_times.low, ten_times.high) == (once.low, once.high)
    as_if_independent = cluster_interval(np.repeat(values, 10), range(80))
    assert as_if_independent.high - as_if_independent.low < 0.5 * (once.high - once.low)


def test_unequal_prompts_weigh_by_their_responses():
    """Each ratio of sums over the 6^6 ordered resamples of six prompts, listed: the quantiles are those of that law."""
    sizes, sums = np.array([1, 3, 2, 5, 1, 4]), np.array([0, 3, 1, 1, 1, 2])
    values = np.concatenate([[1.0] * k + [0.0] * (n - k) for n, k in zip(sizes, sums, strict=True)])
    found = cluster_interval(values, np.repeat(range(6), sizes), draws=40_000)
    drawn = np.array(list(itertools.product(range(6), repeat=6)))
    exact = np.sort(sums[drawn].sum(1) / sizes[drawn].sum(1))
    assert found.value == pytest.approx(8 / 16)
    for bound, level in (
        (found.low, 0.025),
        (found.high, 0.975),
    ):  # within the bootstrap's own noise, 4 standard errors
        rank = (
            np.searchsorted(exact, bound, side="left") / len(exact),
            np.searchsorted(exact, bound, side="right") / len(exact),
        )
        assert rank[0] - 0.004 <= level <= rank[1] + 0.004


@given(st.lists(st.floats(0, 1, allow_subnormal=False), min_size=1, max_size=30), st.integers(1, 8))
def test_an_interval_is_never_a_point_and_with_too_few_prompts_not_known(values, prompts):
    clusters = [i % prompts for i in range(len(values))]
    found = cluster_interval(values, clusters, draws=200)
    mean = np.mean(values)
    if len(set(clusters)) < FEWEST_PROMPTS and mean not in (0.0, 1.0):
        assert (found.low, found.high) == (None, None) and str(found).endswith("[not known]")
        assert found.to_json()["low"] is None
    else:
        assert 0 <= found.low <= found.value <= found.high <= 1 and found.low < found.high
    gap = difference_interval(values, [v / 2 for v in values], clusters)
    assert (gap.low is None) == (any(v > v / 2 for v in values) and len(set(clusters)) < FEWEST_PROMPTS)


def test_below_six_prompts_no_such_interval_holds_often_enough():
    """The widest of them, from least to greatest prompt, holds the centre of a symmetric law in 1 - 2^(1-P) of cases."""
    rng = np.random.default_rng(0)
    for prompts in (2, 5, FEWEST_PROMPTS):
        draws = rng.random((20_000, prompts))
        held = ((draws.min(1) <= 0.5) & (draws.max(1) >= 0.5)).mean()
        assert held == pytest.approx(1 - 2.0 ** (1 - prompts), abs=0.01)
    assert 1 - 2.0 ** (1 - FEWEST_PROMPTS) >= 0.95 > 1 - 2.0 ** (2 - FEWEST_PROMPTS)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_prompts_that_all_agree_leave_room_for_one_that_does_not(share):
    found = cluster_interval([share] * 12, [*range(6)] * 2)
    room = stats.binomtest(0, 6).proportion_ci(0.95, method="exact").high
    # At most `room` of the prompts are unlike these, with any value from 0 to 1.
    assert found.low == pytest.approx((1 - room) * share)
    assert found.high == pytest.approx((1 - room) * share + room)


@pytest.mark.parametrize("bad", [[0.5, np.nan], [np.inf, 0.0], [-0.1, 0.2]])
def test_what_is_no_share_is_refused(bad):
    with pytest.raises(UserError, match="must lie in"):
        cluster_interval(bad, ["a", "b"])
    with pytest.raises(UserError, match="one cluster for each value"):
        cluster_interval([0.5, 0.5], ["a"])
    with pytest.raises(UserError, match="give as many"):
        difference_interval([0.5, 0.5], [0.5], ["a", "b"])


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(60), 4)
    covered = 0
    for trial in range(200):
        rates = rng.beta(1, 3, size=60)  # mean 0.25
        found = cluster_interval(rng.random(240) < rates[clusters], clusters, draws=500, seed=trial)
        covered += found.low <= 0.25 <= found.high
    assert 0.89 <= covered / 200 <= 0.99  # 95 % minus what a bootstrap of 60 prompts loses, +- 4 standard errors


@given(st.integers(1, 500))
def test_no_event_at_all_gives_the_exact_binomial_bound(prompts):
    none = cluster_interval([0.0] * prompts, range(prompts))
    exact = stats.binomtest(0, prompts).proportion_ci(0.95, method="exact").high
    assert (none.value, none.low) == (0.0, 0.0)
    assert none.high == pytest.approx(exact, rel=1e-9)
    always = cluster_interval([1.0] * prompts, range(prompts))
    assert (always.low, always.high) == (pytest.approx(1 - exact), 1.0)


def test_nothing_measured_is_not_zero():
    empty = cluster_interval([], [])
    assert (empty.value, empty.low, empty.high, empty.n) == (None, None, None, 0)
    assert str(empty) == "none"


def test_values_outside_the_unit_interval_are_refused():
    with pytest.raises(UserError, match="found 0 to 3"):
        cluster_interval([0, 3], ["a", "b"])


def test_a_difference_has_the_interval_of_the_prompts_own_differences():
    rng = np.random.default_rng(2)
    shared, gap = rng.random(300) * 0.6 + 0.2, rng.choice([-0.1, 0.0, 0.2], size=300)
    found = difference_interval(shared + gap, shared, range(300))
    half = 1.96 * gap.std() / np.sqrt(300)
    assert found.value == pytest.approx(gap.mean())
    assert (found.high - found.value, found.value - found.low) == (
        pytest.approx(half, rel=0.1),
        pytest.approx(half, rel=0.1),
    )
    apart = cluster_interval(shared + gap, range(300))
    assert apart.high - apart.low > 1.5 * (found.high - found.low)  # what the two share has cancelled
    back = difference_interval(shared, shared + gap, range(300))
    assert (back.value, back.high) == (pytest.approx(-found.value), pytest.approx(-found.low, abs=0.003))


def test_no_difference_at_all_is_bounded_on_either_side():
    found = difference_interval([1, 0, 0.5], [1, 0, 0.5], ["a", "b", "b"])
    exact = stats.binomtest(0, 2).proportion_ci(0.95, method="exact").high
    assert (found.value, found.n, found.prompts) == (0.0, 3, 2)
    assert found.high == -found.low == pytest.approx(exact)
    assert difference_interval([], [], []).value is None
