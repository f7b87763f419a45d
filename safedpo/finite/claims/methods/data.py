"""The worlds and pairs on which methods are compared, and the slope of a method's own loss."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from safedpo.finite import methods
from safedpo.finite.pairs import Pairs, population
from safedpo.finite.world import FiniteWorld, random_world

BETAS = (0.2, 1.0)


def settings(seed: int, worlds: int) -> Iterator[tuple[FiniteWorld, Pairs, float]]:
    """(world, its exact pairs, beta), a few prompts each."""
    for number, beta in enumerate(BETAS):
        world = random_world(seed + number, min(worlds, 20), 5)
        yield world, methods.safer_by_cost(world, population(world)), beta


def slope_at(policy: Tensor, world: FiniteWorld, pairs: Pairs, loss: Callable[..., Tensor]) -> Tensor:
    """The gradient in the logits, at `policy`, of the weighted sum of `loss` over (chosen, rejected, ref_chosen,
    ref_rejected) log-probabilities."""
    logits = policy.detach().clone().requires_grad_()
    logps = logits.log_softmax(-1)
    columns = [
        table[pairs.prompt, answer] for table in (logps, world.ref_logps) for answer in (pairs.chosen, pairs.rejected)
    ]
    return torch.autograd.grad((pairs.weight * loss(*columns)).sum(), logits)[0]
