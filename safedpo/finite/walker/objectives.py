"""Proposition 4.3: for every policy the intractable objective (pairs labelled under r_c) equals the tractable one (T).

Left is the sum over answers under r_c, right the loss of T's pairs, both at one policy: log-ratios 0, 1/2, 1, ... to the
reference. A second route adds up pair by pair.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from safedpo.finite.pairs import Pairs, population
from safedpo.finite.walker.premise import Premise, Sides
from safedpo.finite.world import FiniteWorld

STATEMENT = "Prop. 4.3"


def _log_ratios(world: FiniteWorld) -> Tensor:
    """beta log(pi / pi_ref) of the policy at which both sides are compared, (P, A)."""
    return (0.5 * torch.arange(world.answers, dtype=torch.float64)).expand(world.prompts, -1)


def intractable(world: FiniteWorld, *, uu_counts: bool = False) -> Tensor:
    """Sum over ordered pairs of P(i beats j) under r_c times -log sigmoid(m_ij), (P,); UU pairs add 0, or, with
    `uu_counts`, as under r.

    >>> one = FiniteWorld([[math.log(0.5)] * 2], [[0.0, 0.0]], torch.tensor([[False, True]]))  # the safe answer always wins
    >>> round(intractable(one).item() - math.log1p(math.exp(0.5)), 9)  # its margin here is -1/2
    0.0
    """
    reward = world.reward.masked_fill(world.unsafe, -math.inf)
    wins = (reward[:, :, None] - reward[:, None]).sigmoid().nan_to_num(nan=0.0)
    if uu_counts:
        both = world.unsafe[:, :, None] & world.unsafe[:, None]
        wins = torch.where(both, (world.reward[:, :, None] - world.reward[:, None]).sigmoid(), wins)
    ratio = _log_ratios(world)
    loss = -logsigmoid(ratio[:, :, None] - ratio[:, None])
    return (wins * loss * (1 - torch.eye(world.answers, dtype=torch.float64))).sum((-2, -1))


def tractable(world: FiniteWorld, pairs: Pairs) -> tuple[Tensor, Tensor, Tensor]:
    """The loss of `pairs`, by tensors and row by row in floats, and their total weight, (P,) each.

    >>> one = FiniteWorld([[math.log(0.5)] * 2], [[0.0, 0.0]], torch.tensor([[False, True]]))
    >>> loss, again, weight = tractable(one, population(one).transform())
    >>> torch.allclose(loss, intractable(one)), torch.allclose(loss, again), weight.item()
    (True, True, 1.0)
    """
    ratio = _log_ratios(world)
    gap = ratio[pairs.prompt, pairs.chosen] - ratio[pairs.prompt, pairs.rejected]
    zero = torch.zeros(world.prompts, dtype=torch.float64)
    total, by_hand = zero.index_add(0, pairs.prompt, -pairs.weight * logsigmoid(gap)), [0.0] * world.prompts
    for x, m, weight in zip(pairs.prompt.tolist(), gap.tolist(), pairs.weight.tolist(), strict=True):
        by_hand[x] += weight * math.log1p(math.exp(-m))
    return total, torch.tensor(by_hand, dtype=torch.float64), zero.index_add(0, pairs.prompt, pairs.weight)


def _sides(world: FiniteWorld, left: Tensor, pairs: Pairs) -> Sides:
    right, again, _ = tractable(world, pairs)
    return left, right, (right - again).abs()


def _right_bits(world: FiniteWorld, removed: bool) -> Sides:
    seen = world.unsafe.clone()
    if removed:
        seen[torch.arange(world.prompts), world.unsafe.int().argmax(-1)] = False
    return _sides(world, intractable(world), population(FiniteWorld(world.ref_logps, world.reward, seen)).transform())


def _bradley_terry(world: FiniteWorld, removed: bool) -> Sides:
    return _sides(world, intractable(world), surer(population(world), world, removed).transform())


def surer(pairs: Pairs, world: FiniteWorld, removed: bool) -> Pairs:
    """The same pairs with labellers who are always right (ties at a coin's toss), where `removed`.

    >>> one = FiniteWorld([[math.log(0.5)] * 2], [[1.0, 0.0]], torch.tensor([[False, False]]))
    >>> pairs = population(one)
    >>> [round(surer(pairs, one, on).weight[pairs.chosen == 0].sum().item(), 3) for on in (True, False)]
    [1.0, 0.731]
    """
    lead = world.reward[pairs.prompt, pairs.chosen] - world.reward[pairs.prompt, pairs.rejected]
    return replace(pairs, weight=pairs.weight / lead.sigmoid() * (lead.sign() + 1) / 2) if removed else pairs


def _uu_free(world: FiniteWorld, removed: bool) -> Sides:
    return _sides(world, intractable(world, uu_counts=removed), population(world).transform())


def _swap(world: FiniteWorld, removed: bool) -> Sides:
    return _sides(world, intractable(world), population(world).transform("safebetter" if removed else "safedpo"))


def _sums(world: FiniteWorld, removed: bool) -> Sides:
    left, (right, again, kept) = intractable(world), tractable(world, population(world).transform())
    if removed:
        left, right, again = left / (world.answers * (world.answers - 1) / 2), right / kept, again / kept
    return left, right, (right - again).abs()


def _pair_law(world: FiniteWorld, removed: bool) -> Sides:
    """How often a pair is drawn, the same on both sides: by default each once, here by the reference's products."""
    weight = torch.ones(world.prompts, world.answers, world.answers, dtype=torch.float64)
    if removed:
        weight = world.ref_logps.exp()[:, :, None] * world.ref_logps.exp()[:, None]
    ratio, reward = _log_ratios(world), world.reward.masked_fill(world.unsafe, -math.inf)
    wins = weight * (reward[:, :, None] - reward[:, None]).sigmoid().nan_to_num(nan=0.0)
    loss = -logsigmoid(ratio[:, :, None] - ratio[:, None]) * (1 - torch.eye(world.answers, dtype=torch.float64))
    return _sides(world, (wins * loss).sum((-2, -1)), population(world, pair_weight=weight).transform())


def _premise(name: str, words: str, without: str, sides) -> Premise:
    return Premise(STATEMENT, name, words, without, "objective under r_c", "loss of T's pairs", sides)


PREMISES = (
    _premise("right bits", "T sees the true safety bits", "one unsafe answer is labelled safe", _right_bits),
    _premise(
        "Bradley-Terry labels",
        "labels follow Bradley-Terry under r",
        "labellers are never wrong: the better answer always wins",
        _bradley_terry,
    ),
    _premise("UU pairs carry no loss", "pairs of two unsafe answers are left out", "they count as under r", _uu_free),
    _premise("the swap", "an unsafe winner trades places with its safe loser", "such a pair is dropped instead", _swap),
    _premise("sums, not means", "both sides are sums over pairs", "both are means over the pairs they hold", _sums),
    _premise(
        "pairs evenly drawn",
        "every pair is drawn equally often",
        "pairs are drawn from the reference (on-policy)",
        _pair_law,
    ),
)
