"""Gradient training of tabular policies from weighted pairs, all of (beta, delta, seed) in one tensor.

A policy is a table of logits z, started at log pi_ref, and a step is z <- z - lr * gradient of the weighted *sum* of
the losses. Because log pi(chosen) - log pi(rejected) = z_chosen - z_rejected, a pair sees only the gap of two logits,
its gradient is the difference of two unit vectors, and a step is two small matrix products. The recorded path is
computed afterwards from the recorded policies.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat

import torch
from torch import Tensor
from tqdm import tqdm

from safedpo.errors import UserError
from safedpo.finite.optimum import expected_reward, kl, optimal_policy, safe_part, tv, unsafe_mass
from safedpo.finite.pair_table import PairTable
from safedpo.finite.pairs import Pairs
from safedpo.finite.slopes import SLOPES, Slope
from safedpo.finite.world import FiniteWorld
from safedpo.losses import check_beta


class DivergedError(UserError):
    """The logits left the numbers at `step`."""

    def __init__(self, run: str, step: int):
        super().__init__(f"{run} diverged at step {step} (its logits are no longer finite); use a smaller lr")
        self.step = step


class NotConvergedError(UserError):
    """After the last step the gradient norm of some run is above the tolerance that was asked for.

    A loop over rounds of training stops by another number, which `loop` names.
    """

    def __init__(self, run: str, steps: int, gradient_norm: float, tolerance: float, *, loop: str = ""):
        each, what, other = ("rounds", loop, "tolerance") if loop else ("steps", "gradient norm", "lr")
        super().__init__(
            f"{run} has not converged after {steps} {each}: its {what} is {gradient_norm:.3g}, above {tolerance:.3g}; "
            f"use more {each} or another {other}, and do not read its policy as an optimum"
        )
        self.gradient_norm, self.tolerance = gradient_norm, tolerance


@dataclass(frozen=True, eq=False)
class TrainingPath:
    """What was seen at the recorded steps: float64 (T, B, D, S), means over prompts.

    `tv` and `kl` are the distances TV(pi, pi*) and KL(pi* || pi) to the safe optimum of the run's beta; `safe_tv`
    is the TV of the policy given that its answer is safe; `chosen_logps` and `rejected_logps` are weighted means
    over the pairs.
    """

    unsafe_mass: Tensor
    tv: Tensor
    kl: Tensor
    safe_tv: Tensor
    reward: Tensor
    chosen_logps: Tensor
    rejected_logps: Tensor


@dataclass(frozen=True, eq=False)
class Fit:
    """The result of `fit`: B betas, D deltas, S seeds, T recorded steps.

    `logps` (T, B, D, S, P, A) are the policies at `steps` (T,); `gradient_norm` (B, D, S) is that of the full
    weighted sum after the last step: read nothing as an optimum where it is not small. `path` is computed when it is
    first asked for, because it measures distances to pi*, which need not exist: DPO runs in a world without a safe
    answer too.
    """

    beta: Tensor
    delta: Tensor
    seeds: tuple[int, ...]
    steps: Tensor
    logps: Tensor
    gradient_norm: Tensor
    world: FiniteWorld
    table: PairTable

    @cached_property
    def path(self) -> TrainingPath:
        """What was seen at `steps`; `InfeasiblePromptError` where a prompt has no safe answer."""
        return _path(self.world, self.table, self.beta, self.logps)

    @property
    def policy(self) -> Tensor:
        """The policies after the last step, (B, D, S, P, A)."""
        return self.logps[-1]


@contextmanager
def one_thread():
    """A step is too small to share: on a busy machine, waiting for a second thread costs far more than it brings.

    >>> with one_thread():
    ...     torch.get_num_threads()
    1
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@one_thread()
def fit(
    world: FiniteWorld,
    pairs: Pairs | Sequence[Pairs],
    *,
    loss: str | Callable[..., Slope] = "safedpo",
    beta: float | Sequence[float] = 0.1,
    delta: float | Sequence[float] = 0.0,
    steps: int = 1000,
    lr: float | Sequence[float] = 1.0,
    seeds: Sequence[int] = (0,),
    reference: Tensor | None = None,
    start: Tensor | None = None,
    spread: float = 0.0,
    batch_size: int | None = None,
    record: Sequence[int] | None = None,
    tolerance: float | None = None,
) -> Fit:
    """Train B x D x S tabular policies at once by gradient descent on the weighted sum of a loss over `pairs`.

    `pairs` as they are: apply `Pairs.transform` first (safedpo is T plus delta). One `Pairs` serves every run; a
    sequence holds one data set for each seed. `loss` is a key of `SLOPES` or a function like those there. `lr`
    may be one number for each beta. `reference` (P, A) replaces the world's in the loss, `start` (P, A) is where
    the logits begin (the reference), with N(0, spread^2) added for each seed. With `batch_size` each step draws that
    many pairs with replacement. `record` lists the steps to keep (about 50, spread in log). `tolerance` asks for
    convergence: a gradient norm above it raises `NotConvergedError`. `DivergedError` names the step.

    >>> from safedpo.finite import optimal_policy, population, six_answers
    >>> world = six_answers()
    >>> runs = fit(world, population(world).transform(), beta=1.0, delta=[0.0, 5.0], steps=4000, lr=0.5)
    >>> (runs.path.tv[-1, 0, :, 0] < 2e-3).tolist()  # both margins end near pi*
    [True, True]
    """
    _check(loss, beta, steps, batch_size, record, seeds, pairs)
    table = PairTable(world, [pairs] if isinstance(pairs, Pairs) else pairs)
    runs = _Runs(beta, delta, seeds, lr, loss if isinstance(loss, str) else "the given loss")
    slope = (SLOPES[loss] if isinstance(loss, str) else loss)(runs.beta, runs.delta, *table.flags)
    reference = world.ref_logps if reference is None else reference
    ratio = _start(reference, start, spread, runs)
    weights = repeat(table.weight) if batch_size is None else table.minibatches(batch_size, seeds)
    kept, recorded = _log_spaced(steps) if record is None else {*record}, {}
    for step in _descend(table, slope, ratio, weights, runs, steps):  # `ratio` moves in place
        if step in kept:
            recorded[step] = (reference[:, :, None] + ratio).log_softmax(1)
    norm = table.gradient(slope(table.gap(ratio)), table.weight).flatten(0, 1).norm(dim=0)  # (R,)
    if tolerance is not None and norm.max() > tolerance:
        raise NotConvergedError(runs.name(norm == norm.max()), steps, norm.max().item(), tolerance)
    logps = torch.stack(list(recorded.values())).permute(0, 3, 1, 2).unflatten(1, runs.grid)
    at, norm = torch.tensor([*recorded]), norm.view(runs.grid)
    return Fit(runs.betas, runs.deltas, tuple(seeds), at, logps, norm, world, table)


class _Runs:
    """The grid of settings, and each setting as one number for each of the R = B D S runs, seeds fastest."""

    def __init__(self, beta, delta, seeds, lr, loss: str):
        self.betas, self.deltas = (torch.as_tensor(v, dtype=torch.float64).reshape(-1) for v in (beta, delta))
        self.seeds, self.loss = seeds, loss
        self.grid = (len(self.betas), len(self.deltas), len(seeds))
        lr = torch.as_tensor(lr, dtype=torch.float64).expand(len(self.betas))
        self.beta, self.lr = (v[:, None, None].expand(self.grid).reshape(-1) for v in (self.betas, lr))
        self.delta = self.deltas[:, None].expand(self.grid).reshape(-1)

    def name(self, which: Tensor) -> str:
        """The first run of the mask `which` (R,), in words."""
        b, d, s = which.view(self.grid).nonzero()[0].tolist()
        return f"{self.loss} at beta={self.betas[b]:.4g}, delta={self.deltas[d]:.4g}, seed={self.seeds[s]}"


def _path(world: FiniteWorld, table: PairTable, betas: Tensor, logps: Tensor) -> TrainingPath:
    best = torch.stack([optimal_policy(world, beta.item()) for beta in betas])[:, None, None]  # (B, 1, 1, P, A)
    return TrainingPath(
        unsafe_mass=unsafe_mass(world, logps).mean(-1),
        tv=tv(logps, best).mean(-1),
        kl=kl(best.expand_as(logps), logps).mean(-1),
        safe_tv=tv(safe_part(world, logps), best).mean(-1),
        reward=expected_reward(world, logps).mean(-1),
        chosen_logps=table.mean(logps, 1),
        rejected_logps=table.mean(logps, -1),
    )


def _start(reference: Tensor, start: Tensor | None, spread: float, runs: _Runs) -> Tensor:
    """log pi - log pi_ref at the start, up to a constant: (P, A, R). 0 where the reference has no mass: it stays so."""
    ratio = torch.zeros_like(reference) if start is None else start - reference
    draws = (torch.Generator().manual_seed(seed) for seed in runs.seeds)
    noise = torch.stack([torch.randn(reference.shape, generator=draw, dtype=torch.float64) for draw in draws], dim=-1)
    ratio = torch.where(reference.isneginf()[..., None], 0.0, ratio[..., None] + spread * noise)  # (P, A, S)
    return ratio.repeat(1, 1, len(runs.betas) * len(runs.deltas))


def _descend(
    table: PairTable, slope: Slope, ratio: Tensor, weights: Iterator[Tensor], runs: _Runs, steps: int
) -> Iterator[int]:
    """Every step from 0 on, before it is taken; `ratio` moves between two of them. `DivergedError` where it overflows."""
    for step in tqdm(range(steps + 1), desc=f"fit {runs.loss}", delay=2, leave=False):
        yield step
        if step < steps:
            ratio -= runs.lr * table.gradient(slope(table.gap(ratio)), next(weights))
            if not ratio.isfinite().all():
                raise DivergedError(runs.name(~ratio.isfinite().flatten(0, 1).all(0)), step + 1)


def _log_spaced(steps: int) -> set[int]:
    """0, 1 and about 50 more steps up to the last."""
    return {0, steps, *torch.logspace(0, torch.tensor(max(steps, 1)).log10().item(), 50).round().int().tolist()}


def _check(loss, beta, steps: int, batch_size: int | None, record, seeds, pairs) -> None:
    if isinstance(loss, str) and loss not in SLOPES:
        known = ", ".join(SLOPES)
        raise UserError(f"loss is {loss!r}; known losses are {known} (DPO is safedpo with delta 0), or give a function")
    check_beta(torch.as_tensor(beta, dtype=torch.float64))
    if steps < 0 or (batch_size is not None and batch_size < 1):
        raise UserError(f"steps is {steps} and batch_size {batch_size}; they must be at least 0 and 1")
    if record is not None and not all(0 <= step <= steps for step in record):
        raise UserError(f"record asks for steps outside 0 to {steps}")
    if not isinstance(pairs, Pairs) and len(pairs) != len(seeds):
        raise UserError(f"pairs holds {len(pairs)} data sets for {len(seeds)} seeds; give one, or one for each seed")
    if min(map(len, [pairs] if isinstance(pairs, Pairs) else pairs)) == 0:
        raise UserError("a data set has no pairs left to train on (T drops pairs of two unsafe answers)")
