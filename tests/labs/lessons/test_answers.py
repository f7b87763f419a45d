"""Random policies, and a world whose safe answers are rare, against sums written out and the package's closed forms."""

import pytest
import torch

from safedpo.finite import optimal_policy, six_answers, tv
from safedpo.labs.lessons.answers import fined, random_policies, with_support


def test_random_policies_are_policies_and_repeat():
    found = random_policies(5, seed=1)
    assert found.shape == (5, 1, 6) and torch.allclose(found.exp().sum(-1), torch.ones(5, 1).double())
    assert torch.equal(found, random_policies(5, seed=1))


def test_support_is_what_was_asked_for_and_the_figure_tells_the_distance():
    poor = with_support(six_answers(), 1e-3)
    assert poor.ref_logps.exp()[~poor.unsafe].sum().item() == pytest.approx(1e-3)
    assert poor.ref_logps.exp().sum().item() == pytest.approx(1)
    distance = tv(optimal_policy(poor, 0.1, penalty=1.0), optimal_policy(poor, 0.1)).item()
    assert f"{distance:.2g}" in fined(poor, 0.1, 1.0)[1]
