"""The linear softmax: with one-hot features it is the table; its steps are those of autograd on the loss itself."""

import pytest
import torch

from safedpo.finite import DivergedError, fit, pairs_loss, population, random_world, sample_pairs, six_answers
from safedpo.finite.methods import fit_shared, step_size

WORLD = random_world(2, prompts=3, answers=4)
FEATURES = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_with_one_feature_for_each_answer_it_is_the_table():
    world, kept = six_answers(), population(six_answers()).transform()
    lr = step_size(world, kept, 0.25)
    shared = fit_shared(world, torch.eye(6)[None], kept, beta=1.0, delta=2.0, steps=40, lr=lr, record=[0, 7, 40])
    table = fit(world, kept, beta=1.0, delta=2.0, steps=40, lr=lr, record=[0, 7, 40])
    torch.testing.assert_close(shared.logps[:, 0], table.logps[:, 0, 0, 0])
    assert shared.steps.tolist() == [0, 7, 40]


def test_its_steps_are_gradient_steps_on_the_loss():
    kept = population(WORLD).transform()
    found = fit_shared(WORLD, FEATURES, kept, beta=0.5, delta=1.0, steps=3, lr=0.1)
    theta = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    for _ in range(3):
        logps = (WORLD.ref_logps + FEATURES @ theta).log_softmax(-1)
        (gradient,) = torch.autograd.grad(pairs_loss(kept, logps, WORLD.ref_logps, beta=0.5, delta=1.0), theta)
        theta.data -= 0.1 * gradient
    torch.testing.assert_close(found.theta[0, 0], theta.detach())


def test_the_default_step_only_descends_and_each_data_set_is_its_own_run():
    data = [sample_pairs(WORLD, 40, seed).transform() for seed in range(3)]
    record = list(range(0, 60, 3))
    runs = fit_shared(WORLD, FEATURES, data, beta=0.5, steps=60, record=record)
    for seed, one in enumerate(data):
        losses = pairs_loss(one, runs.logps[:, seed], WORLD.ref_logps, beta=0.5, delta=0.0)
        assert (losses.diff() <= 1e-12).all() and losses[-1] < losses[0]
        lr = 0.3
        alone = fit_shared(WORLD, FEATURES, one, beta=0.5, steps=20, lr=lr).logps[-1, 0]
        torch.testing.assert_close(fit_shared(WORLD, FEATURES, data, beta=0.5, steps=20, lr=lr).logps[-1, seed], alone)


def test_divergence_is_said():
    with pytest.raises(DivergedError, match="the shared policy at beta=0.5, delta=0 diverged at step 1"):
        fit_shared(WORLD, FEATURES, population(WORLD).transform(), beta=0.5, steps=3, lr=1e400)
