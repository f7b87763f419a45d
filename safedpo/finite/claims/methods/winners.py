"""Claims about the losses and games around DPO that the paper lists as similar: B-DPO, Stable PO and APO."""

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor
from torch.nn.functional import logsigmoid

from safedpo.finite import methods
from safedpo.finite.claims.claim import Claim, generator, largest
from safedpo.finite.claims.methods.data import settings, slope_at
from safedpo.finite.optimum import tv
from safedpo.finite.pairs import population
from safedpo.finite.world import FiniteWorld, random_world


def b_dpo(seed: int, worlds: int) -> float:
    """Equal weights: DPO at s beta. Two answers: training ends where s beta (a_1 D_1 - a_2 D_2) = r_1 - r_2."""
    differences: list[Tensor] = []
    for world, pairs, beta in settings(seed, worlds):
        policy = methods.OPTIMA["B-DPO"](world, beta=beta, scale=1.7)
        loss = lambda c, r, rc, rr, s=1.7 * beta: -logsigmoid(s * (c - rc) - s * (r - rr))  # noqa: E731
        differences.append(slope_at(policy, world, pairs, loss))
    world, beta, scale, temperature = random_world(seed, 3, 2), 1.0, 1.3, 3.0
    pairs = population(world)
    for sign in (1, -1):
        first = _first_weight(world, temperature, sign)
        gaps = [_two_answers(world, x, scale * beta, first[x].item()) for x in range(3)]
        policy = torch.tensor([[gap, 0.0] for gap in gaps], dtype=torch.float64).log_softmax(-1)
        a = torch.where(pairs.chosen == 0, first[pairs.prompt], 2 - first[pairs.prompt])
        loss = lambda c, r, rc, rr, a=a: -logsigmoid(scale * beta * (a * (c - rc) - (2 - a) * (r - rr)))  # noqa: E731
        differences.append(slope_at(policy, world, pairs, loss))
        information = methods.pointwise_information(world)
        lead = (information[:, 0] - information[:, 1]) * sign / temperature
        differences.append(2 * lead.sigmoid() - first)
    return largest(*differences)


def _first_weight(world: FiniteWorld, temperature: float, sign: int) -> Tensor:
    """The weight of answer 0 against answer 1, from probabilities, (P,)."""
    lift = world.ref_logps.exp() / world.ref_logps.exp().mean(0)
    return 2 / (1 + (lift[:, 1] / lift[:, 0]) ** (sign / temperature))


def _two_answers(world: FiniteWorld, x: int, slope: float, first: float) -> float:
    """log pi(0) - log pi(1) at the stated end, by Brent's method."""
    reference, lead = world.ref_logps[x].tolist(), (world.reward[x, 0] - world.reward[x, 1]).item()

    def excess(gap: float) -> float:
        one, two = -np.logaddexp(0.0, -gap) - reference[0], -np.logaddexp(0.0, gap) - reference[1]
        return slope * (first * one - (2 - first) * two) - lead

    return brentq(excess, -1e4, 1e4, xtol=1e-13)


def stable_po(seed: int, worlds: int) -> float:
    """No slope at the stated minimum of DPO + gamma NLL; gamma -> 0 is DPO; the price of the winners' probability."""
    differences = []
    for world, pairs, beta in settings(seed, worlds):
        pairs, last = population(world), None
        wins = methods.winner_weight(world, pairs)
        ideal = wins.log() - wins.sum(-1, keepdim=True).log()
        for gamma in (1e-7, 0.05, 1.0, 20.0):
            policy = methods.OPTIMA["Stable PO"](world, beta=beta, gamma=gamma)
            loss = lambda c, r, rc, rr, b=beta, g=gamma: -logsigmoid(b * ((c - rc) - (r - rr))) - g * c  # noqa: E731
            differences.append(slope_at(policy, world, pairs, loss) / (1 + gamma))
            now = (methods.preference_loss(world, policy, beta=beta), methods.winner_loss(world, policy))
            floor = (methods.preference_loss(world, ideal, beta=beta) - now[0]) / gamma
            differences.append((now[1] - methods.winner_loss(world, ideal) - floor).clamp(min=0) / (1 + now[1]))
            if last is None:
                differences.append(1e-4 * tv(policy, methods.OPTIMA["DPO-helpful"](world, beta=beta)))
            else:  # more gamma: better winners, worse preferences
                differences += [(now[1] - last[1]).clamp(min=0) / now[1], (last[0] - now[0]).clamp(min=0) / now[0]]
            last = now
    return largest(*differences)


def apo(seed: int, worlds: int) -> float:
    """At the stated saddle the policy is the reward's best response, and the reward has no slope against it."""
    slopes = []
    for world, _, beta in settings(seed, worlds):
        pairs = population(world)
        wins = methods.winner_weight(world, pairs)
        for weight, human_pairs in ((0.1, True), (1.0, True), (0.5, False)):
            policy = methods.OPTIMA["APO"](world, beta=beta, weight=weight, human_pairs=human_pairs)
            reward = (beta * (policy - world.ref_logps)).requires_grad_()  # so that policy = ref e^(r / beta) / Z
            gap = reward[pairs.prompt, pairs.chosen] - reward[pairs.prompt, pairs.rejected]
            value = -(pairs.weight * logsigmoid(gap)).sum() * human_pairs
            value = value + weight * ((wins.sum(-1, keepdim=True) * policy.exp() - wins) * reward).sum()
            slopes.append(torch.autograd.grad(value, reward)[0])
    return largest(*slopes)


def apo_at_gold(seed: int, worlds: int) -> float:
    """Against pi = gold the difference has no slope; the ranking form still pulls all rewards together."""
    differences = []
    for world, _, _ in settings(seed, worlds):
        pairs = population(world)
        wins = methods.winner_weight(world, pairs)
        total = wins.sum(-1, keepdim=True)
        gold = wins / total
        reward = torch.randn(wins.shape, generator=generator(seed), dtype=torch.float64).requires_grad_()
        own = {"weight": 0.3, "human_pairs": False}
        for comparison in ("difference", "ranking"):
            value = methods.reward_loss(reward, gold, world, pairs, comparison=comparison, **own)
            (slope,) = torch.autograd.grad(value, reward)
            lead = torch.tanh((reward[:, :, None] - reward[:, None]) / 2)
            pulled = 0.3 * total * gold * (lead * gold[:, None]).sum(-1)
            differences.append((slope - pulled * (comparison == "ranking")).detach())
    return largest(*differences)


CLAIMS = (
    Claim(
        "method-b-dpo",
        "B-DPO's family with equal weights is DPO at sβ; with two answers it ends where sβ(a₁Δ₁ − a₂Δ₂) = r₁ − r₂, "
        "and log Z does not cancel",
        "B-DPO (arXiv 2603.22829), a family; derived",
        1e-8,
        b_dpo,
    ),
    Claim(
        "method-stable-po",
        "DPO + γ NLL(y_w) has one minimum; NLL there is at most its least value + (L(π_SFT) − L)/γ and falls with γ; "
        "γ → 0 is DPO",
        "Stable PO (arXiv 2507.07723), penalty form; derived",
        1e-8,
        stable_po,
    ),
    Claim(
        "method-apo",
        "APO's saddle with the plain difference is Stable PO at γ = aβ; without human pairs it is the golden answers' law",
        "APO (arXiv 2311.08045), derived",
        1e-8,
        apo,
    ),
    Claim(
        "apo-gold",
        "at π = gold the adversarial term with the plain difference has no gradient; the ranking form's is "
        "a π(y) E tanh((r(y) − r)/2), 0 only for a flat reward",
        "APO (arXiv 2311.08045), derived",
        1e-12,
        apo_at_gold,
    ),
)
