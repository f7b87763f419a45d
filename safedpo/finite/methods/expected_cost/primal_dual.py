"""PD-DPO: two stages as SACPO's, and a multiplier that moves until a limit on P(unsafe) holds (arXiv 2510.05703)."""

import math

import torch
from torch import Tensor

from safedpo.errors import UserError
from safedpo.finite.fit import NotConvergedError
from safedpo.finite.methods.checked import checked
from safedpo.finite.methods.expected_cost.dual import InfeasibleLimitError, lagrangian_policy
from safedpo.finite.methods.outcome import Costs, FitSettings, Outcome, dpo, sample_answers
from safedpo.finite.optimum import unsafe_mass
from safedpo.finite.pairs import Pairs
from safedpo.finite.world import FiniteWorld
from safedpo.losses import check_beta


@checked
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

    >>> from safedpo.finite import population, six_answers, tv
    >>> from safedpo.finite.methods import safer_by_cost
    >>> world = six_answers()
    >>> done = pd_dpo(world, safer_by_cost(world, population(world)), beta=0.5, steps=50, tolerance=0.05)
    >>> tv(done.logps, pd_dpo_optimum(world, beta=0.5, lam=done.multiplier)).item() < 0.05
    True
    """
    lost = (world.unsafe | world.ref_logps.isneginf()).all(-1)  # prompts without a safe answer in reach
    if not limit > lost.double().mean().item():
        worst = f"; prompt {int(lost.nonzero()[0])} has no safe answer" if lost.any() else ""
        raise InfeasibleLimitError("PD-DPO", limit, lost.double().mean().item(), worst)
    costs, draw, history, lam, eta = Costs(tables=2), torch.Generator().manual_seed(seed), [], 1.0, 4 * beta
    costs.use_labels(pairs, "better", "safer")
    with costs.timed():
        helpful, _ = dpo("PD-DPO, helpful stage", world, pairs, costs, beta)
        logps, prefer_safer = helpful, pairs.transform("harmless")
        for _ in range(rounds):
            own: FitSettings = {"reference": helpful, "start": logps}
            logps, norm = dpo("PD-DPO", world, prefer_safer, costs, beta / lam, steps, None, **own)
            answers = sample_answers(logps, -(-samples // world.prompts), draw)
            costs.samples += answers.numel()
            unsafe = world.unsafe.gather(1, answers).double().mean().item()
            history.append({"lambda": lam, "cost": unsafe, "unsafe_mass": unsafe_mass(world, logps).mean().item()})
            moved = max(lam + eta * (unsafe - limit), 1e-3)
            if abs(moved - lam) / eta <= tolerance:
                return Outcome("PD-DPO", logps, costs, "arXiv 2510.05703 (derived)", norm, lam, tuple(history))
            lam = moved
    off, title = abs(unsafe - limit), f"PD-DPO's loop over lambda (now {lam:.3g})"
    raise NotConvergedError(title, rounds, off, tolerance, loop="distance to the limit")


@checked
def pd_dpo_optimum(world: FiniteWorld, *, beta: float, lam: float) -> Tensor:
    """pi_ref exp((r - lambda c) / beta) / Z, (P, A), at whatever lambda its loop ends on [derived].

    >>> from safedpo.finite import six_answers
    >>> change = pd_dpo_optimum(six_answers(), beta=0.5, lam=1.0) - six_answers().ref_logps
    >>> round((change[0, 0] - change[0, 5]).item(), 9)  # ((1.0 + 1.0) - (1.3 - 1.0)) / 0.5
    3.4
    """
    return lagrangian_policy(world, lam, beta)


@checked
def pd_dpo_loss(
    costlier_logps, cheaper_logps, helpful_costlier, helpful_cheaper, ref_costlier, ref_cheaper, *, beta, lam
) -> Tensor:
    """PD-DPO's second-stage loss written out, (B,); every argument (B,) log-probabilities.

    Where lambda is so small that the margin over it leaves the dtype, the loss is inf, or 0 on the other side.

    >>> t = lambda *values: [torch.tensor([value]).double() for value in values]
    >>> loss = pd_dpo_loss(*t(-3.0, -2.0, -2.0, -2.5, -1.0, -4.0), beta=0.5, lam=2.0)
    >>> from safedpo.losses import dpo_loss  # SACPO: cheaper chosen, helpful policy as reference, beta / lambda
    >>> torch.allclose(loss, dpo_loss(*t(-2.0, -3.0, -2.5, -2.0), beta=0.25))
    True
    """
    check_beta(beta)
    least = torch.finfo(torch.float32).tiny  # below it 1 / lambda is inf in float32, and 0 / lambda NaN
    if not least <= lam < math.inf:
        raise UserError(f"lambda is {lam}; it must be at least {least:.2g} and finite")
    columns = (costlier_logps, cheaper_logps, helpful_costlier, helpful_cheaper, ref_costlier, ref_cheaper)
    if len({tuple(column.shape) for column in columns}) > 1:
        raise UserError(f"the log-probabilities have shapes {[tuple(c.shape) for c in columns]}; give six of one")
    costlier = beta * (helpful_costlier - ref_costlier) - beta * (costlier_logps - ref_costlier)
    cheaper = beta * (helpful_cheaper - ref_cheaper) - beta * (cheaper_logps - ref_cheaper)
    return -torch.nn.functional.logsigmoid((costlier - cheaper) / lam)
