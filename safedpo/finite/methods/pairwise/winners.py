"""Stable PO: DPO that may not trade the winner's own probability for a wider gap."""

import torch
from torch import Tensor

from safedpo.errors import UserError
from safedpo.finite.methods.checked import checked
from safedpo.finite.methods.outcome import TOLERANCE, Costs, Outcome, cautious_step, descend, logistic
from safedpo.finite.methods.pairwise.orderings import LABELS
from safedpo.finite.pairs import Pairs, pairs_loss, population
from safedpo.finite.world import FiniteWorld, same_shape

ITERATIONS = 500  # at most; each moves a logit by at most LARGEST_STEP nats
LARGEST_STEP = 2.0


@checked
def winner_weight(world: FiniteWorld, pairs: Pairs) -> Tensor:
    """The total weight with which each answer is chosen, (P, A): the weights of the supervised (SFT) loss.

    >>> from safedpo.finite import population, six_answers
    >>> round(winner_weight(six_answers(), population(six_answers())).sum().item(), 9)
    15.0
    """
    weight = torch.zeros_like(world.ref_logps)
    return weight.index_put((pairs.prompt, pairs.chosen), pairs.weight, accumulate=True)


@checked
def stable_po(
    world: FiniteWorld,
    pairs: Pairs,
    *,
    beta: float,
    seed: int = 0,
    gamma: float = 0.1,
    rule: str = "helpful",
    steps: int = 1000,
    tolerance: float = TOLERANCE,
) -> Outcome:
    """Stable PO as a penalty: sum of DPO's losses + gamma (L_SFT - L_SFT*), L_SFT = -sum of log pi(chosen).

    The published problem is bilevel: among the policies that fit the winners nearly best, take the one with the least
    preference loss (arXiv 2507.07723). This penalty is its form as others report it; the slack (or hinge) and the
    size of gamma are not public. Its gradient is DPO's plus gamma times that of supervised training. `UserError`
    for a negative gamma.

    >>> from safedpo.finite import six_answers, tv
    >>> done = stable_po(six_answers(), population(six_answers()), beta=0.5, gamma=0.1, steps=300)
    >>> tv(done.logps, stable_po_optimum(six_answers(), beta=0.5, gamma=0.1)).item() < 1e-3
    True
    """
    data = pairs.transform(rule)
    wins = winner_weight(world, data)

    def objective(ratio: Tensor) -> Tensor:
        logps = torch.where(world.ref_logps.isneginf(), 0.0, world.ref_logps + ratio)  # log pi where it exists
        gap = ratio[data.prompt, data.chosen] - ratio[data.prompt, data.rejected]
        return -(data.weight * torch.nn.functional.logsigmoid(beta * gap)).sum() - gamma * (wins * logps).sum()

    costs = Costs(tables=1)
    costs.use_labels(pairs, *LABELS[rule])
    curvature = 2 * logistic(beta).curvature + gamma / 2
    with costs.timed():
        lr = cautious_step(world, data, curvature)
        logps, norm = descend(
            "Stable PO", world, data, objective, costs, lr=lr, steep=beta + gamma, steps=steps, tolerance=tolerance
        )
    return Outcome("Stable PO", logps, costs, "arXiv 2507.07723 (penalty form, second hand)", norm)


@checked
def stable_po_optimum(world: FiniteWorld, *, beta: float, gamma: float = 0.1) -> Tensor:
    """The minimum of that convex loss on the exact helpful pairs, (P, A), by Newton's method: no closed form known.

    gamma = 0 is DPO's optimum; as gamma grows it goes to the law of the winners.

    >>> from safedpo.finite import six_answers, tv
    >>> world = six_answers()
    >>> wins = winner_weight(world, population(world))
    >>> tv(stable_po_optimum(world, beta=0.5, gamma=1e9), (wins / wins.sum()).log()).item() < 1e-8
    True
    """
    wins = winner_weight(world, population(world))
    total, against = wins.sum(-1, keepdim=True), 1 - torch.eye(world.answers, dtype=torch.float64)
    share = (world.reward[:, :, None] - world.reward[:, None]).sigmoid()
    ratio = torch.zeros_like(world.ref_logps)
    for _ in range(ITERATIONS):
        policy = (world.ref_logps + ratio).softmax(-1)
        held = torch.sigmoid(beta * (ratio[:, :, None] - ratio[:, None]))
        gradient = beta * (against * (held - share)).sum(-1) + gamma * (total * policy - wins)
        curved = beta**2 * against * held * (1 - held)
        spread = torch.diag_embed(policy) - policy[:, :, None] * policy[:, None]
        hessian = torch.diag_embed(curved.sum(-1)) - curved + gamma * total[..., None] * spread
        # A common shift of a prompt's logits changes nothing: the ones give it a curvature of its own.
        try:
            step = torch.linalg.solve(hessian + torch.ones_like(hessian), gradient)
        except torch.linalg.LinAlgError as error:  # the curvature of some answer is below rounding
            raise UserError(
                f"beta is {beta} and gamma {gamma}: the loss is flat to rounding, so its minimum cannot be found; "
                "give larger ones"
            ) from error
        if not step.abs().max() > 1e-13:
            break
        ratio = ratio - step * (LARGEST_STEP / step.abs().amax(-1, keepdim=True).clamp(min=LARGEST_STEP))
    return (world.ref_logps + ratio).log_softmax(-1)


@checked
def preference_loss(world: FiniteWorld, logps: Tensor, *, beta: float) -> Tensor:
    """DPO's loss on the exact helpful pairs, ().

    >>> from safedpo.finite import six_answers
    >>> round(preference_loss(six_answers(), six_answers().ref_logps, beta=0.5).item() / 15, 6)
    0.693147
    """
    return pairs_loss(population(world), logps, world.ref_logps, beta=beta, delta=0.0)


@checked
def winner_loss(world: FiniteWorld, logps: Tensor) -> Tensor:
    """L_SFT = -sum over winners of log pi, on the exact helpful pairs, ().

    >>> from safedpo.finite import six_answers
    >>> uniform = torch.zeros(1, 6).double().log_softmax(-1)
    >>> round((winner_loss(six_answers(), uniform) / 15).exp().item(), 6)  # 15 pairs, log 6 each
    6.0
    """
    same_shape(world, logps=logps)
    return -(winner_weight(world, population(world)) * logps).sum()
