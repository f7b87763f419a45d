"""CAN: the price is found once, from the reference's own samples; then a single DPO (arXiv 2405.19544).

MoCAN scores answers by learned reward and cost, PeCAN by the log-ratios of two aligned policies.
"""

from dataclasses import replace

import torch
from torch import Tensor

from safedpo.finite.methods.checked import checked
from safedpo.finite.methods.expected_cost.dual import best_multiplier, check_limit, lagrangian_policy
from safedpo.finite.methods.expected_cost.lagrangian import relabel
from safedpo.finite.methods.learned import learned_world
from safedpo.finite.methods.outcome import STEPS, TOLERANCE, Costs, Outcome, dpo, logistic, sample_answers, train
from safedpo.finite.pairs import Pairs
from safedpo.finite.world import FiniteWorld, same_shape


@checked
def mocan(
    world: FiniteWorld,
    pairs: Pairs,
    *,
    beta: float,
    seed: int = 0,
    limit: float = 0.0,
    models: FiniteWorld | None = None,
    samples: int | None = 4000,
    steps: int = STEPS,
    tolerance: float = TOLERANCE,
) -> Outcome:
    """MoCAN: lambda* = argmin of beta E_x log E_ref exp((r - lambda (c - d)) / beta), then DPO on relabelled pairs.

    The expectation is over `samples` answers of the *reference* (None: exact), drawn once; the pairs are relabelled
    with sigmoid(w_1 - w_0), w = r - lambda* c. `InfeasibleLimitError` where the samples' cheapest answers already cost
    more than `limit`.

    >>> from safedpo.finite import population, six_answers, tv
    >>> world = six_answers()
    >>> done = mocan(world, population(world), beta=0.5, models=world, samples=None, steps=500)
    >>> tv(done.logps, mocan_optimum(world, beta=0.5)).item() < 1e-3
    True
    """
    costs = Costs()
    with costs.timed():
        models = learned_world("MoCAN's models", world, pairs, costs) if models is None else models
        costs.tables += 1
        return _once("MoCAN", world, pairs, models, costs, beta, seed, limit, samples, steps, tolerance)


@checked
def mocan_optimum(world: FiniteWorld, *, beta: float, limit: float = 0.0) -> Tensor:
    """pi_lambda at lambda*, (P, A): C-DPO's optimum [derived].

    >>> from safedpo.finite import six_answers
    >>> best = mocan_optimum(six_answers(), beta=0.5)
    >>> abs((best.exp() * six_answers().cost).sum().item()) < 1e-6  # at its limit, 0
    True
    """
    return lagrangian_policy(world, best_multiplier(world, beta, limit), beta)


@checked
def pecan(
    world: FiniteWorld,
    pairs: Pairs,
    *,
    beta: float,
    seed: int = 0,
    limit: float = 0.0,
    samples: int | None = 4000,
    steps: int = STEPS,
    tolerance: float = TOLERANCE,
) -> Outcome:
    """PeCAN: as MoCAN, with beta log(pi_help / pi_ref) for r and -beta log(pi_safe / pi_ref) for c.

    Preferences leave the level of the cost open, so `limit` counts from the reference: E_pi[c] - E_ref[c] <= limit.
    Without the factor beta in front of the log-ratios the target is another policy [derived].

    >>> from safedpo.finite import population, six_answers, tv
    >>> from safedpo.finite.methods.learned import safer_by_cost
    >>> world = six_answers()
    >>> pairs = safer_by_cost(world, population(world))
    >>> done = pecan(world, pairs, beta=0.5, samples=None, steps=400, tolerance=1e-2)
    >>> tv(done.logps, pecan_optimum(world, beta=0.5)).item() < 0.01, done.costs.tables
    (True, 3)
    """
    costs = Costs(tables=2)
    costs.use_labels(pairs, "better", "safer")
    with costs.timed():
        helpful, _ = dpo("PeCAN, helpful model", world, pairs, costs, beta, steps, tolerance)
        safe, _ = dpo("PeCAN, safe model", world, pairs.transform("harmless"), costs, beta, steps, tolerance)
        costs.tables += 1
        models = implicit_models(world, helpful, safe, beta)
        return _once("PeCAN", world, pairs, models, costs, beta, seed, limit, samples, steps, tolerance)


@checked
def implicit_models(world: FiniteWorld, helpful: Tensor, safe: Tensor, beta: float) -> FiniteWorld:
    """The world as two aligned policies see it: r = beta log(helpful / ref), c = -beta log(safe / ref), mean 0 under
    the reference.

    >>> from safedpo.finite import six_answers
    >>> world = six_answers()
    >>> implicit_models(world, world.ref_logps, world.ref_logps, 0.5).cost.abs().max().item()
    0.0
    """
    same_shape(world, helpful=helpful, safe=safe)
    never = world.ref_logps.isneginf()
    reward, cost = (
        beta * torch.where(never, 0.0, logps - world.ref_logps) * sign for logps, sign in ((helpful, 1), (safe, -1))
    )
    cost = cost - (world.ref_logps.exp() * cost).sum(-1, keepdim=True)
    return FiniteWorld(world.ref_logps, reward, cost > 0, cost, world.labels)


@checked
def pecan_optimum(world: FiniteWorld, *, beta: float, limit: float = 0.0) -> Tensor:
    """pi_lambda at the price that holds E_pi[c] - E_ref[c] at `limit`, (P, A) [derived].

    >>> from safedpo.finite import six_answers
    >>> world = six_answers()
    >>> best = pecan_optimum(world, beta=0.5, limit=-0.2)
    >>> round(((best.exp() - world.ref_logps.exp()) * world.cost).sum().item(), 6)
    -0.2
    """
    cost = world.cost - (world.ref_logps.exp() * world.cost).sum(-1, keepdim=True)
    counted = FiniteWorld(world.ref_logps, world.reward, cost > 0, cost)
    return lagrangian_policy(counted, best_multiplier(counted, beta, limit), beta)


def _once(
    method: str,
    world: FiniteWorld,
    pairs: Pairs,
    models: FiniteWorld,
    costs: Costs,
    beta: float,
    seed: int,
    limit: float,
    samples: int | None,
    steps: int,
    tolerance: float,
) -> Outcome:
    """The dual on the reference's samples, then one DPO."""
    seen = models
    if samples is not None:
        answers = sample_answers(world.ref_logps, -(-samples // world.prompts), torch.Generator().manual_seed(seed))
        costs.samples += answers.numel()
        counts = torch.zeros_like(world.ref_logps).scatter_add_(1, answers, torch.ones_like(answers).double())
        seen = replace(models, ref_logps=(counts / counts.sum(-1, keepdim=True)).log())
    check_limit(method, seen, limit)
    lam = best_multiplier(seen, beta, limit)
    labelled = relabel(pairs, models.reward - lam * models.cost)
    logps, norm = train(
        method, world, labelled, costs, shape=logistic(beta), beta=beta, steps=steps, tolerance=tolerance
    )
    return Outcome(method, logps, costs, "arXiv 2405.19544", norm, lam, (), models)
