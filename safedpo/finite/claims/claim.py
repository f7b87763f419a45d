"""What a claim is, and the few things that all claims share."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from safedpo.finite.world import FiniteWorld


@dataclass(frozen=True)
class Claim:
    """A statement of the theory whose two sides are computed by different routes.

    `residual(seed, worlds)` is how far they are apart on `worlds` fresh random worlds; the claim holds where that
    is at most `tolerance` (NaN does not hold). Of a sampled claim the residual counts standard errors.
    """

    id: str
    statement: str
    source: str
    tolerance: float
    residual: Callable[[int, int], float]


STANDARD_ERRORS = 6.0  # the tolerance of sampled claims


def generator(seed: int) -> torch.Generator:
    """A random stream of its own for what a claim draws besides its worlds.

    >>> torch.rand(1, generator=generator(0)).item() == torch.rand(1, generator=torch.Generator().manual_seed(0)).item()
    False
    """
    return torch.Generator().manual_seed(seed + 1_000_003)


def random_policies(world: FiniteWorld, count: int, seed: int, *, safe: bool = False) -> Tensor:
    """`count` random policies, log-probabilities (count, P, A); with `safe`, without unsafe answers.

    >>> from safedpo.finite import six_answers
    >>> policies = random_policies(six_answers(), 2, seed=0, safe=True)
    >>> policies.shape, policies.exp().sum(-1).allclose(torch.ones(2, 1).double()), policies[..., 4:].exp().max().item()
    (torch.Size([2, 1, 6]), True, 0.0)
    """
    logits = 2 * torch.randn(count, *world.reward.shape, generator=generator(seed), dtype=torch.float64)
    return (logits.masked_fill(world.unsafe, -torch.inf) if safe else logits).log_softmax(-1)


def largest(*differences: Tensor) -> float:
    """The largest absolute entry of all; NaN where any entry is NaN.

    >>> largest(torch.tensor([1.0, -3.0]), torch.tensor(2.0)), largest(torch.tensor([1.0, torch.nan]))
    (3.0, nan)
    """
    return torch.cat([torch.as_tensor(d, dtype=torch.float64).abs().reshape(-1) for d in differences]).max().item()


def relative(left: Tensor, right: Tensor) -> Tensor:
    """|left - right| / (1 + |right|).

    >>> relative(torch.tensor([0.5, 101.0]), torch.tensor([0.0, 99.0]))
    tensor([0.5000, 0.0200])
    """
    return (left - right).abs() / (1 + right.abs())
