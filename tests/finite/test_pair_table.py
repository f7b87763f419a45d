"""The dense tables of a fit against the rows that they were made of, summed one by one and by autograd."""

import pytest
import torch

from safedpo.finite import population, random_world, sample_pairs
from safedpo.finite.pair_table import PairTable
from safedpo.finite.pairs import concatenate, pairs_loss


@pytest.fixture
def world():
    return random_world(5, 3, 4)


def by_rows(table):
    """(prompt, chosen, rejected, chosen unsafe, rejected unsafe) -> the weight of each data set, zeros left out."""
    chosen, rejected = (table.incidence * sign for sign in (1, -1))
    found = {}
    for prompt, slot in (table.weight.sum(-1) > 0).nonzero().tolist():
        answers = (chosen[prompt, slot].argmax().item(), rejected[prompt, slot].argmax().item())
        bits = tuple(flag[prompt, slot, 0].item() for flag in table.flags)
        found[(prompt, *answers, *bits)] = table.weight[prompt, slot].tolist()
    return found


def test_equal_rows_become_one_slot_with_the_sum_of_their_weights(world):
    one, two = sample_pairs(world, 200, seed=0), sample_pairs(world, 50, seed=1)
    expected = {}
    for which, pairs in enumerate((one, two)):
        columns = (pairs.prompt, pairs.chosen, pairs.rejected, pairs.chosen_unsafe, pairs.rejected_unsafe)
        for *key, weight in zip(*(column.tolist() for column in columns), pairs.weight.tolist(), strict=True):
            expected.setdefault(tuple(key), [0.0, 0.0])[which] += weight
    found = by_rows(PairTable(world, [one, two]))
    assert found.keys() == expected.keys()
    for key, weights in expected.items():
        assert found[key] == pytest.approx(weights)


@pytest.mark.parametrize("delta", [0.0, 3.0])
def test_the_gradient_is_that_of_the_summed_loss(world, delta):
    """The slope of -log sigmoid(beta gap - delta I) put through the table, against autograd on the rows."""
    pairs, beta = population(world).transform(), 0.5
    table = PairTable(world, [pairs])
    ratio = torch.randn(3, 4, 1, generator=torch.Generator().manual_seed(0)).double()
    gap, (chosen_unsafe, rejected_unsafe) = table.gap(ratio), table.flags
    margin = delta * (rejected_unsafe.double() - chosen_unsafe.double())
    found = table.gradient(-beta * torch.sigmoid(margin - beta * gap), table.weight)[..., 0]
    logits = (world.ref_logps + ratio[..., 0]).requires_grad_()
    loss = pairs_loss(pairs, logits, world.ref_logps, beta=beta, delta=delta)
    assert torch.allclose(found, torch.autograd.grad(loss, logits)[0])


def test_a_mean_is_weighted_and_passes_over_what_no_pair_touches(world):
    pairs = population(world)[:7]  # of one prompt: the others have slots of weight 0
    logps = world.ref_logps.clone()
    logps[2] = -torch.inf
    found = PairTable(world, [pairs]).mean(logps[None], 1)
    expected = (pairs.weight * logps[pairs.prompt, pairs.chosen]).sum() / pairs.weight.sum()
    assert found.item() == pytest.approx(expected.item())


def test_minibatches_weigh_the_whole_and_are_the_data_on_average(world):
    pairs, seeds = population(world), (0, 1)
    table = PairTable(world, [pairs])
    draw = table.minibatches(16, seeds)
    batches = torch.stack([next(draw) for _ in range(512)])  # two blocks
    total = pairs.weight.sum()
    assert torch.allclose(batches.sum((1, 2)), total.expand(512, 2))
    share = table.weight[..., 0] / total
    deviation = (batches.mean(0)[..., 0] / total - share).abs()
    assert (deviation < 6 * (share * (1 - share) / (16 * 512)).sqrt() + 1e-12).all()
    assert not torch.equal(batches[:, ..., 0], batches[:, ..., 1])
    again = PairTable(world, [concatenate([pairs])]).minibatches(16, seeds)
    assert torch.equal(next(again), batches[0])
