"""Methods that train one table by one loss on ordered pairs: DPO on four orderings, SafeDPO, and the losses around it.

`pairs` are raw preference data: chosen is the more helpful answer. Under `rule="helpful"` a loss sees them as they
are (as published); `rule="safedpo"` puts T in front. The optimum of each stands below it, for data in which every
pair of answers is equally frequent and labels follow Bradley-Terry.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from safedpo.finite.fit import DivergedError, NotConvergedError
from safedpo.finite.methods.outcome import STEPS, TOLERANCE, Costs, Outcome, logistic, squared, step_size, train
from safedpo.finite.optimum import optimal_policy
from safedpo.finite.pairs import Pairs
from safedpo.finite.slopes import bfpo_slope, cdpo_slope, robust_dpo_slope
from safedpo.finite.world import FiniteWorld

LABELS = {
    "helpful": ("better",),
    "harmless": ("safer",),
    "safebetter": ("better", "bits"),
    "safedpo": ("better", "bits"),
}
KLDPO_CLIP = 10.0  # of the published weights


def _ordered(
    method: str,
    source: str,
    world: FiniteWorld,
    pairs: Pairs,
    rule: str,
    shape,
    beta: float,
    seed: int,
    steps: int,
    tolerance: float,
    **settings,
) -> Outcome:
    costs = Costs(tables=1)
    costs.use_labels(pairs, *LABELS[rule])
    with costs.timed():
        logps, norm = train(
            method,
            world,
            pairs.transform(rule),
            costs,
            shape=shape,
            beta=beta,
            steps=steps,
            tolerance=tolerance,
            seeds=(seed,),
            **settings,
        )
    return Outcome(method, logps, costs, source, norm)


def dpo_helpful(world, pairs, *, beta, seed=0, steps=STEPS, tolerance=TOLERANCE) -> Outcome:
    """DPO on all pairs, the more helpful answer chosen. Optimum pi_ref exp(r / beta) (arXiv 2305.18290, Eq. 4).

    >>> from safedpo.finite import population, six_answers, tv
    >>> done = dpo_helpful(six_answers(), population(six_answers()), beta=0.5)
    >>> tv(done.logps, dpo_helpful_optimum(six_answers(), beta=0.5)).item() < 1e-9
    True
    """
    return _ordered(
        "DPO-helpful", "arXiv 2305.18290, Eq. 7", world, pairs, "helpful", logistic(beta), beta, seed, steps, tolerance
    )


def dpo_helpful_optimum(world: FiniteWorld, *, beta: float) -> Tensor:
    """pi_ref exp(r / beta) / Z, (P, A)."""
    return optimal_policy(world, beta, penalty=0.0)


def dpo_harmless(world, pairs, *, beta, seed=0, steps=STEPS, tolerance=TOLERANCE) -> Outcome:
    """DPO on all pairs, the safer answer chosen. Optimum pi_ref exp(-c / beta) where safer labels follow the cost
    (`methods.safer_by_cost`); where a safe answer surely is the safer one, that policy without its unsafe answers."""
    return _ordered(
        "DPO-harmless",
        "arXiv 2505.20065, section 5",
        world,
        pairs,
        "harmless",
        logistic(beta),
        beta,
        seed,
        steps,
        tolerance,
    )


def dpo_harmless_optimum(world: FiniteWorld, *, beta: float) -> Tensor:
    """pi_ref exp(-c / beta) / Z, (P, A) [derived: Bradley-Terry labels under -c]."""
    return (world.ref_logps - world.cost / beta).log_softmax(-1)


def dpo_safebetter(world, pairs, *, beta, seed=0, steps=STEPS, tolerance=TOLERANCE) -> Outcome:
    """DPO on the pairs whose more helpful answer is safe. With exact data its optimum is pi* as well [derived]: each
    unsafe answer sometimes loses to a safe one, and nothing speaks for it."""
    return _ordered(
        "DPO-safebetter",
        "arXiv 2505.20065, section 5",
        world,
        pairs,
        "safebetter",
        logistic(beta),
        beta,
        seed,
        steps,
        tolerance,
    )


def safe_optimum(world: FiniteWorld, *, beta: float, **own) -> Tensor:
    """pi* of Eq. 9, the optimum of SafeDPO for every delta (Prop. 4.4), of T only and of DPO-safebetter, (P, A)."""
    return optimal_policy(world, beta)


def t_only(world, pairs, *, beta, seed=0, steps=STEPS, tolerance=TOLERANCE) -> Outcome:
    """SafeDPO without its margin: T, then DPO (Eq. 11)."""
    return _ordered(
        "T only", "arXiv 2505.20065, Eq. 11", world, pairs, "safedpo", logistic(beta), beta, seed, steps, tolerance
    )


def delta_only(world, pairs, *, beta, seed=0, delta=2.0, steps=STEPS, tolerance=TOLERANCE) -> Outcome:
    """SafeDPO without T: the margin on helpful pairs. Optimum pi_ref exp((r - delta h) / beta) [derived]."""
    done = _ordered(
        "Delta only",
        "arXiv 2505.20065, Eq. 12 without T",
        world,
        pairs,
        "helpful",
        logistic(beta),
        beta,
        seed,
        steps,
        tolerance,
        delta=delta,
    )
    done.costs.use_labels(pairs, "better", "bits")
    return done


def delta_only_optimum(world: FiniteWorld, *, beta: float, delta: float = 2.0) -> Tensor:
    """pi_C of Prop. 4.2 with C = delta, (P, A) [derived]."""
    return optimal_policy(world, beta, penalty=delta)


def safedpo(world, pairs, *, beta, seed=0, delta=2.0, steps=STEPS, tolerance=TOLERANCE) -> Outcome:
    """SafeDPO: T, then DPO with the margin delta on safe-over-unsafe pairs (Eq. 12). Optimum pi* for every delta.

    >>> from safedpo.finite import population, six_answers, unsafe_mass
    >>> done = safedpo(six_answers(), population(six_answers()), beta=0.5, delta=5.0)
    >>> unsafe_mass(six_answers(), done.logps).item() < 1e-6, done.costs.tables, done.costs.samples
    (True, 1, 0)
    """
    return _ordered(
        "SafeDPO",
        "arXiv 2505.20065, Eq. 12",
        world,
        pairs,
        "safedpo",
        logistic(beta),
        beta,
        seed,
        steps,
        tolerance,
        delta=delta,
    )


def ipo(world, pairs, *, beta, seed=0, rule="helpful", steps=STEPS, tolerance=TOLERANCE) -> Outcome:
    """IPO: (gap - 1 / (2 beta))^2; its optimum is finite even where a label is certain."""
    return _ordered(
        "IPO", "arXiv 2310.12036, Eq. 17", world, pairs, rule, squared(beta), beta, seed, steps, tolerance, loss="ipo"
    )


def ipo_optimum(world: FiniteWorld, *, beta: float, rule: str = "helpful") -> Tensor:
    """pi_ref(y) exp(mean over y' of P(y beats y') / beta) (arXiv 2310.12036: Psi = identity, y' uniform), (P, A).

    With T [derived] safe beats unsafe surely, unsafe pairs are gone, and the mean becomes a least-squares solution.
    """
    wins = _wins(world)
    certain = (~world.unsafe[:, :, None] & world.unsafe[:, None]).double()  # row safe, column unsafe
    weight = torch.ones_like(wins)
    if rule == "safedpo":
        mixed = world.unsafe[:, :, None] != world.unsafe[:, None]
        wins, weight = torch.where(mixed, certain, wins), (~(world.unsafe[:, :, None] & world.unsafe[:, None])).double()
    return _least_squares(world, (wins - 0.5) / beta, weight)


def bfpo(world, pairs, *, beta, seed=0, steps=STEPS, tolerance=TOLERANCE) -> Outcome:
    """BFPO: (gap - target / beta)^2, target 1/2 (SS), 1 (SU), -1 (US), -1/2 (UU) on helpful pairs [targets derived
    from the method's constants]."""
    done = _ordered(
        "BFPO",
        "arXiv 2408.15313",
        world,
        pairs,
        "helpful",
        squared(beta),
        beta,
        seed,
        steps,
        tolerance,
        loss=bfpo_slope,
    )
    done.costs.use_labels(pairs, "better", "bits")
    return done


def bfpo_optimum(world: FiniteWorld, *, beta: float) -> Tensor:
    """Least squares of the pairwise targets: (p - 1/2) / beta among safe answers, 1 / beta for safe over unsafe, and
    the *reverse* (1/2 - p) / beta among unsafe ones, (P, A) [derived]. Finite, so unsafe mass remains."""
    h = world.unsafe
    target = torch.where(h[:, :, None] & h[:, None], 0.5 - _wins(world), _wins(world) - 0.5)
    mixed = h[:, None].double() - h[:, :, None].double()  # 1: row safe, column unsafe
    return _least_squares(world, torch.where(mixed != 0, mixed, target) / beta, torch.ones_like(target))


def cdpo(world, pairs, *, beta, seed=0, flip_rate=0.1, rule="helpful", steps=STEPS, tolerance=TOLERANCE) -> Outcome:
    """Conservative DPO: -(1 - e) log sigmoid(m) - e log sigmoid(-m); finite margins even where a label is certain."""
    return _ordered(
        "cDPO",
        "label smoothing, as in TRL",
        world,
        pairs,
        rule,
        logistic(beta),
        beta,
        seed,
        steps,
        tolerance,
        loss=_with(cdpo_slope, flip_rate),
    )


def robust_dpo(
    world, pairs, *, beta, seed=0, flip_rate=0.1, rule="helpful", steps=STEPS, tolerance=TOLERANCE
) -> Outcome:
    """Robust DPO: [-(1 - e) log sigmoid(m) + e log sigmoid(-m)] / (1 - 2e), unbiased under flips of probability e.

    Where a label is certain and no flip happened (clean SU pairs after T) its loss falls without bound along a slope
    that never flattens: `NotConvergedError` carries the gradient norm that stays.
    """
    return _ordered(
        "robust DPO",
        "arXiv 2403.00409",
        world,
        pairs,
        rule,
        logistic(beta),
        beta,
        seed,
        steps,
        tolerance,
        loss=_with(robust_dpo_slope, flip_rate),
    )


def see_dpo(world, pairs, *, beta, seed=0, gamma=0.1, rule="helpful", steps=STEPS, tolerance=TOLERANCE) -> Outcome:
    """SEE-DPO: an entropy bonus gamma, -log sigmoid((beta + gamma) [log pi_w - log pi_l] - beta [ref_w - ref_l])
    [derived for responses; published for diffusion]. It is DPO at beta + gamma from a flattened reference."""
    total = beta + gamma
    return _ordered(
        "SEE-DPO",
        "arXiv 2411.04712 (derived)",
        world,
        pairs,
        rule,
        logistic(total),
        total,
        seed,
        steps,
        tolerance,
        reference=_flattened(world, beta / total),
        start=world.ref_logps,
    )


def see_dpo_optimum(world: FiniteWorld, *, beta: float, gamma: float = 0.1) -> Tensor:
    """pi_ref^(beta / (beta + gamma)) exp(r / (beta + gamma)) / Z, (P, A) [derived]."""
    return (_flattened(world, beta / (beta + gamma)) + world.reward / (beta + gamma)).log_softmax(-1)


def kldpo(world, pairs, *, beta, seed=0, tau=1.0, rule="helpful", steps=STEPS, tolerance=TOLERANCE) -> Outcome:
    """KLDPO: mean of w l with w = exp((l - mean l) / tau), clipped at 10 and detached (the published code's weights,
    not normalised: their unclipped mean is at least 1). It looks at the hardest pairs; as tau grows it is DPO."""

    def objective(losses: Tensor, slopes: Tensor, weight: Tensor) -> Tensor:
        mean = (weight * losses).sum() / weight.sum()
        hard = ((losses - mean) / tau).exp().clamp(max=KLDPO_CLIP).detach()
        return (weight * hard * losses).sum()

    return _batch("KLDPO", "arXiv 2502.01930 (code)", world, pairs, rule, objective, KLDPO_CLIP, beta, steps, tolerance)


def wdpo(world, pairs, *, beta, seed=0, rho=0.1, rule="helpful", steps=STEPS, tolerance=TOLERANCE) -> Outcome:
    """WDPO: mean l + rho sqrt(mean |grad l|^2). The gradient is taken in the table's own logits, where one pair has
    |grad l|^2 = 2 (dl/dgap)^2 [derived: a table has no embedding to differentiate].

    With exact Bradley-Terry labels its optimum is that of DPO for every rho [derived]: the squared slope is a proper
    scoring rule too (Brier's), least at the true probability. On sampled pairs the two part.
    """

    def objective(losses: Tensor, slopes: Tensor, weight: Tensor) -> Tensor:
        total = weight.sum()
        return (weight * losses).sum() + rho * (total * (weight * 2 * slopes**2).sum()).sqrt()

    return _batch("WDPO", "arXiv 2502.01930 (paper)", world, pairs, rule, objective, 1 + rho, beta, steps, tolerance)


def _batch(method, source, world, pairs, rule, objective, steeper, beta, steps, tolerance) -> Outcome:
    """Autograd descent for objectives that look at all pairs at once; `steeper` bounds how much a pair may gain."""
    costs, data = Costs(tables=1), pairs.transform(rule)
    costs.use_labels(pairs, *LABELS[rule])
    lr = step_size(world, data, logistic(beta).curvature * steeper)
    logits = torch.zeros_like(world.ref_logps, requires_grad=True)
    with costs.timed():
        for step in range(steps):
            gap = logits[data.prompt, data.chosen] - logits[data.prompt, data.rejected]
            value = objective(-logsigmoid(beta * gap), beta * torch.sigmoid(-beta * gap), data.weight)
            (gradient,) = torch.autograd.grad(value, logits)
            if not gradient.isfinite().all():
                raise DivergedError(f"{method} at beta={beta:.4g}", step)
            logits.data -= lr * gradient
    costs.steps, norm, limit = steps, gradient.norm().item(), tolerance * beta * data.weight.sum().item()
    if norm > limit:
        raise NotConvergedError(f"{method} at beta={beta:.4g}", steps, norm, limit)
    return Outcome(method, (world.ref_logps + logits.detach()).log_softmax(-1), costs, source, norm)


def _with(slope, flip_rate: float):
    def named(beta, delta, chosen_unsafe, rejected_unsafe):
        return slope(beta, delta, chosen_unsafe, rejected_unsafe, flip_rate=flip_rate)

    return named


def _wins(world: FiniteWorld) -> Tensor:
    """P(row beats column) under Bradley-Terry, (P, A, A)."""
    return (world.reward[:, :, None] - world.reward[:, None]).sigmoid()


def _flattened(world: FiniteWorld, power: float) -> Tensor:
    return torch.where(world.ref_logps.isneginf(), -math.inf, power * world.ref_logps)


def _least_squares(world: FiniteWorld, target: Tensor, weight: Tensor) -> Tensor:
    """The policy whose log-ratios fit the pairwise gaps `target` (P, A, A) best: Laplacian z = weighted row sums."""
    weight = weight * (1 - torch.eye(world.answers, dtype=weight.dtype))
    laplacian = torch.diag_embed(weight.sum(-1)) - weight
    ratio = torch.linalg.pinv(laplacian) @ (weight * target).sum(-1, keepdim=True)
    return (world.ref_logps + ratio[..., 0]).log_softmax(-1)
