"""CS-RLHF: no dual loop, but a penalty on the excess alone, max J_r - lambda ReLU(J_c - d) (arXiv 2510.03520)."""

import torch
from torch import Tensor

from safedpo.finite.methods.checked import checked
from safedpo.finite.methods.expected_cost.dual import best_multiplier, check_limit, expected_cost, lagrangian_policy
from safedpo.finite.methods.expected_cost.lagrangian import policy_gradient
from safedpo.finite.methods.learned import learned_world
from safedpo.finite.methods.outcome import Costs, Outcome
from safedpo.finite.optimum import expectation, kl
from safedpo.finite.pairs import Pairs
from safedpo.finite.world import FiniteWorld


@checked
def penalised_value(world: FiniteWorld, logps: Tensor, *, beta: float, lam: float, limit: float) -> Tensor:
    """E r - beta KL - lambda max(E c - limit, 0), means over prompts, (...).

    >>> from safedpo.finite import six_answers
    >>> world = six_answers()
    >>> round(penalised_value(world, world.ref_logps, beta=0.5, lam=2.0, limit=-0.5).item(), 3)  # .818 - 2 * .5
    -0.182
    """
    value = (expectation(logps, world.reward) - beta * kl(logps, world.ref_logps)).mean(-1)
    return value - lam * (expectation(logps, world.cost).mean(-1) - limit).clamp(min=0)


@checked
def cs_rlhf(
    world: FiniteWorld,
    pairs: Pairs,
    *,
    beta: float,
    seed: int = 0,
    limit: float = 0.0,
    lam: float = 5.0,
    models: FiniteWorld | None = None,
    samples: int | None = 64,
    steps: int = 2000,
    lr: float = 2.0,
) -> Outcome:
    """Policy gradient on that objective with learned reward and cost: the price is `lam` while the (estimated) cost is
    above `limit`, and 0 while it is below. Steps shrink like 1 / sqrt(t) and the last half of the logits is averaged,
    because the objective has a kink exactly where it is best. `InfeasibleLimitError` as in C-DPO.

    >>> from safedpo.finite import population, six_answers, tv
    >>> world = six_answers()
    >>> done = cs_rlhf(world, population(world), beta=0.5, lam=1.0, models=world, samples=None, steps=500, lr=1.0)
    >>> tv(done.logps, cs_rlhf_optimum(world, beta=0.5, lam=1.0)).item() < 0.05
    True
    """
    costs, draw = Costs(), torch.Generator().manual_seed(seed)
    with costs.timed():
        models = learned_world("CS-RLHF's models", world, pairs, costs) if models is None else models
        costs.tables += 3  # the policy and two critics
        check_limit("CS-RLHF", models, limit)
        logits, mean, cost = world.ref_logps.clone(), torch.zeros_like(world.ref_logps), 0.0
        for step in range(steps):
            logps = logits.log_softmax(-1)
            exact = expected_cost(models, logps).item() if samples is None else cost
            price = lam if exact > limit else 0.0
            gradient, cost = policy_gradient(models, logps, price, beta, samples, draw, divided=False)
            logits = torch.where(logps.isneginf(), logps, logits + lr / (1 + step) ** 0.5 * gradient)
            if step >= steps // 2:
                mean += logits / (steps - steps // 2)
    costs.steps += steps
    costs.samples += 0 if samples is None else steps * samples * world.prompts
    return Outcome("CS-RLHF", mean.log_softmax(-1), costs, "arXiv 2510.03520", gradient.norm().item(), lam, (), models)


@checked
def cs_rlhf_optimum(world: FiniteWorld, *, beta: float, limit: float = 0.0, lam: float = 5.0) -> Tensor:
    """pi at the price min(lambda, lambda*), (P, A): from lambda* on it is C-DPO's optimum, below it pi_lambda
    [derived].

    >>> from safedpo.finite import optimal_policy, six_answers, tv
    >>> free = cs_rlhf_optimum(six_answers(), beta=0.5, lam=0.0)  # no penalty, no constraint
    >>> tv(free, optimal_policy(six_answers(), 0.5, penalty=0.0)).item() < 1e-9
    True
    """
    return lagrangian_policy(world, min(lam, best_multiplier(world, beta, limit)), beta)
