"""Policies over a few answers: the settings of the sliders, and a world's policies as bars with their numbers."""

import math
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
import torch
from torch import Tensor

from safedpo.finite import (
    FiniteWorld,
    expectation,
    expected_reward,
    kl,
    log_partition,
    log_partition_unsafe,
    optimal_policy,
    unsafe_mass,
)
from safedpo.show.figures.penalty import penalty
from safedpo.show.figures.policies import policies as draw

BETAS = [0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10]  # where the sliders of β stop
MEASURES = {
    "expected reward": lambda world, policy: expected_reward(world, policy),
    "expected cost": lambda world, policy: expectation(policy, world.cost),
    "KL": lambda world, policy: kl(policy, world.ref_logps),
}


def bars(
    world: FiniteWorld,
    policies: Mapping[str, Tensor],
    setting: str = "",
    *,
    measures: Sequence[str] = ("expected reward", "KL"),
    more: Mapping[str, Mapping[str, float]] | None = None,
) -> tuple[go.Figure, str]:
    """The policies of a world with one prompt as bars; the sentence gives each one's unsafe mass and `measures`.

    Args:
        policies: name -> log-probabilities (1, A); of one called "reference" only the unsafe mass is told.
        setting: where the sliders stand, for example "At β = 0.5".
        measures: keys of `MEASURES`; KL is that to the reference, in nats.
        more: name -> further numbers for the sentence.

    >>> from safedpo.finite import six_answers
    >>> world = six_answers()
    >>> bars(world, {"start": world.ref_logps}, measures=["KL"])[1]
    'start: unsafe mass 0.36, KL 0.'
    """
    facts = {
        name: {word: MEASURES[word](world, policy).item() for word in measures} | dict((more or {}).get(name, {}))
        for name, policy in policies.items()
        if name != "reference"
    }
    masses = {name: policy[0].exp().tolist() for name, policy in policies.items()}
    return draw(_names(world), world.unsafe[0].tolist(), masses, facts=facts, setting=setting)


def random_policies(count: int, answers: int = 6, *, seed: int = 0) -> Tensor:
    """Log-probabilities (count, 1, answers) of random policies, each the softmax of standard normal logits.

    >>> round(random_policies(2).exp().sum().item(), 9)
    2.0
    """
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(count, 1, answers, dtype=torch.float64, generator=draw).log_softmax(-1)


def with_support(world: FiniteWorld, safe_support: float) -> FiniteWorld:
    """The answers of `world` with equal rewards, in a reference that gives its safe answers the mass `safe_support`.

    >>> from safedpo.finite import six_answers, unsafe_mass
    >>> poor = with_support(six_answers(), 0.01)
    >>> round(unsafe_mass(poor, poor.ref_logps).item(), 9)
    0.99
    """
    safe = world.ref_logps.masked_fill(world.unsafe, -math.inf).log_softmax(-1) + math.log(safe_support)
    unsafe = world.ref_logps.masked_fill(~world.unsafe, -math.inf).log_softmax(-1) + math.log1p(-safe_support)
    return FiniteWorld(
        torch.where(world.unsafe, unsafe, safe), torch.zeros_like(world.reward), world.unsafe, labels=world.labels
    )


def fined(world: FiniteWorld, beta: float, c: float, *, most: float = 6.0) -> tuple[go.Figure, str]:
    """π_C beside the hard constraint, above its distance for penalties from 0 to `most` (Prop. 4.2).

    >>> from safedpo.finite import six_answers
    >>> fined(six_answers(), 0.5, math.inf)[1]
    'At C = ∞ with safe support 0.64: unsafe mass 0, total variation to the hard constraint 0.'
    """
    line = torch.linspace(0, most, 31, dtype=torch.float64)
    # TV in closed form, divided by Z_s above and below.
    distances = torch.sigmoid(log_partition_unsafe(world, beta) - log_partition(world, beta) - line / beta)
    finite, hard = (optimal_policy(world, beta, penalty=one)[0].exp().tolist() for one in (c, math.inf))
    return penalty(
        _names(world),
        world.unsafe[0].tolist(),
        finite,
        hard,
        c=c,
        safe_support=1 - unsafe_mass(world, world.ref_logps).item(),
        curve=(line.tolist(), distances.tolist()),
    )


def _names(world: FiniteWorld) -> tuple[str, ...]:
    """The answers' names, or their numbers where they have none."""
    return world.labels or tuple(map(str, range(world.answers)))
