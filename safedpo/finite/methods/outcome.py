"""What every method returns, and the one way a method trains a table.

The step size is not tuned: it is 1/L, with L the largest curvature that the loss can have on these pairs (the largest
eigenvalue of the weighted Laplacian of the pair graph, times the curvature of one pair).
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypedDict, Unpack

import torch
from torch import Tensor

from safedpo.errors import UserError
from safedpo.finite.fit import DivergedError, NotConvergedError, fit, one_thread
from safedpo.finite.methods.checked import checked
from safedpo.finite.pair_table import PairTable
from safedpo.finite.pairs import Pairs
from safedpo.finite.slopes import Slope
from safedpo.finite.world import FiniteWorld
from safedpo.losses import check_beta

STEPS = 4000
TOLERANCE = 1e-3  # of the largest gradient the pairs could have


@dataclass
class Costs:
    """What a method needed: `tables` learned (networks, for a language model), `labels` by kind, `samples` drawn
    from policies, gradient `steps`, and `seconds` of wall clock."""

    tables: int = 0
    labels: dict[str, int] = field(default_factory=dict)
    samples: int = 0
    steps: int = 0
    seconds: float = 0.0

    def use_labels(self, pairs: Pairs, *kinds: str) -> None:
        """Count one `better` or `safer` label and two safety `bits` for each row of the data."""
        self.labels |= {kind: len(pairs) * (2 if kind == "bits" else 1) for kind in kinds}

    @contextmanager
    def timed(self) -> "Iterator[Costs]":
        """Add the wall clock of the block to `seconds`; it runs on one thread, its steps being too small to share."""
        start = time.perf_counter()
        with one_thread():
            yield self
        self.seconds += time.perf_counter() - start


@dataclass(frozen=True, eq=False)
class Outcome:
    """A trained policy: `logps` (P, A), the `costs` counted, and the `source` of the method's formula.

    `multiplier` is the last lambda of a method that has one; `history` its course (one dict for each dual step);
    `learned` the world as its learned reward and cost see it. `gradient_norm` is that of the last training.
    """

    method: str
    logps: Tensor
    costs: Costs
    source: str
    gradient_norm: float
    multiplier: float | None = None
    history: tuple[dict[str, float], ...] = ()
    learned: FiniteWorld | None = None


@dataclass(frozen=True)
class Shape:
    """How steep (`slope`) and how curved (`curvature`) the loss of one pair can be in its gap of two logits."""

    slope: float
    curvature: float


def logistic(beta: float) -> Shape:
    """-log sigmoid(beta gap): slope at most beta, curvature at most beta^2 / 4.

    >>> logistic(0.5)
    Shape(slope=0.5, curvature=0.0625)
    """
    check_beta(beta)
    if not 1e-150 < beta < 1e150:
        raise UserError(f"beta is {beta}; the step size needs its square: give one between 1e-150 and 1e150")
    return Shape(beta, beta**2 / 4)


def squared(beta: float) -> Shape:
    """(gap - 1 / (2 beta))^2: slope 1 / beta at the reference, curvature 2.

    >>> squared(0.5)
    Shape(slope=2.0, curvature=2.0)
    """
    check_beta(beta)
    return Shape(1 / beta, 2.0)


@checked
def step_size(world: FiniteWorld, pairs: Pairs, curvature: float) -> float:
    """1 / L: L is `curvature` times the largest eigenvalue of the pair graph's weighted Laplacian.

    >>> from safedpo.finite import population, six_answers
    >>> round(step_size(six_answers(), population(six_answers()), 1.0), 6)  # the complete graph on 6 answers
    0.166667
    """
    table = PairTable(world, [pairs])
    laplacian = table.incidence.mT @ (table.incidence * table.weight)  # (P, A, A)
    return 1 / (curvature * torch.linalg.eigvalsh(laplacian).max().item())


@checked
def cautious_step(world: FiniteWorld, pairs: Pairs, curvature: float) -> float:
    """1 / (2 `curvature` w), w the largest total weight of the pairs at one answer: for losses that see more than gaps.

    >>> from safedpo.finite import population, six_answers
    >>> round(cautious_step(six_answers(), population(six_answers()), 1.0), 6)  # each answer is in five pairs
    0.1
    """
    touched = torch.zeros_like(world.ref_logps)
    for answers in (pairs.chosen, pairs.rejected):
        touched.index_put_((pairs.prompt, answers), pairs.weight, accumulate=True)
    return 1 / (2 * curvature * touched.max().item())


class FitSettings(TypedDict, total=False):
    """What `train` hands on to `fit`, which explains it."""

    loss: str | Callable[..., Slope]
    delta: float
    reference: Tensor | None
    start: Tensor | None


def train(
    method: str,
    world: FiniteWorld,
    pairs: Pairs,
    costs: Costs,
    *,
    shape: Shape,
    beta: float,
    steps: int = STEPS,
    tolerance: float | None = TOLERANCE,
    seeds: Sequence[int] = (0,),
    **settings: Unpack[FitSettings],
) -> tuple[Tensor, float]:
    """One table trained by `fit` on `pairs` with the step size 1/L: its log-probabilities (P, A) and gradient norm.

    `tolerance` is the gradient norm at which training counts as converged, as a share of the largest possible one;
    above it `NotConvergedError`, and `DivergedError` where the logits overflow, both naming `method`. `None`
    accepts any: for a loop that calls again.

    >>> from safedpo.finite import optimal_policy, population, six_answers, tv
    >>> world, costs = six_answers(), Costs(tables=1)
    >>> logps, norm = train("demo", world, population(world), costs, shape=logistic(0.5), beta=0.5, steps=500)
    >>> tv(logps, optimal_policy(world, 0.5, penalty=0.0)).item() < 1e-3, costs.steps  # DPO on helpful pairs
    (True, 500)
    """
    limit = None if tolerance is None else tolerance * shape.slope * pairs.weight.sum().item()
    lr = step_size(world, pairs, shape.curvature)
    costs.steps += steps
    try:
        done = fit(
            world, pairs, beta=beta, steps=steps, lr=lr, seeds=seeds, record=[steps], tolerance=limit, **settings
        )
    except NotConvergedError as error:
        raise NotConvergedError(f"{method} at beta={beta:.4g}", steps, error.gradient_norm, error.tolerance) from None
    except DivergedError as error:
        raise DivergedError(f"{method} at beta={beta:.4g}", error.step) from None
    return done.policy[0, 0, 0], done.gradient_norm.item()


def dpo(
    method: str,
    world: FiniteWorld,
    pairs: Pairs,
    costs: Costs,
    beta: float,
    steps: int = STEPS,
    tolerance: float | None = TOLERANCE,
    **settings: Unpack[FitSettings],
) -> tuple[Tensor, float]:
    """`train` with the logistic loss at `beta`, which is DPO on `pairs` as they are.

    >>> from safedpo.finite import optimal_policy, population, six_answers, tv
    >>> world = six_answers()
    >>> logps, _ = dpo("DPO", world, population(world), Costs(), 0.5)
    >>> tv(logps, optimal_policy(world, 0.5, penalty=0.0)).item() < 1e-3
    True
    """
    shape = logistic(beta)
    return train(method, world, pairs, costs, shape=shape, beta=beta, steps=steps, tolerance=tolerance, **settings)


def descend(
    method: str,
    world: FiniteWorld,
    pairs: Pairs,
    objective: Callable[[Tensor], Tensor],
    costs: Costs,
    *,
    lr: float,
    steep: float,
    steps: int,
    tolerance: float,
) -> tuple[Tensor, float]:
    """Autograd descent on `objective(log pi - log pi_ref)`, a table (P, A): log-probabilities and gradient norm.

    For losses that see more than the gap of two answers of one pair. `lr` is the step size; `steep` is the slope one pair
    can have, and the gradient norm must end below `tolerance` times `steep` times the weight of all pairs.

    >>> from safedpo.finite import population, six_answers, tv
    >>> world = six_answers()
    >>> pull = lambda ratio: -(world.ref_logps + ratio)[0, 0]  # raises log pi of answer 0, as long as it runs
    >>> logps, _ = descend("demo", world, population(world), pull, Costs(), lr=1.0, steep=1.0, steps=50, tolerance=1.0)
    >>> logps[0, 0].item() > world.ref_logps[0, 0].item()
    True
    """
    logits = torch.zeros_like(world.ref_logps, requires_grad=True)
    for step in range(steps + 1):
        logps = (world.ref_logps + logits).log_softmax(-1)
        (gradient,) = torch.autograd.grad(
            objective(torch.where(logps.isneginf(), 0.0, logps - world.ref_logps)), logits
        )
        if not gradient.isfinite().all():
            raise DivergedError(method, step)
        if step < steps:
            logits.data -= lr * gradient
    costs.steps += steps
    norm, limit = gradient.norm().item(), tolerance * steep * pairs.weight.sum().item()
    if norm > limit:
        raise NotConvergedError(method, steps, norm, limit)
    return logps.detach(), norm


def sample_answers(logps: Tensor, samples: int, draw: torch.Generator) -> Tensor:
    """`samples` answers to each prompt, drawn from a policy: (P, samples) indices.

    >>> sample_answers(torch.tensor([[0.0, -torch.inf]]), 3, torch.Generator())
    tensor([[0, 0, 0]])
    """
    probabilities = logps.exp()
    if samples < 1 or not probabilities.isfinite().all():
        raise UserError(f"samples is {samples}; at least one is drawn, from log-probabilities that are no NaN")
    return torch.multinomial(probabilities, samples, replacement=True, generator=draw)
