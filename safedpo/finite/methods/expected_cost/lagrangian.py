"""Methods that constrain the *expected* cost with a price lambda that moves: C-DPO and Safe RLHF.

Both learn a reward and a cost from the pairs first (`learned`), or are given them as a `FiniteWorld`. Their
constraint is on the cost as that world sees it, and on its mean: unsafe answers stay, paid for by safe ones.
"""

from dataclasses import replace

import torch
from torch import Tensor

from safedpo.errors import UserError
from safedpo.finite.fit import NotConvergedError
from safedpo.finite.methods.checked import checked
from safedpo.finite.methods.expected_cost.dual import (
    SAFE_RLHF_MAX,
    best_multiplier,
    check_limit,
    expected_cost,
    lagrangian_policy,
    largest_dual_curvature,
    safe_rlhf_multiplier,
    safe_rlhf_policy,
)
from safedpo.finite.methods.learned import learned_world
from safedpo.finite.methods.outcome import Costs, Outcome, dpo, sample_answers
from safedpo.finite.optimum import unsafe_mass
from safedpo.finite.pairs import Pairs, concatenate
from safedpo.finite.world import FiniteWorld


@checked
def relabel(pairs: Pairs, scores: Tensor) -> Pairs:
    """Forget who won: each pair in both orders, weighted by Bradley-Terry under `scores` (P, A) (C-DPO's r_lambda).

    >>> from safedpo.finite import population, six_answers
    >>> both = relabel(population(six_answers()), six_answers().reward)
    >>> round(both.weight.sum().item(), 9)
    15.0
    """
    if scores.ndim != 2 or not bool((pairs.prompt < len(scores)).all()):
        raise UserError(f"scores has shape {tuple(scores.shape)}; give (P, A) of the world that the pairs are from")
    wins = (scores[pairs.prompt, pairs.chosen] - scores[pairs.prompt, pairs.rejected]).sigmoid()
    swapped = pairs.swapped(torch.ones(len(pairs), dtype=torch.bool))
    return concatenate([replace(pairs, weight=pairs.weight * wins), replace(swapped, weight=pairs.weight * (1 - wins))])


@checked
def dual_step(lam: float, cost: float, limit: float, eta: float) -> tuple[float, float]:
    """lambda <- [lambda + eta (cost - limit)]+, and the length of that step over eta: the measure to stop by.

    Complementary slackness lambda (cost - limit) is the wrong measure: it is 0 at lambda = 0, however infeasible.

    >>> dual_step(0.0, cost=0.75, limit=0.5, eta=0.5)
    (0.125, 0.25)
    """
    moved = max(lam + eta * (cost - limit), 0.0)
    return moved, abs(moved - lam) / eta


@checked
def c_dpo(
    world: FiniteWorld,
    pairs: Pairs,
    *,
    beta: float,
    seed: int = 0,
    limit: float = 0.0,
    models: FiniteWorld | None = None,
    eta: float | None = None,
    samples: int | None = 4000,
    rounds: int = 80,
    steps: int = 300,
    tolerance: float = 0.03,
) -> Outcome:
    """C-DPO (arXiv 2403.02475; the loop derived from its abstract): relabel, DPO, sample, dual step, until it stands.

    Each of `rounds`: the pairs are relabelled under r - lambda c of `models` (learned from the pairs where not
    given), DPO runs `steps` steps from where it was, `samples` answers estimate the expected cost (None: the exact
    sum), and lambda takes a `dual_step`; by default eta = 4 beta / (c_max - c_min)^2, the reciprocal of the largest
    curvature. It stops when the step over eta is at most `tolerance` (give several standard errors of the estimate).

    Raises `InfeasibleLimitError` for a limit that no policy stays below, `NotConvergedError` with the last step.

    >>> from safedpo.finite import population, six_answers, tv
    >>> world = six_answers()
    >>> done = c_dpo(world, population(world), beta=0.5, models=world, samples=None, rounds=20, steps=100)
    >>> tv(done.logps, c_dpo_optimum(world, beta=0.5)).item() < 0.02, done.costs.samples
    (True, 0)
    """
    costs, draw, history, lam, logps = Costs(), torch.Generator().manual_seed(seed), [], 0.0, world.ref_logps
    with costs.timed():
        models = learned_world("C-DPO's models", world, pairs, costs) if models is None else models
        costs.tables += 1
        check_limit("C-DPO", models, limit)
        # Where all answers cost the same no price moves anything, and any step serves.
        eta = 1 / max(largest_dual_curvature(models, beta), 1e-12) if eta is None else eta
        for _ in range(rounds):
            labelled = relabel(pairs, models.reward - lam * models.cost)
            logps, norm = dpo("C-DPO", world, labelled, costs, beta, steps, None, start=logps)
            cost = _estimate(models, logps, samples, draw, costs)
            moved, still = dual_step(lam, cost, limit, eta)
            history.append({"lambda": lam, "cost": cost, "unsafe_mass": unsafe_mass(world, logps).mean().item()})
            if still <= tolerance:
                source = "arXiv 2403.02475 (derived)"
                return Outcome("C-DPO", logps, costs, source, norm, lam, tuple(history), models)
            lam = moved
    raise NotConvergedError(f"C-DPO's dual loop at eta={eta:.3g}", rounds, still, tolerance, loop="last step over eta")


@checked
def c_dpo_optimum(world: FiniteWorld, *, beta: float, limit: float = 0.0) -> Tensor:
    """pi_lambda at lambda*, (P, A): exact for the reward and cost of `world` (pass the learned one) [derived].

    >>> from safedpo.finite import six_answers, unsafe_mass
    >>> best = c_dpo_optimum(six_answers(), beta=0.5, limit=0.0)
    >>> abs(expected_cost(six_answers(), best).item()) < 1e-6, unsafe_mass(six_answers(), best).item() > 0.1  # not safe
    (True, True)
    """
    return lagrangian_policy(world, best_multiplier(world, beta, limit), beta)


@checked
def safe_rlhf(
    world: FiniteWorld,
    pairs: Pairs,
    *,
    beta: float,
    seed: int = 0,
    limit: float = 0.0,
    lam: float | None = None,
    models: FiniteWorld | None = None,
    eta: float = 0.05,
    samples: int | None = 64,
    steps: int = 4000,
    lr: float = 1.0,
) -> Outcome:
    """Safe RLHF (arXiv 2310.12773): learned reward and cost, then Lagrangian policy gradient with fresh samples.

    Each step draws `samples` answers a prompt (None: exact sums) and ascends the score-function estimate with the
    advantage (A_r - lambda A_c) / (1 + lambda), each stream against its own mean (the critic), -beta log(pi / pi_ref)
    in the reward stream and + in the cost stream; then log lambda <- log lambda + eta (cost - limit) lambda, lambda
    <= 5. `lam` fixes lambda instead. No clipping or GAE: an answer is one action and each sample is used once.

    The policy returned is the average of logits over the last half of the steps. Raises `InfeasibleLimitError` with
    the expected cost at lambda = 5 where that is above `limit`.

    >>> from safedpo.finite import population, six_answers, tv
    >>> world = six_answers()
    >>> done = safe_rlhf(world, population(world), beta=0.5, lam=1.0, models=world, samples=None, steps=500)
    >>> tv(done.logps, safe_rlhf_optimum(world, beta=0.5, lam=1.0)).item() < 1e-3
    True
    """
    costs, draw, history = Costs(), torch.Generator().manual_seed(seed), []
    with costs.timed():
        models = learned_world("Safe RLHF's models", world, pairs, costs) if models is None else models
        costs.tables += 3  # the policy and two critics
        if lam is None:
            safe_rlhf_multiplier(models, beta, limit)  # raises where the limit is out of reach
        price, logits, mean = 1.0 if lam is None else lam, world.ref_logps.clone(), torch.zeros_like(world.ref_logps)
        for step in range(steps):
            logps = logits.log_softmax(-1)
            gradient, cost = policy_gradient(models, logps, price, beta, samples, draw)
            logits = torch.where(logps.isneginf(), logps, logits + lr * gradient)
            price = _risen(price, eta * (cost - limit)) if lam is None else lam
            mean += logits / (steps - steps // 2) if step >= steps // 2 else 0.0
            if step % max(steps // 50, 1) == 0:
                row = {"step": step, "lambda": price, "cost": cost}
                history.append(row | {"unsafe_mass": unsafe_mass(world, logps).mean().item()})
    costs.steps, costs.samples = costs.steps + steps, costs.samples + steps * (samples or 0) * world.prompts
    policy, norm = mean.log_softmax(-1), gradient.norm().item()
    return Outcome("Safe RLHF", policy, costs, "arXiv 2310.12773", norm, price, tuple(history), models)


def _risen(price: float, step: float) -> float:
    """log lambda <- log lambda + step lambda, at most `SAFE_RLHF_MAX`."""
    return min(price * torch.tensor(step * price).exp().item(), SAFE_RLHF_MAX)


@checked
def safe_rlhf_optimum(world: FiniteWorld, *, beta: float, limit: float = 0.0, lam: float | None = None) -> Tensor:
    """pi_ref exp((r - lambda c) / ((1 + lambda) beta)) / Z, (P, A), at `lam` or at the limit [derived].

    >>> from safedpo.finite import six_answers
    >>> round(expected_cost(six_answers(), safe_rlhf_optimum(six_answers(), beta=0.5, limit=-0.5)).item(), 6)
    -0.5
    """
    return safe_rlhf_policy(world, safe_rlhf_multiplier(world, beta, limit) if lam is None else lam, beta)


def _estimate(models: FiniteWorld, logps: Tensor, samples: int | None, draw: torch.Generator, costs: Costs) -> float:
    if samples is None:
        return expected_cost(models, logps).item()
    answers = sample_answers(logps, -(-samples // models.prompts), draw)
    costs.samples += answers.numel()
    return models.cost.gather(1, answers).mean().item()


@checked
def policy_gradient(
    models: FiniteWorld,
    logps: Tensor,
    lam: float,
    beta: float,
    samples: int | None,
    draw: torch.Generator,
    *,
    divided: bool = True,
) -> tuple[Tensor, float]:
    """The gradient of E[advantage] in the logits, (P, A), and the (estimated) expected cost.

    `divided` is Safe RLHF's advantage (A_r - lambda A_c) / (1 + lambda); without it A_r - lambda A_c, and the KL stays
    in the reward stream alone.

    >>> from safedpo.finite import six_answers
    >>> world, none = six_answers(), torch.Generator()
    >>> best = lagrangian_policy(world, 2.0, 0.5)  # where the objective without the division is largest
    >>> policy_gradient(world, best, 2.0, 0.5, None, none, divided=False)[0].abs().max().item() < 1e-12
    True
    """
    log_ratio = torch.where(logps.isneginf(), 0.0, logps - models.ref_logps)
    reward = models.reward - beta * log_ratio
    cost = models.cost + beta * log_ratio if divided else models.cost
    probabilities = logps.exp()
    seen = probabilities  # the share of each answer among the samples
    if samples is not None:
        answers = sample_answers(logps, samples, draw)
        seen = torch.zeros_like(probabilities).scatter_add_(1, answers, torch.ones_like(answers).double() / samples)
    critics = [(seen * stream).sum(-1, keepdim=True) for stream in (reward, cost)]
    advantage = (reward - critics[0] - lam * (cost - critics[1])) / (1 + lam if divided else 1)
    weighted = seen * advantage
    gradient = weighted - probabilities * weighted.sum(-1, keepdim=True)
    return gradient, (seen * models.cost).sum(-1).mean().item()
