"""Reward and cost learned from the preference pairs, as the reward models of Safe RLHF and C-DPO are.

Preferences fix a reward only up to a constant for each prompt. For the reward that constant is idle; for the cost it
decides what "cost <= 0" means, and the safety bits have to supply it.
"""

from dataclasses import replace

import torch
from torch import Tensor

from safedpo.finite.methods.checked import checked
from safedpo.finite.methods.outcome import Costs, logistic, train
from safedpo.finite.pairs import Pairs, concatenate
from safedpo.finite.world import FiniteWorld

CLAMP = 50.0  # Safe RLHF clamps its scores to +-50; here it bounds the level of a prompt seen only safe or only unsafe


@checked
def safer_by_cost(world: FiniteWorld, pairs: Pairs, *, seed: int | None = None) -> Pairs:
    """The same pairs with safer labels that follow P(i is safer) = sigmoid(c_j - c_i), across the boundary as well.

    It is what Safe RLHF, SACPO, MODPO and PD-DPO assume; `population` instead calls the safe answer of a mixed pair
    surely the safer one. Without `seed` the exact law (each row becomes two weighted ones), with it one draw a row.

    >>> from safedpo.finite import population, six_answers
    >>> soft = safer_by_cost(six_answers(), population(six_answers()))
    >>> round(soft.weight.sum().item(), 9)
    15.0
    """
    chosen_safer = (world.cost[pairs.prompt, pairs.rejected] - world.cost[pairs.prompt, pairs.chosen]).sigmoid()
    if seed is not None:
        draw = torch.Generator().manual_seed(seed + 1_000_003)  # not the stream that drew the pairs with this seed
        drawn = torch.rand(len(pairs), generator=draw, dtype=torch.float64)
        return replace(pairs, safer=(drawn >= chosen_safer).long())
    zero = torch.zeros_like(pairs.safer)
    return concatenate(
        [
            replace(pairs, safer=zero, weight=pairs.weight * chosen_safer),
            replace(pairs, safer=zero + 1, weight=pairs.weight * (1 - chosen_safer)),
        ]
    )


@checked
def learned_reward(method: str, world: FiniteWorld, pairs: Pairs, costs: Costs, steps: int = 2000) -> Tensor:
    """Bradley-Terry by maximum likelihood: minimise -log sigmoid(r_chosen - r_rejected), (P, A), mean 0 per prompt.

    It is DPO at beta = 1 from a flat reference, so `train` fits it. Where an answer never loses the likelihood has
    no maximum and the size of its reward is set by `steps`, as the size of a reward model's scores is in practice.

    >>> from safedpo.finite import population, six_answers
    >>> found = learned_reward("demo", six_answers(), population(six_answers()), Costs())
    >>> round((found[0, 0] - found[0, 1]).item(), 6)  # 1.0 - 0.6
    0.4
    """
    flat = torch.zeros_like(world.ref_logps).log_softmax(-1)
    logps, _ = train(method, world, pairs, costs, shape=logistic(1.0), beta=1.0, steps=steps, reference=flat)
    costs.tables += 1
    return logps - logps.mean(-1, keepdim=True)


@checked
def learned_cost(method: str, world: FiniteWorld, pairs: Pairs, costs: Costs, steps: int = 2000) -> Tensor:
    """Bradley-Terry on the safer labels, then one level for each prompt from the safety bits, (P, A).

    Safe RLHF adds -log sigmoid(+-c) on the bits to the pairwise loss; here that term sets the level alone [derived
    simplification], so that the differences stay those of Bradley-Terry: at its minimum the mean of sigmoid(c) over
    the prompt's labelled answers is their share of unsafe bits.

    >>> from safedpo.finite import population, six_answers
    >>> world = six_answers()
    >>> pairs = safer_by_cost(world, population(world))
    >>> found = learned_cost("demo", world, pairs, Costs(), steps=500)
    >>> round((found[0, 4] - found[0, 5]).item(), 3), round(found.sigmoid().mean().item(), 6)  # 2.5 - 1.0; 2 of 6 unsafe
    (1.5, 0.333333)
    """
    differences = -learned_reward(method, world, pairs.transform("harmless"), costs, steps)
    prompts, answers, bits = (
        torch.cat([pairs.prompt] * 2),
        torch.cat([pairs.chosen, pairs.rejected]),
        torch.cat([pairs.chosen_unsafe, pairs.rejected_unsafe]),
    )
    weight = torch.cat([pairs.weight] * 2)
    low, high = torch.full((2, world.prompts), -CLAMP, dtype=torch.float64)
    high = -high
    for _ in range(60):  # bisection on a slope that rises with the level
        level = (low + high) / 2
        excess = weight * ((differences[prompts, answers] + level[prompts]).sigmoid() - bits.double())
        too_high = torch.zeros_like(level).index_add_(0, prompts, excess) > 0
        low, high = torch.where(too_high, low, level), torch.where(too_high, level, high)
    return differences + level[:, None]


@checked
def learned_world(method: str, world: FiniteWorld, pairs: Pairs, costs: Costs, steps: int = 2000) -> FiniteWorld:
    """The world as learned reward and cost see it: unsafe where the learned cost is positive.

    >>> from safedpo.finite import population, six_answers
    >>> world = six_answers()
    >>> seen = learned_world("demo", world, safer_by_cost(world, population(world)), Costs(), steps=500)
    >>> torch.equal(seen.unsafe, world.unsafe), torch.equal(seen.ref_logps, world.ref_logps)
    (True, True)
    """
    reward = learned_reward(method, world, pairs, costs, steps)
    cost = learned_cost(method, world, pairs, costs, steps)
    costs.use_labels(pairs, "better", "safer", "bits")
    return FiniteWorld(world.ref_logps, reward, cost > 0, cost, world.labels)
