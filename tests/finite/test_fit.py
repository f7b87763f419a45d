"""Training against naive autograd descent, both published toy tables, and every way a run can go wrong."""

import math
from functools import partial

import pytest
import torch

from safedpo import losses
from safedpo.errors import UserError
from safedpo.finite import (
    SLOPES,
    DivergedError,
    FiniteWorld,
    NotConvergedError,
    bit_flip_margin,
    expected_reward,
    fit,
    flip_bits,
    kl,
    optimal_policy,
    over_represent,
    pair_flip_margin,
    pairs_loss,
    population,
    random_world,
    safe_part,
    sample_pairs,
    six_answers,
    tv,
    unsafe_mass,
    world_a,
    world_b,
)
from safedpo.finite.slopes import cdpo_slope

DELTAS = [-1, 0, 2, 5, 10, 20, 50]
# TV of the safe part after so many steps, one column for each delta; each digit is checked. The entries of world A at
# 200 steps for delta 0, 2 and 5 were computed again with 40 digits (mpmath): .0604203691, .0635146879, .0674385510.
TABLE_A = {
    200: ".05798 .06042 .06351 .06744 .07455 .09292 .31714",
    1000: ".007294 .007336 .007384 .007441 .007531 .007711 .008227",
    5000: ".001330 .001332 .001333 .001335 .001338 .001344 .001359",
    50000: ".000130 .000130 .000130 .000130 .000130 .000130 .000130",
}
UNSAFE_A = [6.8e-18, 4.0e-22, 1.2e-30, 1.6e-43, 5.8e-65, 8.4e-108, 4.1e-236]
TABLE_B = {
    200: ".1418 .147 .153 .161 .174 .208 .815",
    1000: ".01971 .0198 .0199 .0201 .0203 .0207 .0214",
    5000: ".00363 .00364 .00364 .00364 .00365 .00367 .00369",
}


def toy(world, answer, steps):
    kept = population(world, pair_weight=over_represent(world, answer)).transform("safedpo")
    return fit(world, kept, beta=0.1, delta=DELTAS, lr=5.0, steps=max(steps), record=[0, 1, *steps])


def assert_printed(run, table):
    for step, printed in table.items():
        measured = run.path.safe_tv[run.steps.tolist().index(step), 0, :, 0].tolist()
        for value, digits in zip(measured, printed.split(), strict=True):
            assert abs(value - float(digits)) <= 0.5000001 * 10.0 ** -(len(digits) - 1), (step, value, digits)


def test_world_a_reproduces_its_table():
    run = toy(world_a(), 3, [200, 1000, 5000])
    assert_printed(run, {step: row for step, row in TABLE_A.items() if step <= 5000})
    assert run.path.unsafe_mass[2, 0, :, 0].tolist() == pytest.approx(UNSAFE_A, rel=0.02)
    start = {name: getattr(run.path, name)[0, 0, 1, 0].item() for name in ("safe_tv", "unsafe_mass")}
    assert start == pytest.approx({"safe_tv": 0.39391, "unsafe_mass": 0.5}, abs=5e-6)
    first = run.logps[1, 0, 1, 0, 0] - run.logps[0, 0, 1, 0, 0]
    moved = [1.07463, 1.02492, 0.97508, 3.92537, -1.75, -1.75, -1.75, -1.75]
    assert (first - first[0]).tolist() == pytest.approx([m - moved[0] for m in moved], abs=1e-5)
    assert run.path.safe_tv[1, 0, 1, 0].item() == pytest.approx(0.8262, abs=5e-5)


def test_world_b_reproduces_its_table():
    run = toy(world_b(), 0, [200, 1000, 5000])
    assert_printed(run, TABLE_B)
    assert run.path.safe_tv[0, 0, 0, 0].item() == pytest.approx(0.7293, abs=5e-5)


@pytest.mark.slow
def test_world_a_reproduces_its_table_to_the_end():
    assert_printed(toy(world_a(), 3, [200, 1000, 5000, 50000]), TABLE_A)


def naive_descent(world, pairs, reference, beta, delta, steps, lr):
    logits = world.ref_logps.clone()
    for _ in range(steps):
        logits.requires_grad_()
        loss = pairs_loss(pairs, logits.log_softmax(-1), reference, beta=beta, delta=delta)
        (gradient,) = torch.autograd.grad(loss, logits)
        logits = (logits - lr * gradient).detach()
    return logits.log_softmax(-1)


def test_every_run_of_the_grid_is_naive_descent():
    """Several prompts, betas, deltas, learning rates and one data set for each seed, against autograd one by one."""
    world = random_world(3, prompts=4, answers=5)
    data = [flip_bits(sample_pairs(world, 60, seed), 0.1).transform() for seed in (0, 1)]
    reference = torch.randn(4, 5, dtype=torch.float64).log_softmax(-1)
    run = fit(
        world,
        data,
        beta=[0.3, 1.0],
        delta=[-1.0, 3.0],
        lr=[0.4, 0.1],
        steps=40,
        seeds=(7, 8),
        record=[40],
        reference=reference,
        start=world.ref_logps,
    )
    for b, (beta, lr) in enumerate([(0.3, 0.4), (1.0, 0.1)]):
        for d, delta in enumerate([-1.0, 3.0]):
            for s in (0, 1):
                expected = naive_descent(world, data[s], reference, beta, delta, 40, lr)
                assert (run.policy[b, d, s] - expected).abs().max() < 1e-12


@pytest.mark.parametrize("name", SLOPES)
def test_slope_is_the_derivative_of_its_loss(name):
    draw = torch.Generator().manual_seed(0)
    gap = (20 * torch.randn(200, generator=draw, dtype=torch.float64)).requires_grad_()
    zero, flags = torch.zeros_like(gap), torch.rand(2, 200, generator=draw) < 0.5
    extra = {"safedpo": {"delta": 3.0}}.get(name, {})
    with_flags = flags if name in ("safedpo", "bfpo") else ()
    loss = getattr(losses, f"{name}_loss")(gap, zero, zero, zero, *with_flags, beta=0.4, **extra)
    (slope,) = torch.autograd.grad(loss.sum(), gap)
    assert torch.allclose(SLOPES[name](0.4, 3.0, *flags)(gap.detach()), slope, rtol=1e-12, atol=1e-15)


def test_path_is_what_the_policies_say():
    world = random_world(5, prompts=3, answers=4)
    data = [sample_pairs(world, 50, seed).transform() for seed in (0, 1)]
    run = fit(world, data, beta=[0.5, 2.0], delta=[0.0, 2.0], steps=30, lr=0.3, seeds=(0, 1), record=[0, 7, 30])
    assert run.steps.tolist() == [0, 7, 30]
    for t, b, d, s in ((0, 0, 0, 0), (1, 1, 0, 1), (2, 0, 1, 1)):
        policy, best, rows = run.logps[t, b, d, s], optimal_policy(world, run.beta[b].item()), data[s]
        chosen, rejected = (
            (rows.weight * policy[rows.prompt, answer]).sum() / rows.weight.sum()
            for answer in (rows.chosen, rows.rejected)
        )
        expected = [
            unsafe_mass(world, policy).mean(),
            tv(policy, best).mean(),
            kl(best, policy).mean(),
            tv(safe_part(world, policy), best).mean(),
            expected_reward(world, policy).mean(),
            chosen,
            rejected,
        ]
        seen = [column[t, b, d, s].item() for column in vars(run.path).values()]
        assert seen == pytest.approx([value.item() for value in expected], rel=1e-10)


def test_gradient_norm_is_that_of_the_last_policy():
    world = random_world(2, prompts=2, answers=4)
    kept = population(world).transform()
    run = fit(world, kept, beta=0.7, delta=1.0, steps=20, lr=0.5)
    logits = run.policy[0, 0, 0].clone().requires_grad_()
    pairs_loss(kept, logits.log_softmax(-1), world.ref_logps, beta=0.7, delta=1.0).backward()
    assert run.gradient_norm.item() == pytest.approx(logits.grad.norm().item(), rel=1e-10)


def test_seeds_spread_the_starts_and_all_end_at_the_optimum():
    world = random_world(1, prompts=2, answers=4, unsafe_answers=1)
    run = fit(world, population(world).transform(), beta=1.0, steps=4000, lr=1.0, seeds=(0, 1, 2), spread=1.0)
    first = run.logps[0, 0, 0]
    assert tv(first[0], first[1]).min() > 0.01
    assert run.path.tv[-1].max() < 5e-3


def test_minibatches_are_unbiased_and_decided_by_their_seed():
    world = six_answers()
    kept = population(world).transform()
    settings = {"beta": 1.0, "delta": 2.0, "steps": 1, "lr": 1e-3}
    many = fit(world, kept, seeds=range(2000), batch_size=4, **settings)
    full = fit(world, kept, **settings)
    moved = many.policy[0, 0, :, 0] - world.ref_logps
    expected = (full.policy[0, 0, 0] - world.ref_logps)[0]
    error = moved.std(0) / math.sqrt(2000)
    assert ((moved.mean(0) - expected).abs() < 6 * error + 1e-12).all() and error.min() > 0
    one = fit(world, kept, seeds=(5,), batch_size=4, **settings)
    assert torch.equal(one.policy[0, 0, 0], many.policy[0, 0, 5])


def test_minibatch_noise_shrinks_with_the_batch():
    world = six_answers()
    kept = population(world).transform()
    ends = [fit(world, kept, beta=1.0, steps=300, lr=0.1, seeds=range(20), batch_size=size).policy for size in (2, 200)]
    small, large = (end.exp().std(2).mean() for end in ends)
    assert large < small / 4


def test_the_noise_optima_have_their_published_digits():
    """Bits wrong pair by pair and response by response: gradient descent, the closed form and the printed digits."""
    deltas = [0.0, 2.0, 5.0, 10.0, 20.0]
    for safe_wins, printed in (
        (0.3, [2.4394, 4.3301, 7.3130, 12.3121, 22.3121]),
        (0.5, [2.7438, 4.6366, 7.6202, 12.6194, 22.6194]),
    ):
        lead = math.log(safe_wins / (1 - safe_wins))
        world = FiniteWorld([[math.log(0.5)] * 2], [[lead, 0.0]], torch.tensor([[False, True]]))
        for noisy, expected, exact in (
            (flip_bits(population(world), 0.1), printed, lambda d, p=safe_wins: bit_flip_margin(0.1, p, d)),
            (
                flip_bits(population(world), 0.1, together=True),
                [2.1972, 4.0820, 7.0794, 12.0794, 22.0794],
                lambda d: pair_flip_margin(0.1, d),
            ),
        ):
            run = fit(
                world, noisy.transform(), beta=1.0, delta=deltas, steps=3000, lr=1.0, record=[3000], tolerance=1e-8
            )
            ratio = run.policy[0, :, 0, 0] - world.ref_logps[0]
            margin = (ratio[:, 0] - ratio[:, 1]).tolist()
            assert margin == pytest.approx(expected, abs=5.1e-5)
            assert margin == pytest.approx([exact(delta) for delta in deltas], abs=1e-7)


def test_own_slope_functions_are_welcome():
    world = six_answers()
    kept = population(world).transform()
    named = fit(world, kept, loss="cdpo", steps=50)
    given = fit(world, kept, loss=partial(cdpo_slope, flip_rate=0.1), steps=50)
    assert torch.equal(named.policy, given.policy)


def test_an_answer_without_reference_mass_keeps_none():
    world = FiniteWorld(
        [[math.log(0.5), math.log(0.5), -math.inf]], [[0.0, 1.0, 2.0]], torch.tensor([[False, True, False]])
    )
    run = fit(world, population(world).transform(), steps=50, lr=1.0, spread=1.0)
    assert run.policy[0, 0, 0, 0, 2] == -math.inf and run.path.tv.isfinite().all()


def test_divergence_names_loss_run_and_step():
    with pytest.raises(DivergedError, match=r"ipo at beta=0.5, delta=0, seed=0 diverged at step \d+") as caught:
        fit(six_answers(), population(six_answers()).transform(), loss="ipo", beta=0.5, steps=2000, lr=1.0)
    assert 1 < caught.value.step < 2000


def test_what_has_not_converged_is_no_result():
    world = six_answers()
    kept = population(world).transform()
    with pytest.raises(
        NotConvergedError, match="safedpo at beta=1, delta=10, seed=0 has not converged after 20"
    ) as caught:
        fit(world, kept, beta=1.0, delta=[0.0, 10.0], steps=20, lr=0.1, tolerance=1e-3)
    assert caught.value.gradient_norm > 1e-3
    # One run that stands still is enough, whatever the others do.
    with pytest.raises(NotConvergedError, match="beta=0.9"):
        fit(world, kept, beta=[1.0, 0.9], lr=[1.0, 0.0], steps=500, tolerance=0.1)
    # Robust DPO has no minimum on clean safe/unsafe pairs: its gradient never vanishes.
    with pytest.raises(NotConvergedError, match="robust_dpo"):
        fit(world, kept, loss="robust_dpo", beta=1.0, steps=3000, lr=0.5, tolerance=1e-3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"loss": "hinge"}, "loss is 'hinge'; known losses are safedpo"),
        ({"beta": 0.0}, "beta is 0"),
        ({"beta": [0.1, -1.0]}, "beta is"),
        ({"steps": -1}, "steps is -1"),
        ({"batch_size": 0}, "batch_size 0"),
        ({"record": [0, 200]}, "record asks for steps outside 0 to 100"),
        ({"seeds": (0, 1), "pairs": "two data sets too few"}, "pairs holds 1 data sets for 2 seeds"),
        ({"pairs": "none"}, "no pairs left"),
    ],
)
def test_refusals(wrong, message):
    world = six_answers()
    pairs = population(world).transform()
    pairs = {"two data sets too few": [pairs], "none": pairs[:0]}.get(wrong.pop("pairs", None), pairs)
    with pytest.raises(UserError, match=message):
        fit(world, pairs, **{"steps": 100} | wrong)


def test_the_means_over_pairs_are_of_the_answers_in_them():
    """An answer that the reference never says has log-probability -inf; a mean over pairs without it is finite."""
    world = FiniteWorld(torch.tensor([[0.0, 0.25, 0.75]], dtype=torch.float64).log(), [[0.0, 1.0, 2.0]], [[False] * 3])
    pairs = population(world)
    with_it = fit(world, pairs, beta=0.5, steps=0).path
    assert with_it.chosen_logps.item() == with_it.rejected_logps.item() == -math.inf
    without = fit(world, pairs[(pairs.chosen != 0) & (pairs.rejected != 0)], beta=0.5, steps=0).path
    better = 1 / (1 + math.exp(-1.0))
    assert without.chosen_logps.item() == pytest.approx(better * math.log(0.75) + (1 - better) * math.log(0.25))
    assert without.rejected_logps.item() == pytest.approx(better * math.log(0.25) + (1 - better) * math.log(0.75))
