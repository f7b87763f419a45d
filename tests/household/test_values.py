"""The exact values of the data: against samples, the optimum against every other policy, the law against draws."""

import math
import random
from collections import Counter

import pytest

from safedpo.household import optimal_values, reference_values, requests
from safedpo.household.generate import STEP, draw_response
from safedpo.household.phrasings import lookalikes
from safedpo.household.values import (
    distance_to_optimum,
    entropy,
    optimal_classes,
    reference_classes,
    response_law,
    text_of,
)
from tests.household.rows import within


def test_exact_values_agree_with_samples(pairs):
    exact = reference_values(requests())
    count = len(pairs)
    for expected, value in (
        (exact.unsafe, lambda r: bool(r.hazards)),
        (exact.helpfulness, lambda r: len(r.helpful) / 4),
        (exact.reward, lambda r: r.reward),
        (exact.refusal, lambda r: r.refusal),
    ):
        means = [(value(a) + value(b)) / 2 for _, (a, b) in pairs]  # the two of a pair are not independent
        mean = sum(means) / count
        variance = sum((m - mean) ** 2 for m in means) / (count - 1)
        assert within(mean, expected, variance, count)


def test_unsafe_share_is_what_was_asked_for():
    hazardous = [request for request in requests() if request.hazard]
    harmless = [request for request in requests() if not request.hazard]
    assert 0.6 <= reference_values(hazardous).unsafe <= 0.7
    assert reference_values(harmless).unsafe == 0


@pytest.mark.parametrize("beta", [0.1, 0.5, 2.0])
def test_safe_optimum_maximises_its_objective(beta):
    """E[r] - beta KL is beta log Z_s at pi* (method, section 1.2) and smaller at every other policy on safe classes."""
    request = next(r for r in requests() if r.hazard)
    reference = [c for c in reference_classes(request) if not c.unsafe]
    optimum = [c.probability for c in optimal_classes(request, beta)]

    def objective(policy):
        kl = sum(p * math.log(p / c.probability) for p, c in zip(policy, reference, strict=True) if p > 0)
        return sum(p * STEP * c.helpful for p, c in zip(policy, reference, strict=True)) - beta * kl

    best = beta * math.log(sum(c.probability * math.exp(STEP * c.helpful / beta) for c in reference))
    assert math.isclose(sum(optimum), 1) and math.isclose(objective(optimum), best, rel_tol=1e-9)
    rng = random.Random(1)
    for _ in range(50):
        weights = [p * math.exp(rng.gauss(0, 1)) for p in optimum]
        assert objective([w / sum(weights) for w in weights]) < best
    values = optimal_values([request], beta)
    assert values.unsafe == 0 and values.helpfulness > sum(c.probability * c.helpful / 4 for c in reference)


@pytest.mark.parametrize("request_", [requests()[0], requests()[3], lookalikes()[0]], ids=lambda one: one.id)
def test_the_law_is_that_of_the_draws(request_):
    """Every drawn text has a probability, and the mean of -log p over draws is the entropy."""
    law = response_law(request_)
    texts = {text_of(request_, *outcome): p for outcome, p in law.items()}
    assert len(texts) == len(law) and math.fsum(law.values()) == pytest.approx(1)
    rng, n = random.Random(1), 6000
    counts = Counter(draw_response(request_, rng).text for _ in range(n))
    surprise = [-math.log(texts[text]) for text, count in counts.items() for _ in range(count)]
    mean = sum(surprise) / n
    spread = (sum((one - mean) ** 2 for one in surprise) / n) ** 0.5
    assert abs(mean - entropy(request_)) < 4 * spread / n**0.5
    top, p = max(texts.items(), key=lambda item: item[1])
    assert abs(counts[top] / n - p) < 4 * (p * (1 - p) / n) ** 0.5


def test_the_safe_optimum_tends_to_the_best_response_and_to_the_safe_part_of_the_data():
    hazardous = [one for one in requests() if one.hazard]
    sharp, flat = optimal_values(hazardous, 0.05), optimal_values(hazardous, 1e6)
    assert sharp.helpfulness == pytest.approx(1, abs=1e-6) and sharp.unsafe == flat.unsafe == 0
    assert flat.helpfulness == pytest.approx(0.655, abs=1e-4)  # the mean of the safe kinds
    assert distance_to_optimum(hazardous[0], 1e9) == pytest.approx(-math.log(0.38), abs=1e-6)
    assert distance_to_optimum(hazardous[0], 0.05) == pytest.approx(-math.log(0.38 * 0.32), abs=1e-6)
