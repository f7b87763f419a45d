"""Newton's method against closed forms and against the gradient that autograd finds where it ends."""

import pytest
import torch

from safedpo.finite import optimal_policy, population, tv
from safedpo.finite.newton import newton
from safedpo.finite.pairs import pairs_loss
from safedpo.finite.world import FiniteWorld, random_world


@pytest.fixture
def world():
    return random_world(3, 4, 5)


def steepest(world, pairs, policy, *, beta, delta):
    logits = policy.clone().requires_grad_()
    loss = pairs_loss(pairs, logits.log_softmax(-1), world.ref_logps, beta=beta, delta=delta)
    return torch.autograd.grad(loss, logits)[0].abs().max().item()


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_dpo_ends_at_its_closed_form_from_any_start(world, beta):
    """Bradley-Terry labels: pi_ref exp(r / beta) / Z is where the gradient vanishes."""
    pairs, elsewhere = population(world), torch.randn(4, 5, generator=torch.Generator().manual_seed(0)).double()
    starts = torch.stack([world.ref_logps, elsewhere.log_softmax(-1)])
    found = newton(pairs, starts, world.ref_logps, beta=beta, deltas=[0.0])
    assert found.shape == (1, 2, 4, 5)
    expected = optimal_policy(world, beta, penalty=0.0)
    assert tv(found[0], expected).max() < 1e-9
    assert steepest(world, pairs, found[0, 1], beta=beta, delta=0.0) < 1e-8


def test_each_delta_is_a_run_of_its_own(world):
    """On helpful pairs delta moves the optimum to penalty C = delta (Prop. 4.2); with T it does not move it."""
    start, deltas = world.ref_logps[None], [0.0, 2.0]
    helpful = newton(population(world), start, world.ref_logps, beta=0.5, deltas=deltas)[:, 0]
    for found, delta in zip(helpful, deltas, strict=True):
        assert tv(found, optimal_policy(world, 0.5, penalty=delta)).max() < 1e-9
    transformed = newton(population(world).transform(), start, world.ref_logps, beta=0.5, deltas=deltas)[:, 0]
    assert tv(transformed, optimal_policy(world, 0.5)).max() < 1e-9
    assert tv(helpful[0], helpful[1]).max() > 0.01


def test_an_optimum_at_infinity_is_approached_by_about_one_unit_of_margin_a_step():
    """One certain pair: after k steps the margin is near k, and the loss log(1 + e^-m) is below 1e-8."""
    world = FiniteWorld(torch.tensor([[0.5, 0.5]]).log(), [[0.0, 0.0]], torch.tensor([[False, True]]))
    pairs = population(world).transform()
    found = newton(pairs, world.ref_logps[None], world.ref_logps, beta=1.0, deltas=[0.0])[0, 0]
    margin = (found - world.ref_logps) @ torch.tensor([1.0, -1.0]).double()
    assert 20 < margin.item() < 60
    assert pairs_loss(pairs, found, world.ref_logps, beta=1.0, delta=0.0).item() < 1e-8
