"""What stages need, in words: the estimate's numbers, minutes only with a basis."""

import pytest

from safedpo.evaluate.paper.reproduce.asked import Asked, merging_costs, sampling_costs, training_costs
from safedpo.evaluate.paper.reproduce.costs import run_memory, training_minutes
from safedpo.evaluate.paper.reproduce.tiers import TIERS
from tests.sparing import slow_but


@pytest.mark.parametrize("name", slow_but(["t4", "24gb"], ["t4", "24gb", "80gb"]))
def test_the_numbers_are_those_of_the_estimate_and_the_arithmetic(name):
    tier = TIERS[name]
    memory = run_memory(tier.shape, tier.settings)
    told = " ".join(training_costs(Asked(name), tier, tier.settings, reference=True))
    assert (
        f"memory about {memory.total / 1e9:.1f} GB" in told and f"{4 * memory.trainable / 1e9:.2f} GB on disk" in told
    )
    minutes = training_minutes(memory.parameters, 27_000 * 250, tier.rate, tier.settings)
    assert f"about {minutes:,.0f} minutes: 27,000 pairs of 250 tokens at {tier.basis}" in told
    assert f"{memory.weights / 1e9:.1f} GB on disk" in merging_costs(Asked(name), tier)[0]


def test_without_a_basis_no_minutes_are_named(tmp_path):
    tier = TIERS["t4"]
    for asked in (Asked("t4", data="a.jsonl", test="b.jsonl"), Asked("t4", max_steps=5)):
        told = training_costs(asked, tier, tier.settings, reference=True)
        assert told[-1].startswith("minutes: not estimated")
    paper = " ".join(training_costs(Asked("paper"), TIERS["paper"], TIERS["paper"].settings, reference=True))
    assert "minutes: not estimated" in paper and "accelerate launch" in paper and "GB on each of 8" in paper
    assert all("about" not in one for one in sampling_costs(Asked("t4", model="x/y"), tier))


def test_a_model_whose_size_cannot_be_known_is_said_so():
    told = training_costs(Asked("t4", model="./nowhere"), TIERS["t4"], TIERS["t4"].settings, reference=True)
    assert len(told) == 1 and told[0].startswith("memory not known: no model './nowhere'")
    assert merging_costs(Asked("t4", model="./nowhere"), TIERS["t4"])[0].startswith("sizes not known")


def test_the_cache_of_sampling_grows_with_the_responses_at_once():
    sizes = [
        float(sampling_costs(Asked(name), TIERS[name])[0].split("at most ")[1].split()[0]) for name in ("24gb", "80gb")
    ]
    assert sizes[1] == pytest.approx(4 * sizes[0], rel=0.02)
