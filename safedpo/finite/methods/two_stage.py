"""Methods that train twice: a helpful (or a safe) table first, then a second one that starts from it.

They learn safety from *safer* labels, which must follow Bradley-Terry under the cost for the optima below to hold
(`methods.safer_by_cost`). All closed forms are derived, in the notation r for reward and c for cost.
"""

import torch
from torch import Tensor

from safedpo.errors import UserError
from safedpo.finite.methods.checked import checked
from safedpo.finite.methods.expected_cost.dual import lagrangian_policy
from safedpo.finite.methods.outcome import STEPS, TOLERANCE, Costs, FitSettings, Outcome, dpo, logistic, train
from safedpo.finite.pairs import Pairs
from safedpo.finite.world import FiniteWorld


@checked
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
    >>> done = sacpo(world, safer_by_cost(world, population(world)), beta=0.5, lam=1.0, steps=1000)
    >>> tv(done.logps, sacpo_optimum(world, beta=0.5, lam=1.0)).item() < 1e-2, done.costs.tables
    (True, 2)
    """
    costs = Costs(tables=2)
    costs.use_labels(pairs, "better", "safer")
    with costs.timed():
        _, logps, norm = _two_steps("SACPO", world, pairs, costs, beta, lam, steps, tolerance)
    return Outcome("SACPO", logps, costs, "arXiv 2404.11049", norm, multiplier=lam)


@checked
def sacpo_optimum(world: FiniteWorld, *, beta: float, lam: float = 1.0) -> Tensor:
    """pi_ref exp((r - lambda c) / beta) / Z, (P, A) [derived].

    >>> from safedpo.finite import six_answers
    >>> change = sacpo_optimum(six_answers(), beta=0.5, lam=2.0) - six_answers().ref_logps
    >>> round((change[0, 0] - change[0, 5]).item(), 9)  # ((1.0 + 2 * 1.0) - (1.3 - 2 * 1.0)) / 0.5
    7.4
    """
    return lagrangian_policy(world, lam, beta)


@checked
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

    >>> from safedpo.finite import population, six_answers, tv
    >>> from safedpo.finite.methods import safer_by_cost
    >>> world = six_answers()
    >>> done = p_sacpo(world, safer_by_cost(world, population(world)), beta=0.5, lam=1.0, q=0.5, steps=1000)
    >>> tv(done.logps, sacpo_optimum(world, beta=0.5, lam=0.5)).item() < 1e-2
    True
    """
    costs = Costs(tables=2)
    costs.use_labels(pairs, "better", "safer")
    with costs.timed():
        helpful, safer, norm = _two_steps("P-SACPO", world, pairs, costs, beta, lam, steps, tolerance)
        logps = torch.where(helpful.isneginf(), helpful, (1 - q) * helpful + q * safer).log_softmax(-1)
    return Outcome("P-SACPO", logps, costs, "arXiv 2404.11049, section 4", norm, multiplier=lam)


@checked
def p_sacpo_optimum(world: FiniteWorld, *, beta: float, lam: float = 10.0, q: float = 0.5) -> Tensor:
    """SACPO's optimum at q lambda, (P, A) [derived].

    >>> from safedpo.finite import optimal_policy, six_answers, tv
    >>> tv(p_sacpo_optimum(six_answers(), beta=0.5, q=0.0), optimal_policy(six_answers(), 0.5, penalty=0.0)).item() < 1e-9
    True
    """
    return lagrangian_policy(world, q * lam, beta)


@checked
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

    >>> from safedpo.finite import population, six_answers, tv
    >>> from safedpo.finite.methods import safer_by_cost
    >>> world = six_answers()
    >>> done = modpo(world, safer_by_cost(world, population(world)), beta=0.5, weight=0.5, steps=1000)
    >>> tv(done.logps, modpo_optimum(world, beta=0.5, weight=0.5)).item() < 1e-2
    True
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


@checked
def modpo_optimum(world: FiniteWorld, *, beta: float, weight: float = 0.5) -> Tensor:
    """pi_ref exp((w r - (1 - w) c) / beta) / Z, (P, A) [derived].

    >>> from safedpo.finite import optimal_policy, six_answers, tv
    >>> tv(modpo_optimum(six_answers(), beta=0.5, weight=1.0), optimal_policy(six_answers(), 0.5, penalty=0.0)).item() < 1e-9
    True
    """
    return (world.ref_logps + (weight * world.reward - (1 - weight) * world.cost) / beta).log_softmax(-1)


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
