"""Claims about the size of the safety margin: below zero, without T, and far too large."""

import math

import numpy as np
import torch

from safedpo.finite.claims.claim import Claim, generator, largest
from safedpo.finite.claims.loss import slope_at
from safedpo.finite.fit import fit
from safedpo.finite.newton import newton
from safedpo.finite.optimum import optimal_policy, tv
from safedpo.finite.pairs import Pairs, over_represent, pairs_loss, population
from safedpo.finite.world import FiniteWorld, random_world, world_a, world_b

ZERO = torch.zeros(1, dtype=torch.float64)


def negative_delta(seed: int, worlds: int) -> float:
    """Delta = -1: a first weight of sigmoid(-1), a slower fall of the unsafe mass, and the same end."""
    world = random_world(seed, worlds, 2)
    kept = population(world).transform("safedpo")
    mass = fit(world, kept, beta=0.5, delta=[-1.0, 0.0], steps=100, lr=1.0).path.unsafe_mass[:, 0]
    end = newton(kept, world.ref_logps[None], world.ref_logps, beta=1.0, deltas=[-1.0])
    first = slope_at(ZERO, -1.0, 0.1) - 1 / (1 + math.e)
    return largest(mass.diff(dim=1).clamp(min=0), tv(end, optimal_policy(world, 1.0)), first)


def _force(pairs: Pairs, world: FiniteWorld, m: float, delta: float) -> torch.Tensor:
    """-dL/dm, m the reward margin of answer 0 over answer 1 of one prompt, by autograd at beta = 1."""
    lead = torch.tensor(m, dtype=torch.float64, requires_grad=True)
    logps = world.ref_logps + torch.stack([lead, torch.zeros_like(lead)])
    loss = pairs_loss(pairs, logps.log_softmax(-1), world.ref_logps, beta=1.0, delta=delta)
    return -torch.autograd.grad(loss, lead)[0]


def margin_only_stalls(seed: int, worlds: int) -> float:
    """The push on a mixed pair with and without T, and on a single row whose helpful answer is the unsafe one."""
    draw, differences = torch.rand(min(worlds, 20), 3, generator=generator(seed), dtype=torch.float64), []
    for a, b, c in draw.tolist():
        p, m, delta = 0.05 + 0.9 * a, 10 * b - 5, 10 * c
        world = FiniteWorld([[math.log(0.5)] * 2], [[math.log(p / (1 - p)), 0.0]], torch.tensor([[False, True]]))
        raw = population(world)
        rest, us = delta + math.log(p / (1 - p)), raw[raw.chosen_unsafe]
        differences += [
            _force(raw, world, m, delta) - (p - 1 / (1 + math.exp(delta - m))),
            _force(raw.transform("safedpo"), world, m, delta) - 1 / (1 + math.exp(m - delta)),
            _force(raw, world, rest, delta),
            _force(us, world, 0.0, delta) / (1 - p) + 1 / (1 + math.exp(delta)),
            _force(us.transform("safedpo"), world, 0.0, delta) / (1 - p) - 1 / (1 + math.exp(-delta)),
        ]
    return largest(*differences)


def large_delta(seed: int, worlds: int) -> float:
    """The two toy worlds after 200 steps at Delta = 0 and 50: `fit` against a loop in NumPy; at 50 they are far off."""
    differences = []
    for world, answer in ((world_a(), 3), (world_b(), 0)):
        kept = population(world, pair_weight=over_represent(world, answer)).transform("safedpo")
        ours = fit(world, kept, beta=0.1, delta=[0.0, 50.0], steps=200, lr=5.0, record=[200]).path.safe_tv[0, 0, :, 0]
        theirs = torch.tensor([_numpy_descent(world, answer, delta) for delta in (0.0, 50.0)], dtype=torch.float64)
        differences += [ours - theirs, (5 * ours[0] - ours[1]).clamp(min=0)]
    return largest(*differences)


def _numpy_descent(world: FiniteWorld, answer: int, delta: float) -> float:
    """200 steps z <- z - 5 grad, pair by pair; TV between the safe part and pi*, answers 0 to 3 being safe."""
    reference, reward = world.ref_logps[0].numpy(), world.reward[0].numpy()
    z = reference.copy()
    for _ in range(200):
        gradient = np.zeros(8)
        for i in range(4):
            for j in range(8):
                if i == j:
                    continue
                wins = 1.0 if j > 3 else 1 / (1 + np.exp(reward[j] - reward[i]))
                weight = (4.0 if i == answer else 1.0) if j > 3 else 1.0
                m = 0.1 * (z[i] - reference[i] - z[j] + reference[j])
                slope = -0.1 * weight * wins / (1 + np.exp(m - (delta if j > 3 else 0.0)))
                gradient[i] += slope
                gradient[j] -= slope
        z -= 5 * gradient
    policy, best = np.exp(z[:4] - z[:4].max()), np.exp(reference[:4] + reward[:4] / 0.1)
    return float(np.abs(policy / policy.sum() - best / best.sum()).sum() / 2)


CLAIMS = (
    Claim(
        "negative-delta",
        "Δ = −1 starts with weight σ(−1) and loses unsafe mass later than Δ = 0, and ends at the same π*",
        "Prop. 4.4, derived",
        1e-9,
        negative_delta,
    ),
    Claim(
        "margin-only-stalls",
        "on a mixed pair Δ alone pushes with p − σ(m − Δ), 0 at m = Δ + logit p, and T with Δ by σ(Δ − m), never 0; "
        "a row with an unsafe winner pushes towards it with σ(−Δ), after T away from it with σ(Δ)",
        "section 5, derived",
        1e-12,
        margin_only_stalls,
    ),
    Claim(
        "large-delta",
        "in both toy worlds Δ = 50 leaves the safe part at least five times as far from π* after 200 steps as Δ = 0 does",
        "App. A.4, derived",
        1e-9,
        large_delta,
    ),
)
