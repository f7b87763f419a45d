"""Methods that reshape the two terms of DPO before they meet in the sigmoid: SEE-DPO and B-DPO."""

import math

import torch
from torch import Tensor

from safedpo.finite.methods.outcome import STEPS, TOLERANCE, Outcome, logistic
from safedpo.finite.methods.pairwise.orderings import ordered
from safedpo.finite.pairs import Pairs
from safedpo.finite.world import FiniteWorld


def see_dpo(
    world: FiniteWorld,
    pairs: Pairs,
    *,
    beta: float,
    seed: int = 0,
    gamma: float = 0.1,
    rule: str = "helpful",
    steps: int = STEPS,
    tolerance: float = TOLERANCE,
) -> Outcome:
    """SEE-DPO: an entropy bonus gamma, -log sigmoid((beta + gamma) [log pi_w - log pi_l] - beta [ref_w - ref_l])
    [derived for responses; published for diffusion]. It is DPO at beta + gamma from a flattened reference."""
    total = beta + gamma
    return ordered(
        "SEE-DPO",
        "arXiv 2411.04712 (derived)",
        world,
        pairs,
        rule,
        logistic(total),
        total,
        seed,
        steps,
        tolerance,
        reference=_flattened(world, beta / total),
        start=world.ref_logps,
    )


def see_dpo_optimum(world: FiniteWorld, *, beta: float, gamma: float = 0.1) -> Tensor:
    """pi_ref^(beta / (beta + gamma)) exp(r / (beta + gamma)) / Z, (P, A) [derived]."""
    return (_flattened(world, beta / (beta + gamma)) + world.reward / (beta + gamma)).log_softmax(-1)


def _flattened(world: FiniteWorld, power: float) -> Tensor:
    return torch.where(world.ref_logps.isneginf(), -math.inf, power * world.ref_logps)
