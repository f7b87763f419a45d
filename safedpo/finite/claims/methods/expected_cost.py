"""Claims about the expected-cost problem: its dual, C-DPO, Safe RLHF, and what separates them from SafeDPO."""

import math

import torch
from scipy.integrate import solve_ivp

from safedpo.finite import methods
from safedpo.finite.claims.claim import Claim, largest
from safedpo.finite.claims.methods.data import BETAS, settings, slope_at
from safedpo.finite.optimum import (
    expectation,
    kl,
    log_partition,
    log_partition_unsafe,
    optimal_policy,
    required_penalty,
    tv,
)
from safedpo.finite.world import FiniteWorld, random_world
from safedpo.losses import dpo_loss


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


def step_bound(seed: int, worlds: int) -> float:
    """No step below 2 / sup g'' moves away from lambda*; where g'' is at its bound, 2 % above it leads away."""
    differences = []
    for world, _, beta in settings(seed, min(worlds, 5)):
        steepest, start = methods.largest_dual_curvature(world, beta), methods.lagrangian_policy(world, 0.0, beta)
        limit = 0.5 * (methods.expected_cost(world, start).item() + methods.least_cost(world))
        best, lam = methods.best_multiplier(world, beta, limit), 0.0
        for _ in range(30):
            cost = methods.expected_cost(world, methods.lagrangian_policy(world, lam, beta)).item()
            moved, _ = methods.dual_step(lam, cost, limit, 1.96 / steepest)
            differences.append(torch.tensor(abs(moved - best) - abs(lam - best)).clamp(min=0))
            lam = moved
    beta, coin = 0.1, FiniteWorld([[math.log(0.5)] * 2], [[0.0, 1.0]], torch.tensor([[False, True]]))
    ends = []
    for eta in (0.79, 0.81):  # 2 / sup g'' = 0.8 at beta = 0.1; lambda* = 1, where P(unsafe) is the limit 1/2
        lam = 1.01
        for _ in range(500):
            cost = methods.expected_cost(coin, methods.lagrangian_policy(coin, lam, beta)).item()
            lam, _ = methods.dual_step(lam, cost, 0.5, eta)
        ends.append(abs(lam - 1.0))
    return largest(*differences, torch.tensor(ends[0]).clamp(max=1.0), torch.tensor(0.03 - ends[1]).clamp(min=0))


def _with_bits_as_cost(seed: int, prompts: int) -> FiniteWorld:
    world = random_world(seed, prompts, 5)
    return FiniteWorld(world.ref_logps, world.reward, world.unsafe)


def one_prompt(seed: int, worlds: int) -> float:
    """lambda* in closed form for one prompt and c = h; it is the penalty that Prop. 4.2 needs for TV = limit."""
    differences = []
    for number in range(min(worlds, 10)):
        world = _with_bits_as_cost(seed + 97 * number, 1)
        for beta in BETAS:
            for limit in (0.3, 1e-3):
                odds = (log_partition_unsafe(world, beta) - log_partition(world, beta)).item()
                exact = max(0.0, beta * (odds + math.log((1 - limit) / limit)))
                found = methods.best_multiplier(world, beta, limit)
                differences += [found - exact, found - required_penalty(world, beta, limit).item()]
    return largest(*map(torch.tensor, differences))


def hard_limit(seed: int, worlds: int) -> float:
    """Limit 0 with c = h: no interior point, so the price has no end; along the dual flow it grows like beta log t."""
    differences = []
    for number in range(min(worlds, 5)):
        world, beta = _with_bits_as_cost(seed + 97 * number, 1), 0.5
        try:
            methods.best_multiplier(world, beta, 0.0)
            return math.inf
        except methods.InfeasibleLimitError:
            pass
        odds = math.exp((log_partition_unsafe(world, beta) - log_partition(world, beta)).item())

        def flow(_, lam, world=world, beta=beta):
            return [methods.expected_cost(world, methods.lagrangian_policy(world, max(lam[0], 0.0), beta)).item()]

        end = 1e3
        lam = solve_ivp(flow, (0, end), [0.0], method="DOP853", rtol=1e-10, atol=1e-12).y[0, -1]
        differences.append((lam + beta * math.exp(lam / beta) / odds) / (end + beta / odds) - 1)
    return largest(*map(torch.tensor, differences))


def price_to_ban(seed: int, worlds: int) -> float:
    """c = h: C-DPO at lambda is pi_C with C = lambda, so it goes to SafeDPO's optimum and never arrives."""
    world, differences = _with_bits_as_cost(seed, worlds), []
    for beta in BETAS:
        odds = log_partition_unsafe(world, beta) - log_partition(world, beta)
        for lam in (0.0, 0.5, 3.0, beta * (40 + odds.max().clamp(min=0).item())):
            policy = methods.lagrangian_policy(world, lam, beta)
            differences.append(tv(policy, optimal_policy(world, beta, penalty=lam)))
            differences.append(tv(policy, optimal_policy(world, beta)) - torch.sigmoid(odds - lam / beta))
        differences.append(tv(policy, optimal_policy(world, beta)))  # at the last, largest price
    return largest(*differences)


def relabelling(seed: int, worlds: int) -> float:
    """DPO on pairs labelled by Bradley-Terry under r - lambda c has no slope at pi_lambda."""
    slopes = []
    for world, pairs, beta in settings(seed, worlds):
        for lam in (0.3, 2.0):
            labelled = methods.relabel(pairs, world.reward - lam * world.cost)
            policy = methods.OPTIMA["SACPO"](world, beta=beta, lam=lam)
            slopes.append(slope_at(policy, world, labelled, lambda *columns, b=beta: dpo_loss(*columns, beta=b)))
    return largest(*slopes)


def more_reward(seed: int, worlds: int) -> float:
    """Safe RLHF at price mu is C-DPO's optimum at (1 + mu) beta under the same limit; less beta, more reward and KL."""
    differences = []
    for world, _, beta in settings(seed, worlds):
        for mu in (0.5, 3.0):
            theirs = methods.OPTIMA["Safe RLHF"](world, beta=beta, lam=mu)
            limit = methods.expected_cost(world, theirs).item()
            ours = methods.OPTIMA["C-DPO"](world, beta=beta, limit=limit)
            differences.append(torch.tensor(methods.best_multiplier(world, (1 + mu) * beta, limit) - mu))
            differences.append((methods.expected_cost(world, ours) - limit).clamp(min=0))
            gain = (expectation(ours, world.reward) - expectation(theirs, world.reward)).mean()
            price = (kl(ours, world.ref_logps) - kl(theirs, world.ref_logps)).mean()
            differences += [(-gain).clamp(min=0), (-price).clamp(min=0)]
    return largest(*differences)


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
    Claim(
        "dual-step-bound",
        "steps η < 2/sup g″ never leave λ*, sup g″ ≤ (c_max − c_min)²/(4β); with c ∈ {0, 1} and β = .1 the loop ends at "
        "η = .79 and not at .81",
        "C-DPO (arXiv 2403.02475), derived",
        1e-6,
        step_bound,
    ),
    Claim(
        "dual-one-prompt",
        "for one prompt and c = h λ* = β log[(Z_u/Z_s)(1−d)/d], or 0: the C of Prop. 4.2 for TV = d",
        "C-DPO (arXiv 2403.02475), derived",
        1e-8,
        one_prompt,
    ),
    Claim(
        "dual-hard-limit",
        "at limit 0 with c = h no λ* exists; along dλ/dt = P(unsafe) λ + β(Z_s/Z_u)e^{λ/β} = t + βZ_s/Z_u: like β log t",
        "C-DPO (arXiv 2403.02475), derived",
        1e-6,
        hard_limit,
    ),
    Claim(
        "cdpo-to-safedpo",
        "with c = h π_λ is π_C at C = λ: unsafe mass is left at every price, and as λ → ∞ it goes to SafeDPO's π*",
        "C-DPO (arXiv 2403.02475), derived",
        1e-12,
        price_to_ban,
    ),
    Claim(
        "cdpo-relabelling",
        "DPO on pairs relabelled with σ(r_λ(y₁) − r_λ(y₀)), r_λ = r − λc, has the optimum π_λ",
        "C-DPO (arXiv 2403.02475), derived",
        1e-9,
        relabelling,
    ),
    Claim(
        "cdpo-more-reward",
        "under one limit C-DPO has at least Safe RLHF's reward, at no smaller KL: theirs is the same problem at (1+λ)β",
        "C-DPO (arXiv 2403.02475), abstract; proof derived",
        1e-7,
        more_reward,
    ),
)
