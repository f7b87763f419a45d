"""Methods that train twice: a helpful (or a safe) table first, then a second one that starts from it.

They learn safety from *safer* labels, which must follow Bradley-Terry under the cost for the optima below to hold
(`methods.safer_by_cost`). All closed forms are derived, in the notation r for reward and c for cost.
"""

import math

import torch
from torch import Tensor

from safedpo.errors import UserError
from safedpo.finite.fit import NotConvergedError
from safedpo.finite.methods.expected_cost.dual import InfeasibleLimitError, lagrangian_policy
from safedpo.finite.methods.outcome import (
    STEPS,
    TOLERANCE,
    Costs,
    FitSettings,
    Outcome,
    dpo,
    logistic,
    sample_answers,
    train,
)
from safedpo.finite.optimum import unsafe_mass
from safedpo.finite.pairs import Pairs
from safedpo.finite.world import FiniteWorld
from safedpo.losses import check_beta


def sacpo(
    world: FiniteWorld,
    pairs: Pairs,
    *,
    beta: float,
    seed: int = 0,
    lam: float = 1.0,
    steps: int = STEPS,
    tolerance: float = TOLERANCE,
) -> Outcome:
    """SACPO: DPO on helpful pairs at beta -> pi_r; then DPO on safer pairs at beta / lambda, with pi_r as reference.

    pi_ref exp((r - lambda c) / beta) = pi_r exp(-lambda c / beta): two unconstrained steps reach the optimum of C-DPO
    at that lambda (arXiv 2404.11049; the factorisation is derived).

    >>> from safedpo.finite import population, six_answers, tv
    >>> from safedpo.finite.methods import safer_by_cost
    >>> world = six_answers()
    >>> done = sacpo(world, safer_by_cost(world, population(world)), beta=0.5, lam=1.0)
    >>> tv(done.logps, sacpo_optimum(world, beta=0.5, lam=1.0)).item() < 1e-3, done.costs.tables
    (True, 2)
    """
    costs = Costs(tables=2)
    costs.use_labels(pairs, "better", "safer")
    with costs.timed():
        _, logps, norm = _two_steps("SACPO", world, pairs, costs, beta, lam, steps, tolerance)
    return Outcome("SACPO", logps, costs, "arXiv 2404.11049", norm, multiplier=lam)


def sacpo_optimum(world: FiniteWorld, *, beta: float, lam: float = 1.0) -> Tensor:
    """pi_ref exp((r - lambda c) / beta) / Z, (P, A) [derived]."""
    return lagrangian_policy(world, lam, beta)


def p_sacpo(
    world: FiniteWorld,
    pairs: Pairs,
    *,
    beta: float,
    seed: int = 0,
    lam: float = 10.0,
    q: float = 0.5,
    steps: int = STEPS,
    tolerance: float = TOLERANCE,
) -> Outcome:
    """P-SACPO: theta = (1 - q) theta_helpful + q theta_SACPO, weights averaged instead of trained for every lambda.

    The logits of a table are its weights, so here the average is pi_r^(1 - q) pi_SACPO^q: *exactly* SACPO at q lambda
    [derived]. For a network it is only near; arXiv 2404.11049 uses q in {.25, .5, .75} on its strongest model.
    """
    costs = Costs(tables=2)
    costs.use_labels(pairs, "better", "safer")
    with costs.timed():
        helpful, safer, norm = _two_steps("P-SACPO", world, pairs, costs, beta, lam, steps, tolerance)
        logps = torch.where(helpful.isneginf(), helpful, (1 - q) * helpful + q * safer).log_softmax(-1)
    return Outcome("P-SACPO", logps, costs, "arXiv 2404.11049, section 4", norm, multiplier=lam)


def p_sacpo_optimum(world: FiniteWorld, *, beta: float, lam: float = 10.0, q: float = 0.5) -> Tensor:
    """SACPO's optimum at q lambda, (P, A) [derived]."""
    return lagrangian_policy(world, q * lam, beta)


def modpo(
    world: FiniteWorld,
    pairs: Pairs,
    *,
    beta: float,
    seed: int = 0,
    weight: float = 0.5,
    steps: int = STEPS,
    tolerance: float = TOLERANCE,
) -> Outcome:
    """MODPO: -log sigmoid((1 / w)[m - (1 - w)(m_safe(chosen) - m_safe(rejected))]) on helpful pairs, w = `weight` on
    reward, m_safe = beta log(pi_safe / pi_ref) the implicit reward of a DPO on safer pairs (arXiv 2310.03708).

    It is DPO at beta / w with the reference pi_ref exp((1 - w) m_safe / beta) [derived].
    """
    _check_between("weight", weight)
    costs = Costs(tables=2)
    costs.use_labels(pairs, "better", "safer")
    with costs.timed():
        safer, _ = dpo("MODPO, safe stage", world, pairs.transform("harmless"), costs, beta, steps, tolerance)
        shifted = torch.where(safer.isneginf(), safer, world.ref_logps + (1 - weight) * (safer - world.ref_logps))
        own: FitSettings = {"reference": shifted, "start": world.ref_logps}
        logps, norm = dpo("MODPO", world, pairs, costs, beta / weight, steps, tolerance, **own)
    return Outcome("MODPO", logps, costs, "arXiv 2310.03708", norm)


def modpo_optimum(world: FiniteWorld, *, beta: float, weight: float = 0.5) -> Tensor:
    """pi_ref exp((w r - (1 - w) c) / beta) / Z, (P, A) [derived]."""
    return (world.ref_logps + (weight * world.reward - (1 - weight) * world.cost) / beta).log_softmax(-1)


def pd_dpo(
    world: FiniteWorld,
    pairs: Pairs,
    *,
    beta: float,
    seed: int = 0,
    limit: float = 0.05,
    samples: int = 4000,
    rounds: int = 60,
    steps: int = 400,
    tolerance: float = 0.01,
) -> Outcome:
    """PD-DPO: SACPO's second stage, with lambda found by projected subgradient on sampled binary cost labels.

    Its loss, -log sigmoid((1 / lambda)[beta log pi_r/pi_ref - beta log pi/pi_ref](costlier) - same(cheaper)) (derived
    from the reviewers' description of arXiv 2510.05703), is that of SACPO: pi_ref cancels (`pd_dpo_loss`). `limit`
    bounds P(unsafe), estimated from `samples` answers a round; lambda <- [lambda + eta (estimate - limit)]+. It ends
    when that step, over eta, is below `tolerance`; else `NotConvergedError`.
    """
    if not limit > 0:
        raise InfeasibleLimitError("PD-DPO", limit, 0.0)
    costs, draw, history, lam, eta = Costs(tables=2), torch.Generator().manual_seed(seed), [], 1.0, 4 * beta
    costs.use_labels(pairs, "better", "safer")
    with costs.timed():
        helpful, _ = dpo("PD-DPO, helpful stage", world, pairs, costs, beta)
        logps, prefer_safer = helpful, pairs.transform("harmless")
        for _ in range(rounds):
            own: FitSettings = {"reference": helpful, "start": logps}
            logps, norm = dpo("PD-DPO", world, prefer_safer, costs, beta / lam, steps, None, **own)
            answers = sample_answers(logps, samples // world.prompts, draw)
            costs.samples += answers.numel()
            unsafe = world.unsafe.gather(1, answers).double().mean().item()
            history.append({"lambda": lam, "cost": unsafe, "unsafe_mass": unsafe_mass(world, logps).mean().item()})
            moved = max(lam + eta * (unsafe - limit), 1e-3)
            if abs(moved - lam) / eta <= tolerance:
                return Outcome("PD-DPO", logps, costs, "arXiv 2510.05703 (derived)", norm, lam, tuple(history))
            lam = moved
    raise NotConvergedError(f"PD-DPO's loop over lambda (now {lam:.3g})", rounds, abs(unsafe - limit), tolerance)


def pd_dpo_optimum(world: FiniteWorld, *, beta: float, lam: float) -> Tensor:
    """pi_ref exp((r - lambda c) / beta) / Z, (P, A), at whatever lambda its loop ends on [derived]."""
    return lagrangian_policy(world, lam, beta)


def pd_dpo_loss(
    costlier_logps, cheaper_logps, helpful_costlier, helpful_cheaper, ref_costlier, ref_cheaper, *, beta, lam
) -> Tensor:
    """PD-DPO's second-stage loss written out, (B,); every argument (B,) log-probabilities.

    >>> t = lambda *values: [torch.tensor([value]).double() for value in values]
    >>> loss = pd_dpo_loss(*t(-3.0, -2.0, -2.0, -2.5, -1.0, -4.0), beta=0.5, lam=2.0)
    >>> from safedpo.losses import dpo_loss  # SACPO: cheaper chosen, helpful policy as reference, beta / lambda
    >>> torch.allclose(loss, dpo_loss(*t(-2.0, -3.0, -2.5, -2.0), beta=0.25))
    True
    """
    check_beta(beta)
    if not 0 < lam < math.inf:
        raise UserError(f"lambda is {lam}; it must be greater than 0 and finite")
    columns = (costlier_logps, cheaper_logps, helpful_costlier, helpful_cheaper, ref_costlier, ref_cheaper)
    if len({tuple(column.shape) for column in columns}) > 1:
        raise UserError(f"the log-probabilities have shapes {[tuple(c.shape) for c in columns]}; give six of one")
    costlier = beta * (helpful_costlier - ref_costlier) - beta * (costlier_logps - ref_costlier)
    cheaper = beta * (helpful_cheaper - ref_cheaper) - beta * (cheaper_logps - ref_cheaper)
    return -torch.nn.functional.logsigmoid((costlier - cheaper) / lam)


def _two_steps(method, world: FiniteWorld, pairs: Pairs, costs: Costs, beta, lam, steps, tolerance):
    """pi_r, the policy after both stages, and the second stage's gradient norm."""
    if not lam > 0:
        raise UserError(f"lambda is {lam}; the second temperature beta / lambda needs it above 0")
    helpful, _ = train(
        f"{method}, helpful stage",
        world,
        pairs,
        costs,
        shape=logistic(beta),
        beta=beta,
        steps=steps,
        tolerance=tolerance,
    )
    both, norm = train(
        f"{method}, safe stage",
        world,
        pairs.transform("harmless"),
        costs,
        shape=logistic(beta / lam),
        beta=beta / lam,
        steps=steps,
        tolerance=tolerance,
        reference=helpful,
    )
    return helpful, both, norm


def _check_between(name: str, value: float) -> None:
    if not 0 < value <= 1:
        raise UserError(f"{name} is {value}; it must be greater than 0 and at most 1")
