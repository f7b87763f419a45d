"""Intervals against the binomial law, against coverage in simulation, and at the edges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from safedpo.errors import UserError
from safedpo.evaluate.intervals import cluster_interval, difference_interval


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
    """Two prompts, 1 and 3 responses: resampling gives the ratio of sums (0, 3/4, 1 with probability 1/4, 1/2, 1/4)."""
    found = cluster_interval([0, 1, 1, 1], ["a", "b", "b", "b"])
    assert (found.value, found.low, found.high) == (0.75, 0.0, 1.0)


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
