"""APO: reward and policy play against each other (arXiv 2311.08045).

The reward must rank human pairs right *and* prefer the golden answers to what the policy says now; the policy answers
with its best response. Here golden answers are the chosen ones, and the aligner is the exact Gibbs policy.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from safedpo.errors import UserError
from safedpo.finite.fit import NotConvergedError
from safedpo.finite.methods.checked import checked
from safedpo.finite.methods.outcome import Costs, Outcome, sample_answers
from safedpo.finite.methods.pairwise.winners import stable_po_optimum, winner_weight
from safedpo.finite.pairs import Pairs, population
from safedpo.finite.world import FiniteWorld, same_shape

COMPARISONS = ("difference", "ranking")


@checked
def reward_loss(
    reward: Tensor,
    policy: Tensor,
    world: FiniteWorld,
    pairs: Pairs,
    *,
    weight: float,
    comparison: str = "difference",
    human_pairs: bool = True,
) -> Tensor:
    """The reward's loss against a fixed `policy` (probabilities, (P, A)), ().

    Ranking loss on the human pairs (left out with `human_pairs=False`) + `weight` times, for each chosen answer, how
    far the policy's own answers beat it: r(own) - r(chosen), or -log sigmoid(r(chosen) - r(own)) for "ranking".

    >>> from safedpo.finite import population, six_answers
    >>> world = six_answers()
    >>> flat = torch.zeros_like(world.reward)
    >>> round(reward_loss(flat, world.ref_logps.exp(), world, population(world), weight=0.1).item() / 15, 6)
    0.693147
    """
    same_shape(world, reward=reward, policy=policy)
    _check_comparison(comparison)
    gap = reward[pairs.prompt, pairs.chosen] - reward[pairs.prompt, pairs.rejected]
    human = -(pairs.weight * logsigmoid(gap)).sum() if human_pairs else 0.0
    wins = winner_weight(world, pairs)
    if comparison == "difference":
        return human + weight * (wins.sum(-1, keepdim=True) * policy * reward - wins * reward).sum()
    loss = -logsigmoid(reward[:, :, None] - reward[:, None])  # row golden, column the policy's
    return human + weight * (wins[:, :, None] * policy[:, None] * loss).sum()


@checked
def apo(
    world: FiniteWorld,
    pairs: Pairs,
    *,
    beta: float,
    seed: int = 0,
    weight: float = 0.1,
    comparison: str = "difference",
    human_pairs: bool = True,
    samples: int | None = None,
    rounds: int = 1000,
    tolerance: float = 1e-3,
) -> Outcome:
    """Alternate: the policy becomes pi_ref exp(r / beta) / Z; the reward takes one gradient step on `reward_loss`.

    `samples` answers a prompt stand for the policy in the reward's loss (None: the exact policy). With
    `human_pairs=False` the reward loses the term that the paper writes as a KL on the reward: the game of imitation
    learning, which ends at the golden answers' law. `NotConvergedError` where the exact game's gradient is not below
    `tolerance` times the weight of the pairs. `learned` is the world with the learned reward.

    >>> from safedpo.finite import six_answers, tv
    >>> world = six_answers()
    >>> done = apo(world, population(world), beta=0.5, rounds=300, tolerance=0.01)
    >>> tv(done.logps, apo_optimum(world, beta=0.5)).item() < 1e-2, done.costs.tables
    (True, 2)
    """
    _check_comparison(comparison)
    if not human_pairs and weight == 0:
        raise UserError("weight is 0 and human_pairs False: nothing is left to learn a reward from")
    costs, draw = Costs(tables=2), torch.Generator().manual_seed(seed)
    terms: dict[str, Any] = {"comparison": comparison, "human_pairs": human_pairs}
    costs.use_labels(pairs, "better")
    total = winner_weight(world, pairs).sum(-1).max().item()
    lr = 1 / (total * (0.5 * human_pairs + weight * (0.5 + 0.5 / beta)))
    reward = torch.zeros_like(world.reward, requires_grad=True)
    with costs.timed():
        for _ in range(rounds):
            policy = (world.ref_logps + reward.detach() / beta).softmax(-1)
            seen = policy if samples is None else _shares(policy, samples, draw, costs)
            loss = reward_loss(reward, seen, world, pairs, weight=weight, **terms)
            (gradient,) = torch.autograd.grad(loss, reward)
            reward.data -= lr * gradient
    costs.steps, norm = rounds, gradient.norm().item()
    if samples is None and norm > tolerance * pairs.weight.sum().item():
        raise NotConvergedError("APO's game", rounds, norm, tolerance * pairs.weight.sum().item())
    learned = FiniteWorld(world.ref_logps, reward.detach(), world.unsafe, world.cost, world.labels)
    return Outcome("APO", policy.log(), costs, "arXiv 2311.08045", norm, None, (), learned)


@checked
def apo_optimum(world: FiniteWorld, *, beta: float, weight: float = 0.1, human_pairs: bool = True) -> Tensor:
    """The saddle of the game with the plain difference on exact pairs, (P, A) [derived].

    Putting the best response into the reward's loss leaves DPO's loss + weight * beta * (-log pi(chosen)): the game is
    Stable PO with gamma = weight * beta. Without the human pairs only the second term is left, and pi is the law of
    the golden answers.

    >>> from safedpo.finite import optimal_policy, six_answers, tv
    >>> world = six_answers()  # without the adversary, DPO's optimum
    >>> tv(apo_optimum(world, beta=0.5, weight=0.0), optimal_policy(world, 0.5, penalty=0.0)).item() < 1e-9
    True
    """
    if human_pairs:
        return stable_po_optimum(world, beta=beta, gamma=weight * beta)
    wins = winner_weight(world, population(world))
    return (wins / wins.sum(-1, keepdim=True)).log()


def _check_comparison(comparison: str) -> None:
    if comparison not in COMPARISONS:
        raise UserError(f"comparison is {comparison!r}; known ones are {', '.join(COMPARISONS)}")


def _shares(policy: Tensor, samples: int, draw: torch.Generator, costs: Costs) -> Tensor:
    """The share of each answer among `samples` drawn to each prompt, (P, A)."""
    answers = sample_answers(policy.log(), samples, draw)
    costs.samples += answers.numel()
    return torch.zeros_like(policy).scatter_add_(1, answers, torch.ones_like(answers).double() / samples)
