"""More runs of notebook 04: re-used pairs counted, and losses of sampled pairs one by one."""

import math

import torch

from safedpo.finite import optimal_policy, population, sample_pairs, six_answers
from safedpo.labs.lessons.samples import losses_on_t, losses_under_r_c, with_refusals


def test_each_unsafe_pair_comes_back_twice_with_the_refusal_chosen():
    pairs, refusal = population(six_answers()), torch.tensor([3])
    more, kept = with_refusals(pairs, refusal), pairs.transform()
    uu = pairs[pairs.group == 3]
    again = more[torch.arange(len(more)) >= len(kept)]
    assert len(again) == 2 * len(uu) and (again.chosen == 3).all() and not again.chosen_unsafe.any()
    assert again.rejected_unsafe.all()
    assert sorted(again.rejected.tolist()) == sorted([*uu.chosen.tolist(), *uu.rejected.tolist()])


def test_the_losses_are_dpo_s_pair_by_pair_and_a_dropped_pair_has_none():
    world = six_answers()
    policy, reference = optimal_policy(world, 0.5, penalty=1.0), world.ref_logps
    kept = sample_pairs(world, 60, 7).transform()
    by_hand = []
    for y, z in zip(kept.chosen.tolist(), kept.rejected.tolist(), strict=True):
        gap = (policy[0, y] - reference[0, y] - policy[0, z] + reference[0, z]).item()
        by_hand.append(math.log1p(math.exp(-0.5 * gap)))
    found = losses_on_t(world, policy, 60, beta=0.5, seed=7).tolist()
    assert len(found) == 60 and 0 < len(by_hand) < 60
    assert all(math.isclose(a, b, rel_tol=1e-9) for a, b in zip(found, by_hand, strict=False))
    assert found[len(by_hand) :] == [0.0] * (60 - len(by_hand))


def test_under_the_modified_reward_the_same_pairs_are_compared():
    """The labels differ, the pairs do not: as many have a loss as after T."""
    world = six_answers()
    policy = optimal_policy(world, 0.5, penalty=1.0)
    counts = [
        (losses(world, policy, 200, beta=0.5, seed=3) > 0).sum().item() for losses in (losses_on_t, losses_under_r_c)
    ]
    assert counts[0] == counts[1] < 200
