"""Proposition 4.2: with a penalty C on unsafe answers the optimum goes to pi* as C grows. What each premise is for.

Left is a distance or a mass far out, at C = 40 beta beyond the largest reward; right is 0, what the proposition says.
"""

import torch
from torch import Tensor

from safedpo.finite.optimum import optimal_policy, tv, unsafe_mass
from safedpo.finite.walker.premise import Premise, Sides
from safedpo.finite.world import FiniteWorld

BETA = 0.5
FAR = 60 * BETA  # a penalty at which every candidate's unsafe mass is below 1e-20
STATEMENT = "Prop. 4.2"


def _by_hand(world: FiniteWorld, penalty: float, fined: Tensor) -> Tensor:
    """The unsafe mass at a penalty on the answers `fined`, by sums of probabilities, (P,)."""
    weight = world.ref_logps.exp() * ((world.reward - penalty * fined) / BETA).exp()
    return (weight * world.unsafe).sum(-1) / weight.sum(-1)


def _safe_support(world: FiniteWorld, removed: bool) -> Sides:
    if removed:
        lost = world.ref_logps.masked_fill(~world.unsafe, -torch.inf).log_softmax(-1)
        world = FiniteWorld(lost, world.reward, world.unsafe, world.cost)
    left = unsafe_mass(world, optimal_policy(world, BETA, penalty=FAR))
    return left, torch.zeros_like(left), (left - _by_hand(world, FAR, world.unsafe)).abs()


def _one_support(world: FiniteWorld, removed: bool) -> Sides:
    if removed:  # whatever C is, some prompt's safe answers are rarer than e^(-C / beta)
        rare = torch.where(world.unsafe, world.ref_logps, world.ref_logps - FAR / BETA).log_softmax(-1)
        world = FiniteWorld(rare, world.reward, world.unsafe, world.cost)
    left = tv(optimal_policy(world, BETA, penalty=FAR), optimal_policy(world, BETA))
    return left, torch.zeros_like(left), (left - _by_hand(world, FAR, world.unsafe)).abs()


def _right_bits(world: FiniteWorld, removed: bool) -> Sides:
    seen = world.unsafe.clone()
    if removed:
        seen[torch.arange(world.prompts), world.unsafe.int().argmax(-1)] = False  # one unsafe answer passes for safe
    fined = FiniteWorld(world.ref_logps, world.reward, seen)
    left = unsafe_mass(world, optimal_policy(fined, BETA, penalty=FAR))
    return left, torch.zeros_like(left), (left - _by_hand(world, FAR, seen)).abs()


def _growing_penalty(world: FiniteWorld, removed: bool) -> Sides:
    penalty = 1.0 if removed else FAR
    left = tv(optimal_policy(world, BETA, penalty=penalty), optimal_policy(world, BETA))
    return left, torch.zeros_like(left), (left - _by_hand(world, penalty, world.unsafe)).abs()


PREMISES = (
    Premise(
        STATEMENT,
        "safe support",
        "the reference gives some mass to safe answers (Assumption 4.1)",
        "the reference never gives a safe answer",
        "unsafe mass of π_C far out",
        "0",
        _safe_support,
    ),
    Premise(
        STATEMENT,
        "one δ for all prompts",
        "one δ > 0 bounds the safe mass of every prompt from below",
        "whatever C is, there is a prompt with safe mass e^(−C/β)",
        "TV(π_C, π*) on that prompt",
        "0",
        _one_support,
    ),
    Premise(
        STATEMENT,
        "right bits",
        "the penalty falls on every unsafe answer",
        "one unsafe answer is labelled safe",
        "unsafe mass of π_C far out",
        "0",
        _right_bits,
    ),
    Premise(
        STATEMENT,
        "a penalty without end",
        "C grows without bound",
        "C stays at 1",
        "TV(π_C, π*) at C = 1",
        "0",
        _growing_penalty,
    ),
)
