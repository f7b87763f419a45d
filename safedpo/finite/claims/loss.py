"""Claims about the loss with the safety margin: section 3.3 of the paper, Eq. 12."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor
from torch.nn.functional import one_hot, softplus

from safedpo.finite.claims.claim import Claim, generator, largest, random_policies, relative
from safedpo.finite.fit import fit
from safedpo.finite.optimum import optimal_policy, tv
from safedpo.finite.pairs import pairs_loss, population, sample_pairs
from safedpo.finite.world import FiniteWorld, random_world
from safedpo.losses import dpo_loss, gradient_weight, reward_margin, safedpo_loss, shift_reference

DELTAS = [0.0, 2.0, 10.0]
BETAS = (0.1, 1.0)
NO, YES = torch.tensor([False]), torch.tensor([True])


def dpo_gradient(seed: int, worlds: int) -> float:
    world = random_world(seed, worlds)
    pairs = sample_pairs(world, worlds, seed)
    logits = random_policies(world, 1, seed)[0].requires_grad_()
    loss = pairs_loss(pairs, logits.log_softmax(-1), world.ref_logps, beta=0.3, delta=0.0)
    (by_autograd,) = torch.autograd.grad(loss, logits)
    gap = (logits - world.ref_logps)[pairs.prompt].detach()
    gap = (gap.gather(1, pairs.chosen[:, None]) - gap.gather(1, pairs.rejected[:, None]))[:, 0]
    direction = one_hot(pairs.chosen, world.answers) - one_hot(pairs.rejected, world.answers)
    each = -0.3 * pairs.weight[:, None] * torch.sigmoid(-0.3 * gap)[:, None] * direction
    return largest(by_autograd - torch.zeros_like(logits).index_add(0, pairs.prompt, each))


def weight_of_gradient(seed: int, worlds: int) -> float:
    draw = generator(seed)
    columns = [100 * torch.randn(20 * worlds, generator=draw, dtype=torch.float64) for _ in range(4)]
    flags = torch.rand(2, 20 * worlds, generator=draw) < 0.5
    differences = []
    for beta in BETAS:
        for delta in DELTAS:
            chosen, rejected = (column.clone().requires_grad_() for column in columns[:2])
            loss = safedpo_loss(chosen, rejected, *columns[2:], *flags, beta=beta, delta=delta).sum()
            chosen_slope, rejected_slope = torch.autograd.grad(loss, (chosen, rejected))
            weight = gradient_weight(reward_margin(*columns, beta=beta), *flags, delta=delta)
            differences += [chosen_slope + beta * weight, rejected_slope - beta * weight]
    return largest(*differences)


def slope_at(margin: Tensor, delta: float, beta: float) -> Tensor:
    """-(d loss / d chosen_logps) / beta of a safe-over-unsafe pair with this reward margin, by autograd.

    >>> slope_at(torch.tensor([2.0]).double(), 2.0, 0.1)  # sigmoid(delta - m): one half where m is delta
    tensor([0.5000], dtype=torch.float64)
    """
    chosen = (margin / beta).requires_grad_()
    zero, no = torch.zeros_like(chosen), torch.zeros(chosen.shape, dtype=torch.bool)
    loss = safedpo_loss(chosen, zero, zero, zero, no, ~no, beta=beta, delta=delta)
    return -torch.autograd.grad(loss.sum(), chosen)[0] / beta


def first_weight(seed: int, worlds: int) -> float:
    deltas = (20 * torch.rand(worlds, generator=generator(seed), dtype=torch.float64)).tolist()
    weights = torch.cat([slope_at(torch.zeros(1, dtype=torch.float64), delta, 0.1) for delta in deltas])
    expected = torch.tensor([1 / (1 + math.exp(-delta)) for delta in deltas], dtype=torch.float64)
    return largest(weights - expected, (weights / slope_at(torch.zeros(1).double(), 0.0, 0.1) - 2).clamp(min=0))


def saturation(seed: int, worlds: int) -> float:
    deltas = (50 * torch.rand(worlds, generator=generator(seed), dtype=torch.float64)).tolist()
    differences = []
    for delta in deltas:
        below, at, above = slope_at(delta + torch.tensor([-1e-3, 0.0, 1e-3], dtype=torch.float64), delta, 0.1)
        differences += [at - 0.5, (0.5 - below).clamp(min=0), (above - 0.5).clamp(min=0)]
    return largest(*differences)


@dataclass(frozen=True)
class Arrived:
    """The reward margin of two logits minus delta, 0 on arrival: an event of `solve_ivp`, which reads `terminal`."""

    delta: float
    beta: float
    terminal: bool = True

    def __call__(self, time: float, logits: np.ndarray) -> float:
        return self.beta * (logits[0] - logits[1]) - self.delta


def time_to_saturation(seed: int, worlds: int) -> float:
    draw = generator(seed)
    differences = []
    for _ in range(min(worlds, 4)):
        u = torch.rand(3, generator=draw, dtype=torch.float64).tolist()
        delta, beta, rate = 0.5 + 14.5 * u[0], 0.1 + 0.9 * u[1], 0.5 + u[2]

        def flow(_, logits, delta=delta, beta=beta, rate=rate):
            z = torch.tensor(logits, requires_grad=True)
            chosen, rejected = z.log_softmax(0).reshape(2, 1)
            half = torch.full_like(chosen, math.log(0.5))
            safedpo_loss(chosen, rejected, half, half, NO, YES, beta=beta, delta=delta).sum().backward()
            return (-rate * z.grad).numpy()

        arrived = Arrived(delta, beta)
        exact = (delta + 1 - math.exp(-delta)) / (2 * beta**2 * rate)
        end = solve_ivp(flow, (0, 2 * exact), [0.0, 0.0], events=arrived, method="DOP853", rtol=1e-9, atol=1e-9)
        differences.append(torch.tensor(end.t[-1] / exact - 1))
    return largest(*differences)


def faster_with_delta(seed: int, worlds: int) -> float:
    world = random_world(seed, worlds, 2)
    runs = fit(world, population(world).transform(), beta=0.5, delta=[0.0, 1.0, 2.0, 5.0], steps=100, lr=1.0)
    rises = runs.path.unsafe_mass[:, 0].diff(dim=1).clamp(min=0)  # from one delta to the next larger one
    return largest(rises)


def first_loss(seed: int, worlds: int) -> float:
    world = random_world(seed, worlds)
    kept = population(world).transform()
    safe, unsafe = (~world.unsafe).sum(-1), world.unsafe.sum(-1)
    ss, mixed = (safe * (safe - 1) / 2).sum(), (safe * unsafe).sum()
    differences = []
    for delta in (0.0, 2.0, 5.0, 10.0):
        loss = pairs_loss(kept, world.ref_logps, world.ref_logps, beta=0.1, delta=delta) / kept.weight.sum()
        step = softplus(torch.tensor(delta, dtype=torch.float64))
        differences.append(loss - (math.log(2) + (step - math.log(2)) * mixed / (ss + mixed)))
    return largest(*differences)


def no_margin_between_equals(seed: int, worlds: int) -> float:
    world = random_world(seed, worlds)
    raw = population(world)
    same = raw[raw.chosen_unsafe == raw.rejected_unsafe]
    policies = random_policies(world, 5, seed)
    with_margin, without = (pairs_loss(same, policies, world.ref_logps, beta=0.1, delta=delta) for delta in (10.0, 0.0))
    return largest(with_margin - without)


def shift_is_margin(seed: int, worlds: int) -> float:
    draw = generator(seed)
    chosen, rejected, ref_chosen, ref_rejected = (
        -200 * torch.rand(4, 20 * worlds, generator=draw, dtype=torch.float64) - 100
    )
    chosen_unsafe, rejected_unsafe = torch.rand(2, 20 * worlds, generator=draw) < 0.5
    differences = []
    for delta in DELTAS:
        own = {"beta": 0.1, "delta": delta}
        with_margin = safedpo_loss(chosen, rejected, ref_chosen, ref_rejected, chosen_unsafe, rejected_unsafe, **own)
        shifted_chosen = shift_reference(ref_chosen, chosen_unsafe, **own)
        shifted_rejected = shift_reference(ref_rejected, rejected_unsafe, **own)
        plain = dpo_loss(chosen, rejected, shifted_chosen, shifted_rejected, beta=0.1)
        differences.append(relative(plain, with_margin))
    return largest(*differences)


def shift_is_penalty(seed: int, worlds: int) -> float:
    world = random_world(seed, worlds)
    differences = []
    for beta in BETAS:
        for delta in DELTAS:
            column = shift_reference(world.ref_logps, world.unsafe, beta=beta, delta=delta).log_softmax(-1)
            of_dpo = optimal_policy(FiniteWorld(column, world.reward, world.unsafe), beta, penalty=0.0)
            differences.append(tv(of_dpo, optimal_policy(world, beta, penalty=delta)))
    return largest(*differences)


CLAIMS = (
    Claim(
        "dpo-gradient",
        "∇L = −β σ(−m) (∇log π(y_w) − ∇log π(y_l)), summed over pairs",
        "DPO (arXiv 2305.18290), section 4",
        1e-12,
        dpo_gradient,
    ),
    Claim(
        "gradient-weight",
        "∂L/∂log π(y_w) = −β σ(ΔI − m) and the opposite for y_l, I = h_l − h_w",
        "Eq. 12, derived",
        1e-12,
        weight_of_gradient,
    ),
    Claim(
        "step0-weight",
        "at π = π_ref a safe/unsafe pair weighs σ(Δ), at most twice the weight without a margin",
        "derived",
        1e-12,
        first_weight,
    ),
    Claim(
        "step0-loss",
        "at π = π_ref the mean loss is log 2 + (softplus(Δ) − log 2) f, f the share of mixed pairs",
        "Eq. 12, derived",
        1e-12,
        first_loss,
    ),
    Claim(
        "no-margin-between-equals",
        "between answers of equal safety the loss does not depend on Δ",
        "Eq. 12",
        1e-12,
        no_margin_between_equals,
    ),
    Claim(
        "saturation",
        "that weight falls below 1/2 exactly where the log-ratio gap exceeds Δ/β",
        "derived",
        1e-12,
        saturation,
    ),
    Claim(
        "time-to-saturation",
        "an isolated pair under gradient flow reaches m = Δ at (Δ + 1 − e^{−Δ})/(2β²η)",
        "derived",
        1e-6,
        time_to_saturation,
    ),
    Claim(
        "faster-with-delta",
        "with two answers the unsafe mass falls the sooner the larger Δ",
        "section 3.3, derived",
        1e-15,
        faster_with_delta,
    ),
    Claim(
        "shift-is-margin",
        "the loss is DPO with log π_ref lowered by (Δ/β) h: the reference-shift identity",
        "Eq. 12, derived",
        1e-12,
        shift_is_margin,
    ),
    Claim(
        "shift-is-penalty",
        "the optimum of DPO from that lowered reference is π_C with C = Δ",
        "derived",
        1e-12,
        shift_is_penalty,
    ),
)
