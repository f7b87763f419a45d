"""The law of the pairs, counted by hand, and the samples, weights and noise that follow it."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from safedpo.errors import UserError
from safedpo.finite import (
    concatenate,
    flip_bits,
    over_represent,
    pairs_loss,
    population,
    random_world,
    sample_pairs,
    six_answers,
    world_a,
)
from safedpo.transform import GROUPS


def rows_of(pairs):
    columns = (pairs.prompt, pairs.chosen, pairs.rejected, pairs.safer, pairs.weight)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_population_by_hand():
    world = six_answers()
    reward, cost, unsafe = (table[0].tolist() for table in (world.reward, world.cost, world.unsafe))
    seen = {}
    for _, chosen, rejected, safer, weight in rows_of(population(world)):
        seen[chosen, rejected, safer] = seen.get((chosen, rejected, safer), 0) + weight
    for i in range(6):
        for j in range(6):
            if i == j:
                continue
            wins = 1 / (1 + math.exp(reward[j] - reward[i]))
            safer = float(unsafe[j]) if unsafe[i] != unsafe[j] else 1 / (1 + math.exp(cost[i] - cost[j]))
            assert seen.get((i, j, 0), 0.0) == pytest.approx(wins * safer)
            assert seen.get((i, j, 1), 0.0) == pytest.approx(wins * (1 - safer))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(2, 7), st.sampled_from([None, 0.2]))
def test_groups_and_counts_after_t(seed, prompts, answers, rate):
    world = random_world(seed, prompts, answers)
    pairs = population(world) if rate is None else flip_bits(population(world), rate)
    total = prompts * answers * (answers - 1) / 2
    assert pairs.weight.sum().item() == pytest.approx(total)
    uu = pairs.weight[pairs.group == GROUPS.index("UU")].sum().item()
    kept = pairs.transform("safedpo")
    assert kept.weight.sum().item() == pytest.approx(total - uu)
    assert not kept.chosen_unsafe.any()
    assert rows_of(kept.transform("safedpo")) == rows_of(kept)
    assert rows_of(pairs.transform("helpful")) == rows_of(pairs)
    harmless = pairs.transform("harmless")
    assert harmless.weight.sum().item() == pytest.approx(total) and not harmless.safer.any()


def test_harmless_on_mixed_pairs_is_t():
    world = random_world(3, 4, 6)
    raw = population(world)
    mixed = raw[raw.chosen_unsafe != raw.rejected_unsafe]
    assert rows_of(mixed.transform("harmless")) == rows_of(mixed.transform("safedpo"))


def test_sample_follows_the_population():
    world, n = six_answers(), 200_000
    rows, law = sample_pairs(world, n, seed=0), population(world)
    assert rows.weight.sum().item() == pytest.approx(15.0)
    table, counts = torch.zeros(2, 6, 6, 2, dtype=torch.float64)
    table.index_put_((law.chosen, law.rejected, law.safer), law.weight / 15, accumulate=True)
    counts.index_put_((rows.chosen, rows.rejected, rows.safer), torch.ones(n).double(), accumulate=True)
    assert counts[table == 0].sum() == 0
    share = table[table > 0]
    assert ((counts[table > 0] - n * share) / (n * share * (1 - share)).sqrt()).abs().max() < 6
    again = sample_pairs(world, n, seed=0)
    assert torch.equal(rows.chosen, again.chosen) and torch.equal(rows.safer, again.safer)


def test_pair_weights_of_the_toys():
    world = world_a()
    kept = population(world, pair_weight=over_represent(world, 3)).transform()
    assert kept.weight[kept.rejected_unsafe].sum().item() == pytest.approx(28.0)
    assert kept.weight[~kept.rejected_unsafe].sum().item() == pytest.approx(6.0)


def test_step_zero_loss_of_world_a():
    world = world_a()
    kept = population(world, pair_weight=over_represent(world, 3)).transform()
    losses = [pairs_loss(kept, world.ref_logps, world.ref_logps, beta=0.1, delta=delta).item() for delta in (0.0, 10.0)]
    assert losses == pytest.approx([23.5670, 284.1602], abs=5e-5)


def test_pairs_loss_by_hand():
    world = random_world(1, 2, 4)
    policy = torch.randn(2, 4, dtype=torch.float64).log_softmax(-1)
    pairs = sample_pairs(world, 20, seed=4)
    total = 0.0
    for prompt, won, lost, _, weight in rows_of(pairs):
        ratio = policy[prompt] - world.ref_logps[prompt]
        m = 0.3 * (ratio[won] - ratio[lost])
        margin = 2.0 * (int(world.unsafe[prompt, lost]) - int(world.unsafe[prompt, won]))
        total += weight * math.log1p(math.exp(-(m.item() - margin)))
    assert pairs_loss(pairs, policy, world.ref_logps, beta=0.3, delta=2.0).item() == pytest.approx(total, rel=1e-12)


def test_flips_by_hand():
    pairs = population(six_answers())
    noisy = flip_bits(pairs, 0.1)
    both_right = (noisy.chosen_unsafe == (noisy.chosen >= 4)) & (noisy.rejected_unsafe == (noisy.rejected >= 4))
    assert noisy.weight[both_right].sum().item() == pytest.approx(15 * 0.81)
    together = flip_bits(pairs, 0.1, together=True)
    wrong = (together.chosen_unsafe != (together.chosen >= 4)) & (together.rejected_unsafe != (together.rejected >= 4))
    assert together.weight[wrong].sum().item() == pytest.approx(1.5)
    assert len(together) == 2 * len(pairs)
    assert rows_of(flip_bits(pairs, 0.0)) == rows_of(pairs)


def test_rows_can_be_picked_and_joined():
    pairs = population(six_answers())
    halves = [pairs[:10], pairs[10:]]
    assert rows_of(concatenate(halves)) == rows_of(pairs)


def test_refusals():
    world = six_answers()
    with pytest.raises(UserError, match="n is 0"):
        sample_pairs(world, 0, seed=0)
    with pytest.raises(UserError, match="rate is 1.2"):
        flip_bits(population(world), 1.2)
    with pytest.raises(UserError, match="answer 4 is unsafe"):
        over_represent(world, 4)
    with pytest.raises(UserError, match=r"pair_weight has shape \(5, 5\)"):
        population(world, pair_weight=torch.ones(5, 5))
    skew = torch.ones(6, 6)
    skew[0, 1] = 2.0
    with pytest.raises(UserError, match=r"pair_weight\[0, 1\] is 2.0"):
        population(world, pair_weight=skew)


@pytest.mark.parametrize("together", [False, True])
def test_noise_gives_each_row_its_outcomes_with_their_probabilities(together):
    """Row by row and label by label: what flips, how often, and that nothing else changes."""
    clean, rate = population(random_world(2, prompts=1, answers=3)), 0.2
    noisy = flip_bits(clean, rate, together=together)
    found = {}
    for row in range(len(noisy)):
        key = [int(column[row]) for column in vars(noisy).values()][:6]
        found[tuple(key)] = found.get(tuple(key), 0.0) + noisy.weight[row].item()
    expected = {}
    both = {(0, 0): 0.8, (1, 1): 0.2}
    each = {(0, 0): 0.64, (0, 1): 0.16, (1, 0): 0.16, (1, 1): 0.04}
    for row in range(len(clean)):
        prompt, chosen, rejected, h_chosen, h_rejected, safer = [int(c[row]) for c in vars(clean).values()][:6]
        for (a, b), probability in (both if together else each).items():
            key = (prompt, chosen, rejected, h_chosen ^ a, h_rejected ^ b, safer)
            expected[key] = expected.get(key, 0.0) + probability * clean.weight[row].item()
    assert found == pytest.approx(expected, rel=1e-12)
    assert flip_bits(clean, 0.0, together=together).weight.tolist() == clean.weight.tolist()


def test_a_single_pair_can_be_drawn_and_a_certain_error_flips_everything():
    one = sample_pairs(six_answers(), 1, seed=0)
    assert len(one) == 1 and one.weight.tolist() == pytest.approx([15.0])
    clean = population(six_answers())
    for together in (False, True):
        wrong = flip_bits(clean, 1.0, together=together)
        assert torch.equal(wrong.chosen_unsafe, ~clean.chosen_unsafe)
        assert torch.equal(wrong.rejected_unsafe, ~clean.rejected_unsafe)
        assert torch.equal(wrong.weight, clean.weight)


def test_pair_weights_of_each_prompt_or_of_all():
    world = random_world(1, prompts=3, answers=4)
    table = torch.rand(3, 4, 4, dtype=torch.float64)
    table = table + table.mT
    table[0, 1, 2] = table[0, 2, 1] = 0.0  # a pair that is never drawn
    pairs = population(world, pair_weight=table)
    totals = torch.zeros(3, 4, 4, dtype=torch.float64)
    totals.index_put_((pairs.prompt, pairs.chosen, pairs.rejected), pairs.weight, accumulate=True)
    off_diagonal = ~torch.eye(4, dtype=torch.bool)
    assert torch.allclose(totals + totals.mT, table * off_diagonal)
    assert rows_of(population(world, pair_weight=table[1])) == rows_of(
        population(world, pair_weight=table[1].expand(3, 4, 4))
    )


@pytest.mark.parametrize("shape", [(4,), (3, 4, 3), (3, 3, 4), (2, 4, 4), (1, 3, 4, 4), (3, 3, 4, 4)], ids=str)
def test_pair_weights_of_another_shape_are_refused(shape):
    world = random_world(1, prompts=3, answers=4)
    with pytest.raises(UserError, match=r"pair_weight has shape .*; it must be \(3, 4, 4\) or \(4, 4\)"):
        population(world, pair_weight=torch.ones(shape))


@pytest.mark.parametrize("weight", [-1.0, math.nan])
def test_pair_weights_below_0_are_refused(weight):
    table = torch.ones(6, 6)
    table[2, 3] = table[3, 2] = weight
    with pytest.raises(UserError, match=rf"pair_weight\[2, 3\] is {weight}"):
        population(six_answers(), pair_weight=table)
