"""T under the hand: the fate of every pair of one prompt for any bits, and both sums of Proposition 4.3."""

from dataclasses import dataclass

import torch
from torch import Tensor

from safedpo.errors import UserError
from safedpo.finite.pairs import population
from safedpo.finite.walker.objectives import intractable, tractable
from safedpo.finite.world import FiniteWorld
from safedpo.transform import order_pairs


@dataclass(frozen=True)
class Fates:
    """Shares of each unordered pair's labels that T keeps, swaps and drops, and the two objectives."""

    pairs: tuple[str, ...]
    kept: tuple[float, ...]
    swapped: tuple[float, ...]
    dropped: tuple[float, ...]
    intractable: float
    tractable: float


def fates(reward: Tensor, unsafe: Tensor, seen: Tensor | None = None) -> Fates:
    """What T does to all pairs of answers with these rewards (A,), being told that the answers `seen` are unsafe.

    Labels follow Bradley-Terry under `reward`; `unsafe` (A,) bool is the truth and, without `seen`, what T sees. Both
    objectives are those of the policy with log-ratios 0, 1/2, 1, ... to its reference (`walker.objectives`). `UserError`
    for tables of another shape, or fewer than two answers.

    >>> done = fates(torch.tensor([0.0, 0.0]), torch.tensor([False, True]))
    >>> done.pairs, done.kept, done.swapped, done.dropped
    (('1-2',), (0.5,), (0.5,), (0.0,))
    >>> done.intractable == done.tractable
    True
    """
    seen = unsafe if seen is None else seen
    if reward.ndim != 1 or len(reward) < 2 or unsafe.shape != reward.shape or seen.shape != reward.shape:
        raise UserError(
            f"reward, unsafe and seen have shapes {[tuple(t.shape) for t in (reward, unsafe, seen)]}; give (A,)"
        )
    flat = torch.zeros(1, len(reward), dtype=torch.float64).log_softmax(-1)
    truth, told = (FiniteWorld(flat, reward[None], bits[None]) for bits in (unsafe, seen))
    raw = population(told)
    flags = torch.stack([raw.chosen_unsafe, raw.rejected_unsafe], dim=-1)
    column, keep = order_pairs(torch.zeros_like(raw.prompt), flags)
    fate = torch.where(keep, column, 2)  # 0 kept, 1 swapped, 2 dropped
    low, high = torch.minimum(raw.chosen, raw.rejected), torch.maximum(raw.chosen, raw.rejected)
    shares = torch.zeros(3, len(reward), len(reward), dtype=torch.float64)
    shares.index_put_((fate, low, high), raw.weight, accumulate=True)
    first, second = torch.triu_indices(len(reward), len(reward), offset=1)
    names = tuple(f"{i + 1}-{j + 1}" for i, j in zip(first.tolist(), second.tolist(), strict=True))
    kept, swapped, dropped = (tuple(one[first, second].tolist()) for one in shares)
    right, _, _ = tractable(truth, raw.transform())
    return Fates(names, kept, swapped, dropped, intractable(truth).item(), right.item())
