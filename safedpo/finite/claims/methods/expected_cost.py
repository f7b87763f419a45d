"""Claims about the expected-cost problem: its dual, C-DPO, Safe RLHF, and what separates them from SafeDPO."""

import torch

from safedpo.finite import methods
from safedpo.finite.claims.claim import Claim, largest
from safedpo.finite.claims.methods.data import settings
from safedpo.finite.optimum import expectation, kl


def dual_slope(seed: int, worlds: int) -> float:
    """g' and g'' against central differences of g."""
    differences, h = [], 1e-4
    for world, _, beta in settings(seed, worlds):
        for lam in (0.5, 2.0):
            low, here, high = (methods.dual_value(world, lam + d, beta, 0.1) for d in (-h, 0.0, h))
            differences.append(methods.dual_gradient(world, lam, beta, 0.1) - (high - low) / (2 * h))
            differences.append(1e-2 * (methods.dual_curvature(world, lam, beta) - (high - 2 * here + low) / h**2))
    return largest(*differences)


def dual_tight(seed: int, worlds: int) -> float:
    """Strong duality: at lambda* the dual equals reward - beta KL of pi_lambda*, and the constraint is met exactly."""
    differences = []
    for world, _, beta in settings(seed, worlds):
        limit = 0.5 * (
            methods.expected_cost(world, methods.lagrangian_policy(world, 0.0, beta)).item() + methods.least_cost(world)
        )
        lam = methods.best_multiplier(world, beta, limit)
        best = methods.lagrangian_policy(world, lam, beta)
        value = (expectation(best, world.reward) - beta * kl(best, world.ref_logps)).mean()
        differences += [methods.dual_value(world, lam, beta, limit) - value, methods.expected_cost(world, best) - limit]
    return largest(*differences)


def safe_rlhf(seed: int, worlds: int) -> float:
    """The gradient of E[(r - lambda c) / (1 + lambda)] - beta KL in the logits, at the stated optimum."""
    slopes = []
    for world, _, beta in settings(seed, worlds):
        for lam in (0.0, 1.0, 5.0):
            logits = methods.OPTIMA["Safe RLHF"](world, beta=beta, lam=lam).clone().requires_grad_()
            logps = logits.log_softmax(-1)
            reward = expectation(logps, world.reward - lam * world.cost) / (1 + lam)
            value = (reward - beta * kl(logps, world.ref_logps)).sum()
            slopes.append(torch.autograd.grad(value, logits)[0])
    return largest(*slopes)


CLAIMS = (
    Claim(
        "dual-slope",
        "the dual has g'(λ) = limit − E_{π_λ}[c] and g''(λ) = E Var_{π_λ}(c)/β",
        "derived",
        1e-6,
        dual_slope,
    ),
    Claim(
        "dual-tight",
        "at λ* the dual equals the value of π_λ*, which meets the limit exactly",
        "derived",
        1e-7,
        dual_tight,
    ),
    Claim(
        "method-safe-rlhf", "Safe RLHF at λ has the optimum π_ref e^{(r−λc)/((1+λ)β)} / Z", "derived", 1e-9, safe_rlhf
    ),
)
