"""Claims about the methods since SafeDPO that choose another constraint: RePO, CAN, CS-RLHF, HC-RLHF, and the ladder."""

import math

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from scipy.stats import binom

from safedpo.finite import methods
from safedpo.finite.claims.claim import Claim, generator, largest
from safedpo.finite.claims.methods.data import settings, slope_at
from safedpo.finite.optimum import expectation, kl, optimal_policy, optimal_value, tv, unsafe_mass
from safedpo.finite.world import FiniteWorld, random_world
from safedpo.losses import dpo_loss


def _limit_between(world: FiniteWorld, beta: float, share: float = 0.5) -> float:
    """A limit that binds and can be met in every prompt: between the costliest prompt's least cost and what is free."""
    start = expectation(methods.lagrangian_policy(world, 0.0, beta), world.cost)
    least = world.cost.amin(-1)
    return ((1 - share) * least.max() + share * torch.maximum(start.mean(), least.max() + 0.1)).item()


def repo(seed: int, worlds: int) -> float:
    """Each prompt's cost within the limit, a price only where it binds, and no gap to that prompt's dual."""
    differences = []
    for world, _, beta in settings(seed, worlds):
        limit = _limit_between(world, beta)
        policy, lam = (
            methods.OPTIMA["RePO"](world, beta=beta, limit=limit),
            methods.prompt_multipliers(world, beta, limit),
        )
        cost = expectation(policy, world.cost)
        value = expectation(policy, world.reward) - beta * kl(policy, world.ref_logps)
        tilt = (world.reward - lam[:, None] * world.cost) / beta
        dual = beta * (world.ref_logps + tilt).logsumexp(-1) + lam * limit
        differences += [(cost - limit).clamp(min=0), lam * (cost - limit), dual - value, (-lam).clamp(min=0)]
    return largest(*differences)


def ladder(seed: int, worlds: int) -> float:
    """Mean over prompts, each prompt, each answer: values fall; the optima show that both steps are strict."""
    differences = []
    world, beta = random_world(seed, max(min(worlds, 20), 8), 5), 0.5
    limit = max(_limit_between(world, beta, 0.3), 0.0)
    mean, each = (methods.OPTIMA[name](world, beta=beta, limit=limit) for name in ("C-DPO", "RePO"))
    ban = optimal_policy(world, beta)
    costs = [expectation(policy, world.cost) for policy in (mean, each, ban)]
    values = [expectation(p, world.reward) - beta * kl(p, world.ref_logps) for p in (mean, each, ban)]
    differences += [(values[i + 1].mean() - values[i].mean()).clamp(min=0) for i in (0, 1)]
    differences += [(costs[0].mean() - limit).clamp(min=0), (costs[1] - limit).clamp(min=0), costs[2].clamp(min=0)]
    if methods.best_multiplier(world, beta, limit) > 0:
        differences.append((1e-6 - (costs[0] - limit).max()).clamp(min=0))  # safe on average, not in every prompt
    differences.append((1e-12 - unsafe_mass(world, each).max()).clamp(min=0))  # safe in every prompt, not every answer
    bits, tiny = FiniteWorld(world.ref_logps, world.reward, world.unsafe), 1e-9
    for name in ("C-DPO", "RePO"):  # costs 0 and 1, limit to 0: one and the same set
        policy = methods.OPTIMA[name](bits, beta=beta, limit=tiny)
        differences.append((tv(policy, ban).max() / (tiny * world.prompts) - 1).clamp(min=0))
    return largest(*differences, (optimal_value(world, beta) - values[2]))


def mocan(seed: int, worlds: int) -> float:
    """SciPy's minimum of the offline dual gives the price; DPO on the pairs relabelled once has no slope at pi_lambda."""
    differences = []
    for world, pairs, beta in settings(seed, worlds):
        limit = _limit_between(world, beta)
        reference, reward, cost = (table.numpy() for table in (world.ref_logps, world.reward, world.cost))

        def dual(lam: float, reference=reference, reward=reward, cost=cost, beta=beta, limit=limit) -> float:
            return beta * logsumexp(reference + (reward + lam * (limit - cost)) / beta, axis=-1).mean()

        found = minimize_scalar(dual, bounds=(0.0, 200.0), method="bounded", options={"xatol": 1e-10}).x
        policy = methods.OPTIMA["MoCAN"](world, beta=beta, limit=limit)
        lam = methods.best_multiplier(world, beta, limit)
        labelled = methods.relabel(pairs, world.reward - lam * world.cost)
        slope = slope_at(policy, world, labelled, lambda *columns, b=beta: dpo_loss(*columns, beta=b))
        differences += [tv(policy, methods.lagrangian_policy(world, found, beta)), slope]
    return largest(*differences)


def pecan(seed: int, worlds: int) -> float:
    """Log-ratios of the two aligned policies, times beta, are r and c up to a number a prompt: the same optimum."""
    differences = []
    for world, _, beta in settings(seed, worlds):
        helpful, safe = (methods.OPTIMA[name](world, beta=beta) for name in ("DPO-helpful", "DPO-harmless"))
        implicit = methods.implicit_models(world, helpful, safe, beta)
        differences.append(implicit.reward.diff(dim=-1) - world.reward.diff(dim=-1))
        differences.append(implicit.cost - (world.cost - expectation(world.ref_logps, world.cost)[:, None]))
        limit = 0.5 * (world.cost.amin(-1) - expectation(world.ref_logps, world.cost)).mean().item()
        ours = methods.lagrangian_policy(implicit, methods.best_multiplier(implicit, beta, limit), beta)
        differences.append(tv(ours, methods.OPTIMA["PeCAN"](world, beta=beta, limit=limit)))
    return largest(*differences)


def cs_rlhf(seed: int, worlds: int) -> float:
    """The kinked objective at its stated best: the dual's value at min(lambda, lambda*), and no random policy above."""
    differences = []
    for world, _, beta in settings(seed, worlds):
        limit = _limit_between(world, beta)
        best = methods.best_multiplier(world, beta, limit)
        for lam in (0.5 * best, best, 3 * best + 1):
            policy = methods.OPTIMA["CS-RLHF"](world, beta=beta, limit=limit, lam=lam)
            value = methods.penalised_value(world, policy, beta=beta, lam=lam, limit=limit)
            differences.append(value - methods.dual_value(world, min(lam, best), beta, limit))
            noise = torch.randn(500, *policy.shape, generator=generator(seed), dtype=torch.float64)
            noise[250:] *= 0.05
            others = methods.penalised_value(world, (policy + noise).log_softmax(-1), beta=beta, lam=lam, limit=limit)
            differences.append((others.max() - value).clamp(min=0))
    return largest(*differences)


def hc_rlhf(seed: int, worlds: int) -> float:
    """How often a policy exactly at the limit passes the test, by the binomial law, against alpha."""
    excess = []
    for limit in np.linspace(0.05, 0.95, 10):
        for samples in (50, 400, 2000):
            for alpha in (0.01, 0.05, 0.2):
                most = math.floor((limit - methods.confidence_width(0.0, 1.0, samples, alpha)) * samples)
                passes = binom.cdf(most, samples, limit) if most >= 0 else 0.0
                excess.append(max(0.0, passes - alpha))
    return max(excess)


CLAIMS = (
    Claim(
        "method-repo",
        "with a price λ_x for each prompt π_ref e^{(r−λ_x c)/β} meets every prompt's limit and leaves no gap to its dual",
        "RePO (arXiv 2410.19933), derived",
        1e-7,
        repo,
    ),
    Claim(
        "constraint-ladder",
        "mean over prompts ⊃ each prompt ⊃ each answer, strictly for signed costs; with costs 0 and 1 all three meet at d = 0",
        "RePO (arXiv 2410.19933), derived",
        1e-8,
        ladder,
    ),
    Claim(
        "method-mocan",
        "the dual minimised once on the reference and one DPO on relabelled pairs give C-DPO's optimum",
        "CAN (arXiv 2405.19544), derived",
        1e-5,
        mocan,
    ),
    Claim(
        "method-pecan",
        "β log-ratios of a helpful and a safe DPO model stand for r and −c, up to a number a prompt",
        "CAN (arXiv 2405.19544), derived",
        1e-8,
        pecan,
    ),
    Claim(
        "method-cs-rlhf",
        "a penalty λ on the excess alone is exact: for λ ≥ λ* its optimum is C-DPO's, below it is π_λ",
        "CS-RLHF (arXiv 2510.03520), derived",
        1e-7,
        cs_rlhf,
    ),
    Claim(
        "method-hc-rlhf",
        "a policy whose expected cost is at the limit passes the safety test with probability at most α",
        "HC-RLHF (arXiv 2506.08266), with Hoeffding's bound; derived",
        1e-12,
        hc_rlhf,
    ),
)
