"""The paper's methods on the exact world: networks and labels as the paper counts them, values as the closed form gives."""

import pytest

from safedpo.finite import optimal_policy, six_answers
from safedpo.labs.lessons.paper.toy import BETA, needs, toy_cells


def test_networks_and_labels_are_those_that_the_paper_counts():
    found = needs(("SafeDPO", "DPO-HELPFUL"))
    assert found["SafeDPO"]["networks"] == 2 and found["SafeDPO"]["labels"] == 3 and found["SafeDPO"]["samples"] == 0
    assert found["DPO-HELPFUL"]["labels"] == 1


def test_values_are_those_of_the_closed_form():
    world, cells = six_answers(), toy_cells(("DPO-HELPFUL", "SafeDPO"))
    best = optimal_policy(world, BETA).exp()
    assert cells["fig-2a", "SafeDPO", "harmlessness"].value == pytest.approx(
        -(best * world.cost).sum().item(), abs=1e-4
    )
    assert cells["fig-2a", "SafeDPO", "harmless ratio"].value == pytest.approx(100, abs=1e-4)
    assert (
        cells["fig-2a", "SFT", "helpfulness"].value == 0 and cells["fig-2a", "DPO-HELPFUL", "helpfulness"].value == 10
    )
    share = (world.ref_logps.exp() * ~world.unsafe).sum().item()
    assert cells["fig-2a", "SFT", "harmless ratio"].value == pytest.approx(100 * share)


@pytest.mark.slow
def test_safe_rlhf_needs_six_networks_and_samples():
    found = needs(("SafeRLHF", "SafeDPO"))
    assert found["SafeRLHF"]["networks"] == 6 and found["SafeRLHF"]["samples"] > 0
    assert found["SafeRLHF"]["seconds"] > found["SafeDPO"]["seconds"]
