"""Strong duality in C-DPO: some finite price lambda* makes the unconstrained optimum pi_lambda* the constrained one.

One candidate is one prompt with signed costs. Prices are found by bisection on all candidates at once; the second route
to a side is a sum or a maximum written another way.
"""

import torch
from torch import Tensor

from safedpo.finite.optimum import expectation, kl
from safedpo.finite.walker.premise import Premise, Sides
from safedpo.finite.world import FiniteWorld

BETA = 0.5
MOST = 400.0  # the largest price looked at
STATEMENT = "C-DPO, strong duality"


def _policy_at(world: FiniteWorld, lam: Tensor) -> Tensor:
    """pi_lambda of each row at its own price, (P, A)."""
    return (world.ref_logps + (world.reward - lam[:, None] * world.cost) / BETA).log_softmax(-1)


def _price(world: FiniteWorld, limit: Tensor) -> Tensor:
    """The least price in [0, 400] at which each row's cost is within its limit, (P,), by bisection."""
    low, high = torch.zeros_like(limit), torch.full_like(limit, MOST)
    free = expectation(_policy_at(world, low), world.cost) <= limit
    for _ in range(80):
        middle = (low + high) / 2
        over = expectation(_policy_at(world, middle), world.cost) > limit
        low, high = torch.where(over, middle, low), torch.where(over, high, middle)
    return torch.where(free, 0.0, high)


def _dual(world: FiniteWorld, lam: Tensor, limit: Tensor) -> Tensor:
    """g(lambda) = beta log Z_lambda + lambda limit, (P,)."""
    return BETA * (world.ref_logps + (world.reward - lam[:, None] * world.cost) / BETA).logsumexp(-1) + lam * limit


def _middle_limit(world: FiniteWorld) -> Tensor:
    """Half way between the least cost and what the free optimum costs, (P,): it binds, and can be met."""
    start = expectation(_policy_at(world, torch.zeros(world.prompts).double()), world.cost)
    return (world.cost.amin(-1) + start) / 2


def _slater(world: FiniteWorld, removed: bool) -> Sides:
    """The price for a limit a hair wider, and for one two hairs wider: at the boundary they never settle."""
    limit = world.cost.amin(-1) if removed else _middle_limit(world)
    hairs = (1e-6, 1e-3) if removed else (0.0, 1e-13)
    prices = [_price(world, limit + hair) for hair in hairs]
    costs = [expectation(_policy_at(world, lam), world.cost) for lam in prices]
    residual = torch.stack([(cost - limit - hair).clamp(min=0) for cost, hair in zip(costs, hairs, strict=True)])
    return prices[0], prices[1], residual.amax(0)


def _smooth(world: FiniteWorld, removed: bool) -> Sides:
    """Without the KL term pi_lambda is the answer with the highest r - lambda c: jumps over the limit."""
    return _pure(world, world.reward) if removed else _value_and_dual(world)


def _every_policy(world: FiniteWorld, removed: bool) -> Sides:
    """Policies that always say the same answer: not convex, beta KL being -beta log pi_ref(y)."""
    return _pure(world, world.reward + BETA * world.ref_logps) if removed else _value_and_dual(world)


def _value_and_dual(world: FiniteWorld) -> Sides:
    limit = _middle_limit(world)
    lam = _price(world, limit)
    policy = _policy_at(world, lam)
    value = expectation(policy, world.reward) - BETA * kl(policy, world.ref_logps)
    best = _dual(world, lam, limit)
    return value, best, (value + lam * (limit - expectation(policy, world.cost)) - best).abs()


def _pure(world: FiniteWorld, score: Tensor) -> Sides:
    """Best score of one answer within the limit, and the least bound of any price: crossings of two lines."""
    limit = _middle_limit(world)
    value = score.masked_fill(world.cost > limit[:, None], -torch.inf).amax(-1)
    rise, run = score[:, :, None] - score[:, None], world.cost[:, :, None] - world.cost[:, None]
    prices = torch.where(run != 0, rise / run, 0.0).flatten(1).clamp(min=0.0)  # (P, A A), 0 among them
    bounds = (score[:, None] - prices[..., None] * (world.cost - limit[:, None])[:, None]).amax(-1)
    best = bounds.amin(-1)
    # The linear programme's dual: the best mixture of two answers that meets the limit, pair by pair.
    low, high = world.cost[:, :, None], world.cost[:, None]
    share = torch.where(high > low, (high - limit[:, None, None]) / (high - low), 1.0).clamp(0.0, 1.0)
    mixed = share * score[:, :, None] + (1 - share) * score[:, None]
    mixed = torch.where(share * low + (1 - share) * high <= limit[:, None, None] + 1e-12, mixed, -torch.inf)
    return value, best, (mixed.flatten(1).amax(-1) - best).abs()


def _on_policy(world: FiniteWorld, removed: bool) -> Sides:
    """The cost in the dual step is estimated on the policy of the day, or (removed) on the reference's stale samples."""
    limit = expectation(world.ref_logps, world.cost)  # the reference meets it exactly
    lam = torch.zeros_like(limit) if removed else _price(world, limit)  # stale samples never show an excess
    cost = expectation(_policy_at(world, lam), world.cost)
    by_hand = torch.stack([(p.exp() * c).sum() for p, c in zip(_policy_at(world, lam), world.cost, strict=True)])
    return torch.maximum(cost, limit), limit, (cost - by_hand).abs()


def _small_steps(world: FiniteWorld, removed: bool) -> Sides:
    """lambda after 400 dual steps of 1/g'' or (removed) 2.5/g'', g'' that of the optimum, against lambda*."""
    limit = _middle_limit(world)
    best = _price(world, limit)
    policy = _policy_at(world, best)
    curvature = (expectation(policy, world.cost**2) - expectation(policy, world.cost) ** 2) / BETA
    eta = (2.5 if removed else 1.0) / curvature.clamp(min=1e-12)
    lam = best + 0.01
    for _ in range(400):
        lam = (lam + eta * (expectation(_policy_at(world, lam), world.cost) - limit)).clamp(min=0.0)
    again = (expectation(_policy_at(world, best), world.cost) - limit).clamp(min=0.0)
    return lam, best, again


def _own_price(world: FiniteWorld, removed: bool) -> Sides:
    """Two prompts: the costlier one's cost with one price for both (removed) or a price for each, against the limit."""
    limit = _middle_limit(world).view(-1, 2).amax(-1)  # (worlds,)
    both = limit[:, None].expand(-1, 2).flatten()
    lam = _price(world, both)
    if removed:
        low, high = torch.zeros_like(limit), torch.full_like(limit, MOST)
        for _ in range(80):
            middle = (low + high) / 2
            cost = expectation(_policy_at(world, middle.repeat_interleave(2)), world.cost).view(-1, 2).mean(-1)
            low, high = torch.where(cost > limit, middle, low), torch.where(cost > limit, high, middle)
        lam = high.repeat_interleave(2)
    cost = expectation(_policy_at(world, lam), world.cost).view(-1, 2)
    again = (cost.mean(-1) - limit).clamp(min=0.0)
    return torch.maximum(cost.amax(-1), limit), limit, again


PREMISES = (
    Premise(
        STATEMENT,
        "Slater: room below the limit",
        "some policy costs strictly less than the limit",
        "the limit is the least cost there is",
        "price for that limit + 10⁻⁶",
        "price for that limit + 10⁻³",
        _slater,
    ),
    Premise(
        STATEMENT,
        "the KL term",
        "β > 0, so π_λ moves smoothly with λ",
        "β = 0: π_λ is one answer, and jumps over the limit",
        "best value of one answer within the limit",
        "least bound of any price",
        _smooth,
    ),
    Premise(
        STATEMENT,
        "every policy is allowed",
        "the policies form a convex set",
        "only policies that always give one answer",
        "best value within the limit",
        "least bound of any price",
        _every_policy,
    ),
    Premise(
        STATEMENT,
        "on-policy costs",
        "the dual step sees the cost of the current policy",
        "it sees the cost of samples from the reference",
        "expected cost at the end",
        "the limit",
        _on_policy,
    ),
    Premise(
        STATEMENT,
        "small steps",
        "η < 2 / g″",
        "η = 2.5 / g″",
        "λ after 400 steps",
        "λ*",
        _small_steps,
    ),
    Premise(
        STATEMENT,
        "the limit is on the mean",
        "only the mean over prompts is limited (or each prompt has a price)",
        "one price, and each prompt must be within the limit",
        "the costlier prompt's cost",
        "the limit",
        _own_price,
        prompts=2,
    ),
)
