"""Tiers: each fits the card that it is named for by its own settings, and says where it leaves the paper's."""

import pytest

from safedpo.errors import UserError
from safedpo.evaluate.paper.reproduce.costs import run_memory
from safedpo.evaluate.paper.reproduce.tiers import BEAVER, TIERS, tier_named
from tests.sparing import slow_but

CARDS = {"t4": 15.8, "24gb": 23.7, "80gb": 84.9, "paper": 150.0}  # GB that the driver shows


@pytest.mark.parametrize("name", slow_but(["t4", "24gb"], list(TIERS)))
def test_both_trainings_fit_the_card_by_the_memory_estimate(name):
    tier = tier_named(name)
    for settings in (tier.settings, tier.sft):
        assert 1.1 * run_memory(tier.shape, settings).total < CARDS[name] * 1e9


def test_only_the_paper_s_tier_trains_as_the_paper_did():
    paper = tier_named("paper").settings
    assert (paper["epochs"], paper["learning_rate"], paper["beta"], paper["delta"]) == (3, 1e-6, 0.1, 10.0) and paper[
        "full"
    ]
    for name in ("t4", "24gb", "80gb"):
        assert tier_named(name).notes and not tier_named(name).settings.get("full")
    for tier in TIERS.values():
        assert tier.basis and tier.scorers in ({}, BEAVER)
        if tier.settings["learning_rate"] != 1e-6 and tier.recipe == "lora-7b":
            assert f"learning rate {tier.settings['learning_rate']:.0e}".replace("e-0", "e-") in tier.notes[0]
            assert ("one epoch" in tier.notes[0]) == (tier.settings["epochs"] == 1)


def test_an_unknown_tier_is_named():
    with pytest.raises(UserError, match="no tier 'look'; there are t4, 24gb, 80gb, paper"):
        tier_named("look")
