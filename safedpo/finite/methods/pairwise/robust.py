"""Losses that expect wrong labels or other data: conservative and robust DPO, KLDPO and WDPO."""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from safedpo.finite.methods.checked import checked
from safedpo.finite.methods.outcome import STEPS, TOLERANCE, Costs, Outcome, descend, logistic, step_size
from safedpo.finite.methods.pairwise.orderings import LABELS, ordered
from safedpo.finite.pairs import Pairs
from safedpo.finite.slopes import cdpo_slope, robust_dpo_slope
from safedpo.finite.world import FiniteWorld

KLDPO_CLIP = 10.0  # of the published weights


@checked
def cdpo(
    world: FiniteWorld,
    pairs: Pairs,
    *,
    beta: float,
    seed: int = 0,
    flip_rate: float = 0.1,
    rule: str = "helpful",
    steps: int = STEPS,
    tolerance: float = TOLERANCE,
) -> Outcome:
    """Conservative DPO: -(1 - e) log sigmoid(m) - e log sigmoid(-m); finite margins even where a label is certain.

    >>> from safedpo.finite import population, six_answers
    >>> done = cdpo(six_answers(), population(six_answers()), beta=0.5, flip_rate=0.1, rule="safedpo", steps=1000)
    >>> change = done.logps - six_answers().ref_logps
    >>> round((0.5 * (change[0, :4] - change[0, 4:].mean())).max().item(), 2) < 10  # finite, where T's labels are certain
    True
    """
    loss = _with(cdpo_slope, flip_rate)
    return ordered("cDPO", "label smoothing, as in TRL", world, pairs, rule, beta, seed, steps, tolerance, loss=loss)


@checked
def robust_dpo(
    world: FiniteWorld,
    pairs: Pairs,
    *,
    beta: float,
    seed: int = 0,
    flip_rate: float = 0.1,
    rule: str = "helpful",
    steps: int = STEPS,
    tolerance: float = TOLERANCE,
) -> Outcome:
    """Robust DPO: [-(1 - e) log sigmoid(m) + e log sigmoid(-m)] / (1 - 2e), unbiased under flips of probability e.

    Where a label is certain and no flip happened (clean SU pairs after T) its loss falls without bound along a slope
    that never flattens: `NotConvergedError` carries the gradient norm that stays.

    >>> from safedpo.finite import flip_bits, population, six_answers, tv
    >>> from safedpo.finite.methods.pairwise.orderings import dpo_helpful_optimum
    >>> done = robust_dpo(six_answers(), population(six_answers()), beta=0.5, flip_rate=0.0, steps=1000)  # then it is DPO
    >>> tv(done.logps, dpo_helpful_optimum(six_answers(), beta=0.5)).item() < 1e-3
    True
    """
    loss = _with(robust_dpo_slope, flip_rate)
    return ordered("robust DPO", "arXiv 2403.00409", world, pairs, rule, beta, seed, steps, tolerance, loss=loss)


@checked
def kldpo(
    world: FiniteWorld,
    pairs: Pairs,
    *,
    beta: float,
    seed: int = 0,
    tau: float = 1.0,
    rule: str = "helpful",
    steps: int = STEPS,
    tolerance: float = TOLERANCE,
) -> Outcome:
    """KLDPO: mean of w l with w = exp((l - mean l) / tau), clipped at 10 and detached (the published code's weights,
    not normalised: their unclipped mean is at least 1). It looks at the hardest pairs; as tau grows it is DPO.

    >>> from safedpo.finite import population, six_answers, tv
    >>> from safedpo.finite.methods.pairwise.orderings import dpo_helpful_optimum
    >>> done = kldpo(six_answers(), population(six_answers()), beta=0.5, tau=1e9, steps=300)
    >>> tv(done.logps, dpo_helpful_optimum(six_answers(), beta=0.5)).item() < 0.02
    True
    """

    def objective(losses: Tensor, slopes: Tensor, weight: Tensor) -> Tensor:
        mean = (weight * losses).sum() / weight.sum()
        hard = ((losses - mean) / tau).exp().clamp(max=KLDPO_CLIP).detach()
        return (weight * hard * losses).sum()

    return _batch("KLDPO", "arXiv 2502.01930 (code)", world, pairs, rule, objective, KLDPO_CLIP, beta, steps, tolerance)


@checked
def wdpo(
    world: FiniteWorld,
    pairs: Pairs,
    *,
    beta: float,
    seed: int = 0,
    rho: float = 0.1,
    rule: str = "helpful",
    steps: int = STEPS,
    tolerance: float = TOLERANCE,
) -> Outcome:
    """WDPO: mean l + rho sqrt(mean |grad l|^2). The gradient is taken in the table's own logits, where one pair has
    |grad l|^2 = 2 (dl/dgap)^2 [derived: a table has no embedding to differentiate].

    With exact Bradley-Terry labels its optimum is that of DPO for every rho [derived]: the squared slope is a proper
    scoring rule too (Brier's), least at the true probability. On sampled pairs the two part.

    >>> from safedpo.finite import population, six_answers, tv
    >>> from safedpo.finite.methods.pairwise.orderings import dpo_helpful_optimum
    >>> done = wdpo(six_answers(), population(six_answers()), beta=0.5, rho=0.5, steps=300)
    >>> tv(done.logps, dpo_helpful_optimum(six_answers(), beta=0.5)).item() < 1e-2
    True
    """

    def objective(losses: Tensor, slopes: Tensor, weight: Tensor) -> Tensor:
        total = weight.sum()
        return (weight * losses).sum() + rho * (total * (weight * 2 * slopes**2).sum()).sqrt()

    return _batch("WDPO", "arXiv 2502.01930 (paper)", world, pairs, rule, objective, 1 + rho, beta, steps, tolerance)


def _batch(method, source, world, pairs, rule, objective, steeper, beta, steps, tolerance) -> Outcome:
    """Autograd descent for objectives that look at all pairs at once; `steeper` bounds how much a pair may gain."""
    costs, data = Costs(tables=1), pairs.transform(rule)
    costs.use_labels(pairs, *LABELS[rule])

    def of_ratio(ratio: Tensor) -> Tensor:
        gap = ratio[data.prompt, data.chosen] - ratio[data.prompt, data.rejected]
        return objective(-logsigmoid(beta * gap), beta * torch.sigmoid(-beta * gap), data.weight)

    lr, named = step_size(world, data, logistic(beta).curvature * steeper), f"{method} at beta={beta:.4g}"
    with costs.timed():
        logps, norm = descend(named, world, data, of_ratio, costs, lr=lr, steep=beta, steps=steps, tolerance=tolerance)
    return Outcome(method, logps, costs, source, norm)


def _with(slope, flip_rate: float):
    def named(beta, delta, chosen_unsafe, rejected_unsafe):
        return slope(beta, delta, chosen_unsafe, rejected_unsafe, flip_rate=flip_rate)

    return named
