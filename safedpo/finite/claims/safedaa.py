"""Claims about the recipe with another loss: section 3.4 of the paper, SafeDAA.

The paper states it for any loss g of the reward margin m and runs it for one, g(m) = -log sigmoid(m). T carries over to
every g. Where training ends does not: the optimum depends on g, and Proposition 4.4 needs a g without a minimum.
"""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from safedpo.finite.claims.claim import Claim, generator, largest, random_policies, relative
from safedpo.finite.claims.loss import DELTAS
from safedpo.finite.claims.transform import law_under_modified_reward, random_pair_weight
from safedpo.finite.optimum import optimal_policy, unsafe_mass
from safedpo.finite.pairs import Pairs, population
from safedpo.finite.world import random_world
from safedpo.losses import ipo_loss, reward_margin, safety_gap, shift_reference

BETAS = (0.1, 1.0)
LOSSES = {
    "logistic": lambda m: -logsigmoid(m),
    "square": lambda m: (m - 0.5) ** 2,
    "hinge": lambda m: (1 - m).clamp(min=0),
    "exponential": lambda m: (-m).exp(),
}


def _margins(pairs: Pairs, logps: Tensor, ref_logps: Tensor, *, beta: float) -> Tensor:
    """The reward margin of each row, (..., N)."""
    columns = (
        table[..., pairs.prompt, answer]
        for table in (logps, ref_logps.expand_as(logps))
        for answer in (pairs.chosen, pairs.rejected)
    )
    return reward_margin(*columns, beta=beta)


def objectives(seed: int, worlds: int) -> float:
    world = random_world(seed, worlds)
    weight = random_pair_weight(world, seed)
    policies = random_policies(world, 5, seed)
    kept = population(world, pair_weight=weight).transform("safedpo")
    wins = weight * law_under_modified_reward(world) * (1 - torch.eye(world.answers, dtype=torch.float64))
    differences = []
    for beta in BETAS:
        reward = beta * (policies - world.ref_logps)
        m = reward[..., :, None] - reward[..., None, :]
        of_kept = _margins(kept, policies, world.ref_logps, beta=beta)
        for g in LOSSES.values():
            differences.append(relative((kept.weight * g(of_kept)).sum(-1), (wins * g(m)).sum((-3, -2, -1))))
    return largest(*differences)


def exponential(seed: int, worlds: int) -> float:
    """The slope of the loss, convex in the logits, at the stated optimum (a finite penalty stands for infinity)."""
    world = random_world(seed, worlds)
    kept = population(world).transform("safedpo")
    slopes = []
    for beta in BETAS:
        # At this penalty an unsafe answer is a margin of about 60 behind, and a mixed pair's slope below e^-40.
        logits = optimal_policy(world, 2 * beta, penalty=120.0).requires_grad_()
        for delta in DELTAS:
            gap = safety_gap(kept.chosen_unsafe, kept.rejected_unsafe, like=kept.weight)
            loss = kept.weight * LOSSES["exponential"](_margins(kept, logits, world.ref_logps, beta=beta) - delta * gap)
            slopes.append(torch.autograd.grad(loss.sum(), logits)[0] / beta)
    return largest(*slopes)


def square(seed: int, worlds: int) -> float:
    """Two answers: IPO from the shifted reference by one Newton step, exact for a square, against the closed form."""
    world = random_world(seed, worlds, 2)
    safe, unsafe = (~world.unsafe).int().argmax(-1, keepdim=True), world.unsafe.int().argmax(-1, keepdim=True)
    differences = []
    for beta in BETAS:
        for delta in DELTAS:
            column = shift_reference(world.ref_logps, world.unsafe, beta=beta, delta=delta)
            start = torch.randn(len(safe), generator=generator(seed), dtype=torch.float64).requires_grad_()
            loss = ipo_loss(start, 0 * start, column.gather(1, safe)[:, 0], column.gather(1, unsafe)[:, 0], beta=beta)
            (slope,) = torch.autograd.grad(loss.sum(), start, create_graph=True)
            (curvature,) = torch.autograd.grad(slope.sum(), start)
            gap = (start - slope / curvature).detach()  # log π(safe) - log π(unsafe) at the optimum
            logps = torch.zeros_like(world.ref_logps).scatter(1, safe, gap[:, None]).log_softmax(-1)
            odds = (world.ref_logps.gather(1, safe) - world.ref_logps.gather(1, unsafe))[:, 0] + (0.5 + delta) / beta
            differences.append(relative(unsafe_mass(world, logps).log(), -(1 + odds.exp()).log()))
    return largest(*differences)


CLAIMS = (
    Claim(
        "safedaa-objectives",
        "with any loss g(m), here logistic, square, hinge and exponential, the intractable "
        "objective equals the tractable one on T(D)",
        "section 3.4, derived",
        1e-12,
        objectives,
    ),
    Claim(
        "safedaa-exponential",
        "with g(m) = e^{−m} every Δ has the same optimum in the limit, but another one: π* at twice the β",
        "section 3.4, derived",
        1e-12,
        exponential,
    ),
    Claim(
        "safedaa-square",
        "with IPO's g(m) = (m − ½)² Prop. 4.4 fails: two answers keep the finite margin ½ + Δ, and with it unsafe mass",
        "section 3.4, derived",
        1e-12,
        square,
    ),
)
