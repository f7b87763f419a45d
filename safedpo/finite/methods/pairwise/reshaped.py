"""Methods that reshape the two terms of DPO before they meet in the sigmoid: SEE-DPO and B-DPO."""

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from safedpo.errors import UserError
from safedpo.finite.methods.checked import checked
from safedpo.finite.methods.outcome import STEPS, TOLERANCE, Costs, Outcome, cautious_step, descend
from safedpo.finite.methods.pairwise.orderings import LABELS, ordered
from safedpo.finite.optimum import optimal_policy
from safedpo.finite.pairs import Pairs
from safedpo.finite.world import FiniteWorld


@checked
def see_dpo(
    world: FiniteWorld,
    pairs: Pairs,
    *,
    beta: float,
    seed: int = 0,
    gamma: float = 0.1,
    rule: str = "helpful",
    steps: int = STEPS,
    tolerance: float = TOLERANCE,
) -> Outcome:
    """SEE-DPO: an entropy bonus gamma, -log sigmoid((beta + gamma) [log pi_w - log pi_l] - beta [ref_w - ref_l])
    [derived for responses; published for diffusion]. It is DPO at beta + gamma from a flattened reference.

    >>> from safedpo.finite import population, six_answers, tv
    >>> done = see_dpo(six_answers(), population(six_answers()), beta=0.5, gamma=0.5, steps=500)
    >>> tv(done.logps, see_dpo_optimum(six_answers(), beta=0.5, gamma=0.5)).item() < 1e-3
    True
    """
    total = beta + gamma
    return ordered(
        "SEE-DPO",
        "arXiv 2411.04712 (derived)",
        world,
        pairs,
        rule,
        total,
        seed,
        steps,
        tolerance,
        reference=_flattened(world, beta / total),
        start=world.ref_logps,
    )


@checked
def see_dpo_optimum(world: FiniteWorld, *, beta: float, gamma: float = 0.1) -> Tensor:
    """pi_ref^(beta / (beta + gamma)) exp(r / (beta + gamma)) / Z, (P, A) [derived].

    >>> from safedpo.finite import optimal_policy, six_answers, tv
    >>> plain = optimal_policy(six_answers(), 0.5, penalty=0.0)
    >>> tv(see_dpo_optimum(six_answers(), beta=0.5, gamma=0.0), plain).item() < 1e-9
    True
    """
    return (_flattened(world, beta / (beta + gamma)) + world.reward / (beta + gamma)).log_softmax(-1)


def _flattened(world: FiniteWorld, power: float) -> Tensor:
    return torch.where(world.ref_logps.isneginf(), -math.inf, power * world.ref_logps)


def pointwise_information(world: FiniteWorld) -> Tensor:
    """log pi_ref(y | x) - log pi_ref(y), (P, A), with pi_ref(y) the mean over the world's prompts: what a prompt says
    about an answer. 0 everywhere where there is one prompt; answers of reference mass 0 get 0.

    >>> from safedpo.finite import six_answers
    >>> pointwise_information(six_answers()).abs().max().item() < 1e-15
    True
    """
    marginal = world.ref_logps.logsumexp(0) - math.log(world.prompts)
    return torch.where(world.ref_logps.isneginf(), 0.0, world.ref_logps - marginal)


@checked
def b_dpo(
    world: FiniteWorld,
    pairs: Pairs,
    *,
    beta: float,
    seed: int = 0,
    scale: float = 1.0,
    temperature: float = 1.0,
    sign: int = 1,
    rule: str = "helpful",
    steps: int = 1000,
    tolerance: float = TOLERANCE,
) -> Outcome:
    """A family like B-DPO (arXiv 2603.22829): -log sigmoid(s beta (a_w D_w - a_l D_l)), D = log(pi / pi_ref).

    (a_w, a_l) = 2 softmax(sign (pmi_w, pmi_l) / temperature), s = `scale`. That winner and loser are weighted by the
    mutual information of prompt and answer under the reference is published; the formula and its constants are not
    public, and two summaries disagree on the direction. So both signs are here and nothing is called *the* method.
    Where a_w and a_l differ, log Z no longer cancels; where they are equal (one prompt, or a large temperature) it is
    DPO at s beta. `UserError` for a sign other than +-1, or a scale or temperature that is not positive.

    >>> from safedpo.finite import population, six_answers, tv
    >>> done = b_dpo(six_answers(), population(six_answers()), beta=0.5, scale=2.0, steps=300)  # one prompt: equal weights
    >>> tv(done.logps, b_dpo_optimum(six_answers(), beta=0.5, scale=2.0)).item() < 1e-3
    True
    """
    if sign not in (-1, 1):
        raise UserError(f"sign is {sign}; it must be +1 or -1")
    data, information = pairs.transform(rule), pointwise_information(world)
    lead = information[data.prompt, data.chosen] - information[data.prompt, data.rejected]
    winner = 2 * torch.sigmoid(sign * lead / temperature)

    def objective(ratio: Tensor) -> Tensor:
        margin = winner * ratio[data.prompt, data.chosen] - (2 - winner) * ratio[data.prompt, data.rejected]
        return -(data.weight * logsigmoid(scale * beta * margin)).sum()

    costs = Costs(tables=1)
    costs.use_labels(pairs, *LABELS[rule])
    curvature = 2 * (2 * scale * beta) ** 2 / 4 + 2 * scale * beta  # of two weighted terms, and of log Z in each
    with costs.timed():
        lr = cautious_step(world, data, curvature)
        logps, norm = descend(
            "B-DPO", world, data, objective, costs, lr=lr, steep=scale * beta, steps=steps, tolerance=tolerance
        )
    return Outcome("B-DPO", logps, costs, "after arXiv 2603.22829 (a family; the formula is not public)", norm)


@checked
def b_dpo_optimum(world: FiniteWorld, *, beta: float, scale: float = 1.0) -> Tensor:
    """pi_ref exp(r / (s beta)) / Z, (P, A), where winner and loser weigh the same; elsewhere there is no closed form:
    the weighted gaps of three answers need not agree [derived].

    >>> from safedpo.finite import six_answers
    >>> change = b_dpo_optimum(six_answers(), beta=0.5, scale=2.0) - six_answers().ref_logps
    >>> round((change[0, 4] - change[0, 0]).item(), 9)  # (1.8 - 1.0) / (2 * 0.5)
    0.8
    """
    return optimal_policy(world, scale * beta, penalty=0.0)
