"""Bounds against brute force and against simulation: they are wrong as seldom as they say, and trying many does not help."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from safedpo.errors import UserError
from safedpo.evaluate.bounds import CORRECTIONS, certify, clustered_bound, exact_p, safety_test, upper_bound


def coverage(bound, draw, truth: float, laps: int = 4000) -> float:
    """How often a bound on `draw(rng)` lies at or above the truth."""
    rng = np.random.default_rng(0)
    return sum(bound(draw(rng)) >= truth for _ in range(laps)) / laps


@pytest.mark.parametrize(("k", "n"), [(0, 1), (0, 450), (3, 40), (39, 40), (40, 40), (200, 400)])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_the_bound_for_independent_draws_is_that_of_another_implementation(k, n, confidence):
    other = binomtest(k, n, 0.5, alternative="less").proportion_ci(confidence, "exact").high
    assert math.isclose(upper_bound(k, n, confidence=confidence), other, rel_tol=1e-9)


@given(st.integers(1, 60), st.data(), st.floats(0.5, 0.999))
@settings(max_examples=200, deadline=None)
def test_at_the_bound_so_few_events_have_the_probability_that_is_left(n, data, confidence):
    k = data.draw(st.integers(0, n - 1))
    u = upper_bound(k, n, confidence=confidence)
    tail = math.fsum(math.comb(n, i) * u**i * (1 - u) ** (n - i) for i in range(k + 1))  # the binomial law, written out
    assert math.isclose(tail, 1 - confidence, rel_tol=1e-6)
    assert math.isclose(exact_p(k, n, u), tail, rel_tol=1e-6)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=80), st.floats(0.5, 0.999))
@settings(max_examples=200, deadline=None)
def test_the_bound_over_prompts_is_above_the_mean_and_never_below_the_exact_one_for_counts(values, confidence):
    prompts = list(range(len(values)))
    u = clustered_bound(values, prompts, confidence=confidence)
    assert np.mean(values) - 1e-12 <= u <= 1
    bits = [float(v > 0.5) for v in values]
    assert (
        clustered_bound(bits, prompts, confidence=confidence)
        >= upper_bound(int(sum(bits)), len(bits), confidence=confidence) - 1e-9
    )
    assert clustered_bound(values, prompts, confidence=(1 + confidence) / 2) >= u - 1e-9


@pytest.mark.parametrize(("rate", "n"), [(0.01, 150), (0.1, 40), (0.5, 20)])
def test_coverage_for_independent_draws(rate, n):
    found = coverage(lambda k: upper_bound(int(k), n), lambda rng: rng.binomial(n, rate), rate)
    assert found >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / 4000)


@pytest.mark.parametrize("alike", [0.02, 1.0, 50.0], ids=["all alike", "between", "independent"])
@pytest.mark.parametrize("rate", [0.01, 0.1])
def test_coverage_over_prompts_whose_responses_resemble_one_another(alike, rate):
    """Each prompt has a rate of its own, of a beta law with mean `rate`; three responses are drawn at it."""
    prompts = [i // 3 for i in range(150)]

    def draw(rng):
        return (rng.random((50, 3)) < rng.beta(alike * rate, alike * (1 - rate), (50, 1))).astype(float).ravel()

    assert coverage(lambda v: clustered_bound(v, prompts), draw, rate, 1500) >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / 1500)


def test_counting_responses_as_draws_claims_too_much():
    def draw(rng):
        return 3 * rng.binomial(50, 0.1)  # all three responses to a prompt are alike

    assert coverage(lambda k: upper_bound(int(k), 150), draw, 0.1) < 0.9


@pytest.mark.parametrize("correction", ["holm", "bonferroni"])
def test_trying_many_policies_seldom_passes_one_that_is_harmful(correction):
    """Twelve policies just above the limit: each alone passes in up to 5 % of draws, any of them far more often."""
    rng, prompts, wrong, naive = np.random.default_rng(1), list(range(80)), 0, 0
    for _ in range(200):
        given = {str(i): ((rng.random(80) < 0.0501).astype(float), prompts) for i in range(12)}
        wrong += any(test.passed for test in certify(given, limit=0.05, correction=correction))
        naive += any(test.passed for test in certify(given, limit=0.05, correction="none"))
    assert wrong / 200 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200) and naive / 200 > 0.1


def test_holm_passes_all_that_bonferroni_passes_and_sometimes_more():
    rng, more = np.random.default_rng(2), 0
    for _ in range(200):
        prompts = list(range(100))
        given = {str(i): ((rng.random(100) < rate).astype(float), prompts) for i, rate in enumerate((0.0, 0.005, 0.01))}
        holm, bonferroni = (
            {test.name for test in certify(given, limit=0.065, correction=name) if test.passed}
            for name in ("holm", "bonferroni")
        )
        assert bonferroni <= holm
        more += len(holm) - len(bonferroni)
    assert more > 0
    assert {test.bound for test in certify({"a": given["0"]}, limit=0.065)} == {
        safety_test(*given["0"], limit=0.065).bound
    }


def test_a_test_passes_where_its_bound_is_below_its_limit_and_its_p_below_what_is_left():
    rng = np.random.default_rng(3)
    for _ in range(300):
        values = (rng.random(60) < rng.random() * 0.2).astype(float)
        test = safety_test(values, [i // 2 for i in range(60)], limit=float(rng.uniform(0.01, 0.5)))
        assert test.passed == (test.bound <= test.limit) == (test.p <= 0.05)
        assert ("return the policy" in str(test)) == test.passed


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: upper_bound(3, 2), "3 events in 2 draws"),
        (lambda: upper_bound(0, 0), "0 events in 0 draws"),
        (lambda: upper_bound(True, 3), "True events"),
        (lambda: upper_bound(0.5, 3), "0.5 events"),
        (lambda: upper_bound(0, 3, confidence=95), "confidence is 95"),
        (lambda: upper_bound(0, 3, confidence=float("nan")), "confidence is nan"),
        (lambda: clustered_bound([], []), "values have shape"),
        (lambda: clustered_bound([0, 1], ["a"]), "values have shape"),
        (lambda: clustered_bound([0, 2], ["a", "b"]), "must lie in"),
        (lambda: clustered_bound([float("nan")], ["a"]), "must lie in"),
        (lambda: safety_test([0], ["a"], limit=0), "limit is 0"),
        (lambda: exact_p(0, 3, 1.0), "limit is 1.0"),
        (lambda: certify({}, limit=0.1), "no policy"),
        (lambda: certify({"a": ([0], ["a"])}, limit=0.1, correction="fdr"), "no correction 'fdr'; there are holm"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(ask, message):
    with pytest.raises(UserError, match=message):
        ask()
    assert "holm" in CORRECTIONS
