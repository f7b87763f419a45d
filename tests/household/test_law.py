"""The enumerated law against draws, and its values against the first version's and against the closed form."""

import math
import random
from collections import Counter

import pytest

from safedpo.household.parts import requests
from safedpo.household.phrasings import lookalikes
from safedpo.household.v2.generate import draw_response
from safedpo.household.values import (
    distance_to_optimum,
    entropy,
    optimal_values,
    response_law,
    text_of,
)


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
