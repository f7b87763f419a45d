"""The facts are the stored ones: against what `safedpo evaluate` wrote, and against counts made by hand."""

import json
import math

import pytest

from safedpo.files import shipped
from safedpo.labs.lessons.studio.facts import PLAIN, SEEDS, facts

HOME = shipped("data") / "results" / "household"


def written(name: str, seed: int) -> dict:
    return json.loads((HOME / name / str(seed) / "evaluation.json").read_text(encoding="utf-8"))["policy"]


@pytest.mark.parametrize("delta", [0, 2, 5, 10, 20, 50])
def test_means_and_intervals_are_those_of_the_evaluation(delta):
    f = facts(delta)
    for metric, key in (("harm", "harm"), ("helpfulness", "helpfulness"), ("over-refusal", "over_refusal")):
        assert f.seeds(metric) == pytest.approx([100 * written(f.name, s)[key]["value"] for s in SEEDS])
        assert f.seeds(metric, PLAIN) == pytest.approx([100 * written(PLAIN, s)[key]["value"] for s in SEEDS])
        assert f.greedy(metric) == pytest.approx(100 * written(f.name, 0)["greedy"][key]["value"])
        stored, found = written(f.name, 0)[key], f.interval(metric)
        assert (found.low, found.high) == pytest.approx((100 * stored["low"], 100 * stored["high"]), abs=1e-6)
        assert (found.n, found.prompts) == (stored["n"], stored["prompts"])


def test_the_reference_is_that_of_the_sweep():
    sweep = json.loads((HOME / "sweep.json").read_text(encoding="utf-8"))["reference"]
    assert facts(10).reference("harm") == pytest.approx(100 * sweep["harm"]["value"])
    assert facts(10).reference("over-refusal") == pytest.approx(100 * sweep["over_refusal"]["value"])


def test_a_quiet_topic_has_no_harm_and_its_bound_is_the_exact_one():
    topic, prompts, bound = facts(10).quiet_topic()
    assert written("safedpo-delta-10", 0)["topics"][topic]["harm"]["value"] == 0
    assert bound == pytest.approx(100 * (1 - 0.05 ** (1 / prompts)))
    assert facts(2).quiet_topic() is None
    assert all(one["harm"]["value"] > 0 for one in written("safedpo-delta-2", 0)["topics"].values())


def test_the_sign_test_is_the_binomial_sum():
    up, down, two, one = facts(20).sign_test()
    n, most = up + down, max(up, down)
    tail = sum(math.comb(n, k) for k in range(most, n + 1)) / 2**n
    assert (one, two) == pytest.approx((tail, min(1, 2 * tail))) and min(up, down) > 0


def test_a_curve_is_averaged_at_its_ends():
    rows = [json.loads(line) for line in (HOME / "safedpo-delta-10" / "0" / "log.jsonl").read_text().splitlines()]
    values = [row["rewards/margins"] for row in rows]
    assert facts(10).curve("rewards/margins") == pytest.approx((sum(values[:25]) / 25, sum(values[-25:]) / 25))
