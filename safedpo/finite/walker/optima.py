"""Proposition 4.4: for every delta the loss has one and the same optimum, pi*. What each premise is for.

Left is how far training ends from pi* (TV; the larger of delta = 0 and delta = 5 unless said otherwise), right is 0.
Training is Newton's method to convergence; the second route is autograd's gradient of the loss where it ended.
"""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from safedpo.finite.newton import newton
from safedpo.finite.optimum import optimal_policy, tv
from safedpo.finite.pairs import Pairs, flip_bits, pairs_loss, population
from safedpo.finite.walker.objectives import surer
from safedpo.finite.walker.premise import Premise, Sides
from safedpo.finite.world import FiniteWorld

BETA = 1.0
STATEMENT = "Prop. 4.4"


def _slope(world: FiniteWorld, pairs: Pairs, policy: Tensor, delta: float) -> Tensor:
    """The largest entry of the loss's gradient in the logits of each prompt, by autograd, (P,)."""
    logits = policy.clone().requires_grad_()
    loss = pairs_loss(pairs, logits.log_softmax(-1), world.ref_logps, beta=BETA, delta=delta)
    return torch.autograd.grad(loss, logits)[0].abs().amax(-1)


def _ends(world: FiniteWorld, pairs: Pairs, deltas: tuple[float, ...] = (0.0, 5.0)) -> Sides:
    """Where training on `pairs` ends: its largest TV to pi* over deltas, 0, and the largest gradient left there."""
    best, start = optimal_policy(world, BETA), world.ref_logps[None]
    if len(pairs) == 0:
        return tv(world.ref_logps, best), torch.zeros(world.prompts).double(), torch.zeros(world.prompts).double()
    policies = newton(pairs, start, world.ref_logps, beta=BETA, deltas=list(deltas))[:, 0]
    left = tv(policies, best).amax(0)
    rest = [_slope(world, pairs, policy, delta) for policy, delta in zip(policies, deltas, strict=True)]
    return left, torch.zeros_like(left), torch.stack(rest).amax(0)


def _without(world: FiniteWorld, apart: Tensor) -> Pairs:
    """T's pairs of a world in which the pairs `apart` (P, A, A) are never drawn."""
    return population(world, pair_weight=(~apart).double()).transform()


def _connected(world: FiniteWorld, removed: bool) -> Sides:
    first = torch.zeros_like(world.unsafe)
    first[:, 0] = removed  # answer 0 is safe in every candidate's grid; a random one may differ
    free = first & ~world.unsafe
    apart = (free[:, :, None] ^ free[:, None]) & ~world.unsafe[:, :, None] & ~world.unsafe[:, None]
    return _ends(world, _without(world, apart))


def _meets_safe(world: FiniteWorld, removed: bool) -> Sides:
    free = torch.zeros_like(world.unsafe)
    free[torch.arange(world.prompts), world.unsafe.int().argmax(-1)] = removed
    apart = (free[:, :, None] & ~world.unsafe[:, None]) | (~world.unsafe[:, :, None] & free[:, None])
    return _ends(world, _without(world, apart))


def _right_bits(world: FiniteWorld, removed: bool) -> Sides:
    return _ends(world, flip_bits(population(world), 0.1 if removed else 0.0).transform())


def _bradley_terry(world: FiniteWorld, removed: bool) -> Sides:
    """Hard labels, softened by a thousandth so that the optimum is finite."""
    raw = population(world)
    if removed:
        wrong = surer(raw, world, True)
        raw = replace(raw, weight=0.999 * wrong.weight + 0.001 * raw.weight)
    return _ends(world, raw.transform())


def _finite_delta(world: FiniteWorld, removed: bool) -> Sides:
    """Delta = -inf: softplus(-inf) = 0, so a mixed pair counts for nothing."""
    kept = population(world).transform()
    return _ends(world, kept[~kept.rejected_unsafe] if removed else kept)


def _swap(world: FiniteWorld, removed: bool) -> Sides:
    return _ends(world, population(world).transform("helpful" if removed else "safedpo"))


def _endless_loss(world: FiniteWorld, removed: bool) -> Sides:
    """g(m) = (m - 1/2)^2 in place of -log sigmoid(m): least squares, solved exactly, from the shifted reference."""
    kept = population(world).transform()
    if not removed:
        return _ends(world, kept)
    compare = torch.zeros(len(kept), world.answers, dtype=torch.float64)
    rows = torch.arange(len(kept))
    compare[rows, kept.chosen], compare[rows, kept.rejected] = 1.0, -1.0
    left, rest = [], []
    for delta in (0.0, 5.0):
        target = (0.5 + delta * kept.rejected_unsafe.double()) / BETA
        normal = torch.zeros(world.prompts, world.answers, world.answers, dtype=torch.float64)
        normal = normal.index_add(0, kept.prompt, kept.weight[:, None, None] * compare[:, :, None] * compare[:, None])
        right = torch.zeros_like(world.reward).index_add(0, kept.prompt, (kept.weight * target)[:, None] * compare)
        ratio = torch.linalg.solve(normal + 1.0, right)  # the ones fix the free common shift
        gap = (ratio[kept.prompt] * compare).sum(-1)
        again = torch.zeros_like(ratio).index_add(0, kept.prompt, (kept.weight * (gap - target))[:, None] * compare)
        left.append(tv((world.ref_logps + ratio).log_softmax(-1), optimal_policy(world, BETA)))
        rest.append(again.abs().amax(-1))
    distance = torch.stack(left).amax(0)
    return distance, torch.zeros_like(distance), torch.stack(rest).amax(0)


def _own_logits(world: FiniteWorld, removed: bool) -> Sides:
    """One parameter for all answers, pi = pi_ref e^(theta y) / Z for answer y = 0, 1, 2, ...: unsafe mass at 0 and 5."""
    kept = population(world).transform()
    if not removed:
        return _ends(world, kept)
    feature = torch.arange(world.answers, dtype=torch.float64)
    lead = feature[kept.chosen] - feature[kept.rejected]
    masses, rest = [], []
    for delta in (0.0, 5.0):
        margin = delta * kept.rejected_unsafe.double()

        def pull(theta: Tensor, margin: Tensor = margin) -> Tensor:
            each = -kept.weight * lead * torch.sigmoid(margin - theta[kept.prompt] * lead)
            return torch.zeros_like(theta).index_add(0, kept.prompt, each)

        low, high = torch.full((2, world.prompts), -60.0, dtype=torch.float64)
        high = -high
        for _ in range(90):  # the slope rises with theta
            middle = (low + high) / 2
            up = pull(middle) < 0
            low, high = torch.where(up, middle, low), torch.where(up, high, middle)
        policy = (world.ref_logps + high[:, None] * feature).log_softmax(-1)
        masses.append((policy.exp() * world.unsafe).sum(-1))
        at = high.clone().requires_grad_()
        loss = -(kept.weight * logsigmoid(at[kept.prompt] * lead - margin)).sum()
        rest.append(torch.autograd.grad(loss, at)[0].abs())
    return masses[0], masses[1], torch.stack(rest).amax(0)


def _negative_delta(world: FiniteWorld, removed: bool) -> Sides:
    return _ends(world, population(world).transform(), (-3.0, 0.0) if removed else (0.0, 5.0))


def _pair_law(world: FiniteWorld, removed: bool) -> Sides:
    """Pairs from the reference and a little of everything (on-policy), or, without it, by weights of their own."""
    probability = 0.1 + world.ref_logps.exp()
    weight = probability[:, :, None] * probability[:, None]
    if removed:
        tilt = 3.0 ** torch.arange(world.answers, dtype=torch.float64)
        weight = tilt[:, None] * tilt / tilt.max() * torch.ones_like(weight)
    return _ends(world, population(world, pair_weight=weight).transform())


def _premise(
    name: str, words: str, without: str, sides, left: str = "TV to π* after training", right: str = "0"
) -> Premise:
    return Premise(STATEMENT, name, words, without, left, right, sides)


PREMISES = (
    _premise("connected comparisons", "pairs connect all safe answers", "one safe answer meets no other", _connected),
    _premise(
        "unsafe meets safe",
        "each unsafe answer is compared with a safe one",
        "one unsafe answer is never compared with a safe one",
        _meets_safe,
    ),
    _premise("right bits", "safety bits are right", "each bit is wrong with probability 0.1", _right_bits),
    _premise(
        "Bradley-Terry labels",
        "labels between safe answers follow Bradley-Terry",
        "labellers are wrong in 1 of 1,000 cases only (the optimum is then the same for every Δ, and not π*)",
        _bradley_terry,
    ),
    _premise("finite Δ", "Δ is finite", "Δ = −∞: a mixed pair then costs nothing", _finite_delta),
    _premise("the swap", "T swaps unsafe winners and drops UU", "the raw pairs, with the same Δ", _swap),
    _premise("a loss that never has enough", "g has no minimum", "g(m) = (m − ½)², IPO's", _endless_loss),
    _premise(
        "a logit of its own for each answer",
        "the policy is a table",
        "one shared parameter, π ∝ π_ref e^(θy)",
        _own_logits,
        "unsafe mass at Δ = 0",
        "unsafe mass at Δ = 5",
    ),
    _premise("Δ ≥ 0", "Δ is not negative", "Δ = −3", _negative_delta),
    _premise(
        "on-policy pairs",
        "pairs are drawn from the reference (mixed with a little of the uniform)",
        "pairs are drawn by weights that have nothing to do with it",
        _pair_law,
    ),
)
