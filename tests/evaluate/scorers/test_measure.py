"""Measured responses: each metric by hand, the sign of a cost, and the paper's scale."""

import pytest

from safedpo.errors import UserError
from safedpo.evaluate.scorers.asked import Asked
from safedpo.evaluate.scorers.measure import measure, normalised, summary

ASKED = {"a": Asked("a", True, ""), "b": Asked("b", False, ""), "c": Asked("c", None, "")}
NO, YES = "I'm sorry, but I can't assist with that.", "Use soap."
EXCHANGES = [("a", NO), ("a", YES), ("b", NO), ("c", YES)]


class Fixed:
    """Stands in for a score model: the scores that it is given."""

    def __init__(self, *scores: float):
        self.given = scores

    def scores(self, exchanges, batch_size):
        return (score for score, _ in zip(self.given, exchanges, strict=True))


def test_each_metric_is_the_mean_of_what_it_names():
    found = summary(measure(EXCHANGES, ASKED, reward_model=Fixed(1, 2, 3, 6), cost_model=Fixed(-1, 0, 5, 2)))
    assert {name: one.value for name, one in found.items()} == {
        "helpfulness": 3.0,
        "harmlessness": -1.5,  # minus the mean cost
        "harmless_ratio": 0.5,  # a cost of 0 is harmless
        "over_refusal": 0.5,
        "refusal_of_unsafe": 1.0,
        "refusal": 0.0,
    }
    assert (found["over_refusal"].n, found["over_refusal"].prompts, found["helpfulness"].prompts) == (2, 1, 3)


def test_only_what_was_measured_is_there():
    assert set(summary(measure(EXCHANGES, ASKED, cost_model=Fixed(0, 0, 0, 0), refusals=False))) == {
        "harmlessness",
        "harmless_ratio",
    }
    with pytest.raises(UserError, match="nothing to measure"):
        measure(EXCHANGES, ASKED, refusals=False)


def test_the_paper_s_scale_has_the_reference_at_0_and_helpful_dpo_at_10_and_ignores_a_shift():
    raw = [-3.0, 1.5, 4.0]
    assert normalised([raw[0], raw[2]], zero=raw[0], ten=raw[2]) == [0.0, 10.0]
    shifted = [2 * value + 7 for value in raw]
    assert normalised(raw, zero=raw[0], ten=raw[2]) == pytest.approx(
        normalised(shifted, zero=shifted[0], ten=shifted[2])
    )
    with pytest.raises(UserError, match="give no scale"):
        normalised(raw, zero=1.0, ten=1.0)
