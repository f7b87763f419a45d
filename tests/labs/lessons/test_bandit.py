"""The runs of notebook 04: saturation against its closed form."""

import math

import pytest

from safedpo.labs.lessons.bandit import saturation_time


@pytest.mark.parametrize("delta", [2.0, 5.0])
def test_the_flow_saturates_when_the_closed_form_says(delta):
    formula = (delta + 1 - math.exp(-delta)) / (2 * 0.1**2)
    assert saturation_time(delta, beta=0.1, rate=1.0, step=0.05) == pytest.approx(formula, abs=0.1)
