"""Losses that aim at a finite gap, so that even a certain label asks for no more: IPO and BFPO.

Their optima are least-squares solutions over the pairs, for data in which every pair of answers is equally frequent.
"""

import torch
from torch import Tensor

from safedpo.errors import UserError
from safedpo.finite.methods.checked import checked
from safedpo.finite.methods.outcome import STEPS, TOLERANCE, Outcome, squared
from safedpo.finite.methods.pairwise.orderings import ordered
from safedpo.finite.pairs import Pairs
from safedpo.finite.slopes import bfpo_slope
from safedpo.finite.world import FiniteWorld


@checked
def ipo(
    world: FiniteWorld,
    pairs: Pairs,
    *,
    beta: float,
    seed: int = 0,
    rule: str = "helpful",
    steps: int = STEPS,
    tolerance: float = TOLERANCE,
) -> Outcome:
    """IPO: (gap - 1 / (2 beta))^2; its optimum is finite even where a label is certain.

    >>> from safedpo.finite import population, six_answers, tv
    >>> done = ipo(six_answers(), population(six_answers()), beta=0.5, steps=300)
    >>> tv(done.logps, ipo_optimum(six_answers(), beta=0.5)).item() < 1e-6
    True
    """
    return ordered(
        "IPO",
        "arXiv 2310.12036, Eq. 17",
        world,
        pairs,
        rule,
        beta,
        seed,
        steps,
        tolerance,
        shape=squared(beta),
        loss="ipo",
    )


@checked
def ipo_optimum(world: FiniteWorld, *, beta: float, rule: str = "helpful") -> Tensor:
    """pi_ref(y) exp(mean over y' of P(y beats y') / beta) (arXiv 2310.12036: Psi = identity, y' uniform), (P, A).

    With T [derived] safe beats unsafe surely, unsafe pairs are gone, and the mean becomes a least-squares solution.

    >>> from safedpo.finite import FiniteWorld
    >>> toss = FiniteWorld(torch.tensor([[0.3, 0.7]]).log(), [[0.0, 0.0]], torch.tensor([[False, False]]))  # P = 1/2 each
    >>> torch.allclose(ipo_optimum(toss, beta=0.5), toss.ref_logps)
    True
    """
    if rule not in ("helpful", "safedpo"):
        raise UserError(f"rule is {rule!r}; the optimum is known for helpful and safedpo")
    wins = _wins(world)
    certain = (~world.unsafe[:, :, None] & world.unsafe[:, None]).double()  # row safe, column unsafe
    weight = torch.ones_like(wins)
    if rule == "safedpo":
        mixed = world.unsafe[:, :, None] != world.unsafe[:, None]
        wins, weight = torch.where(mixed, certain, wins), (~(world.unsafe[:, :, None] & world.unsafe[:, None])).double()
    return _least_squares(world, (wins - 0.5) / beta, weight)


@checked
def bfpo(
    world: FiniteWorld, pairs: Pairs, *, beta: float, seed: int = 0, steps: int = STEPS, tolerance: float = TOLERANCE
) -> Outcome:
    """BFPO: (gap - target / beta)^2, target 1/2 (SS), 1 (SU), -1 (US), -1/2 (UU) on helpful pairs [targets derived
    from the method's constants].

    >>> from safedpo.finite import population, six_answers, tv
    >>> done = bfpo(six_answers(), population(six_answers()), beta=0.5, steps=300)
    >>> tv(done.logps, bfpo_optimum(six_answers(), beta=0.5)).item() < 1e-6
    True
    """
    done = ordered(
        "BFPO",
        "arXiv 2408.15313",
        world,
        pairs,
        "helpful",
        beta,
        seed,
        steps,
        tolerance,
        shape=squared(beta),
        loss=bfpo_slope,
    )
    done.costs.use_labels(pairs, "better", "bits")
    return done


@checked
def bfpo_optimum(world: FiniteWorld, *, beta: float) -> Tensor:
    """Least squares of the pairwise targets: (p - 1/2) / beta among safe answers, 1 / beta for safe over unsafe, and
    the *reverse* (1/2 - p) / beta among unsafe ones, (P, A) [derived]. Finite, so unsafe mass remains.

    >>> from safedpo.finite import six_answers, unsafe_mass
    >>> unsafe_mass(six_answers(), bfpo_optimum(six_answers(), beta=0.5)).item() > 0.01
    True
    """
    h = world.unsafe
    target = torch.where(h[:, :, None] & h[:, None], 0.5 - _wins(world), _wins(world) - 0.5)
    mixed = h[:, None].double() - h[:, :, None].double()  # 1: row safe, column unsafe
    return _least_squares(world, torch.where(mixed != 0, mixed, target) / beta, torch.ones_like(target))


def _wins(world: FiniteWorld) -> Tensor:
    """P(row beats column) under Bradley-Terry, (P, A, A)."""
    return (world.reward[:, :, None] - world.reward[:, None]).sigmoid()


def _least_squares(world: FiniteWorld, target: Tensor, weight: Tensor) -> Tensor:
    """The policy whose log-ratios fit the pairwise gaps `target` (P, A, A) best: Laplacian z = weighted row sums."""
    weight = weight * (1 - torch.eye(world.answers, dtype=weight.dtype))
    laplacian = torch.diag_embed(weight.sum(-1)) - weight
    ratio = torch.linalg.pinv(laplacian) @ (weight * target).sum(-1, keepdim=True)
    return (world.ref_logps + ratio[..., 0]).log_softmax(-1)
