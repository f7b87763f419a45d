"""The worlds and pairs on which methods are compared, and the slope of a method's own loss."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from safedpo.finite import methods
from safedpo.finite.pairs import Pairs, population
from safedpo.finite.world import FiniteWorld, random_world

BETAS = (0.2, 1.0)


def settings(seed: int, worlds: int) -> Iterator[tuple[FiniteWorld, Pairs, float]]:
    """(world, its exact pairs, beta), a few prompts each.

    >>> [(world.prompts, round(pairs.weight.sum().item(), 6), beta) for world, pairs, beta in settings(0, 2)]
    [(2, 20.0, 0.2), (2, 20.0, 1.0)]
    """
    for number, beta in enumerate(BETAS):
        world = random_world(seed + number, min(worlds, 20), 5)
        yield world, methods.safer_by_cost(world, population(world)), beta


def slope_at(policy: Tensor, world: FiniteWorld, pairs: Pairs, loss: Callable[..., Tensor]) -> Tensor:
    """The gradient in the logits, at `policy`, of the weighted sum of `loss` over (chosen, rejected, ref_chosen,
    ref_rejected) log-probabilities.

    >>> from safedpo.finite import optimal_policy, six_answers
    >>> from safedpo.losses import dpo_loss
    >>> world, at = six_answers(), optimal_policy(six_answers(), 0.5, penalty=0.0)
    >>> slope_at(at, world, population(world), lambda *columns: dpo_loss(*columns, beta=0.5)).abs().max().item() < 1e-12
    True
    """
    logits = policy.detach().clone().requires_grad_()
    logps = logits.log_softmax(-1)
    columns = [
        table[pairs.prompt, answer] for table in (logps, world.ref_logps) for answer in (pairs.chosen, pairs.rejected)
    ]
    return torch.autograd.grad((pairs.weight * loss(*columns)).sum(), logits)[0]
