"""The finite world: prompts with a table of answers whose reference, reward, cost and safety are all known.

Here every expectation is a sum over a table, so each statement of the paper is a number that can be computed twice.
Tensors are float64 of shape (P, A): P prompts, A answers each.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from safedpo.errors import UserError

SUM_TOLERANCE = 1e-6  # loose enough for a reference that once was float32; no formula here needs an exact one


Table = Tensor | np.ndarray | Sequence[Sequence[float]]  # (P, A), as it may be given


@dataclass(frozen=True, eq=False, init=False)
class FiniteWorld:
    """Everything about the answers of P prompts: log pi_ref(y|x), r(x, y), h(x, y) and c(x, y), each (P, A).

    `ref_logps` in nats (-inf: the reference never says it), `reward` finite, `unsafe` bool (the paper's h = 1),
    `cost` with (cost > 0) == unsafe; without it, `unsafe` as 0.0 and 1.0. `labels` names the A answers in
    figures. Anything array-like is accepted and copied to float64; what does not fit raises `UserError` with the
    index and the value.

    >>> world = FiniteWorld(torch.tensor([[0.5, 0.5]]).log(), [[1.0, 2.0]], [[False, True]])
    >>> world.prompts, world.answers, world.cost.tolist()
    (1, 2, [[0.0, 1.0]])
    """

    ref_logps: Tensor
    reward: Tensor
    unsafe: Tensor
    cost: Tensor
    labels: tuple[str, ...] | None

    def __init__(
        self,
        ref_logps: Table,
        reward: Table,
        unsafe: Table,
        cost: Table | None = None,
        labels: tuple[str, ...] | None = None,
    ):
        flags = torch.as_tensor(unsafe).clone()
        if flags.dtype != torch.bool:
            raise UserError(f"unsafe is {flags.dtype}; it must be bool (True = unsafe, h = 1)")
        tables = {"ref_logps": ref_logps, "reward": reward, "cost": flags if cost is None else cost}
        for name, table in tables.items():
            object.__setattr__(self, name, torch.as_tensor(table, dtype=torch.float64).clone())
        object.__setattr__(self, "unsafe", flags)
        object.__setattr__(self, "labels", labels)
        self._check()

    def _check(self) -> None:
        shape = tuple(self.ref_logps.shape)
        if len(shape) != 2 or 0 in shape:
            raise UserError(f"ref_logps has shape {shape}; it must be (prompts, answers)")
        for name in ("reward", "unsafe", "cost"):
            if getattr(self, name).shape != shape:
                raise UserError(f"{name} has shape {tuple(getattr(self, name).shape)}, ref_logps {shape}")
        _refuse(
            "ref_logps",
            self.ref_logps,
            self.ref_logps.isnan() | (self.ref_logps > SUM_TOLERANCE),
            "a log-probability is at most 0",
        )
        _refuse("reward", self.reward, ~self.reward.isfinite(), "it must be finite (forbid an answer with unsafe)")
        _refuse("cost", self.cost, ~self.cost.isfinite(), "it must be finite")
        _refuse("cost", self.cost, (self.cost > 0) != self.unsafe, "against unsafe: an answer is unsafe iff cost > 0")
        totals = self.ref_logps.logsumexp(-1)
        _refuse("ref_logps", totals.exp(), totals.abs() > SUM_TOLERANCE, "the probabilities must sum to 1")
        if self.labels is not None and len(self.labels) != self.answers:
            raise UserError(f"labels has {len(self.labels)} entries for {self.answers} answers")

    @property
    def prompts(self) -> int:
        """P, the number of prompts."""
        return self.ref_logps.shape[0]

    @property
    def answers(self) -> int:
        """A, the number of answers to each prompt."""
        return self.ref_logps.shape[1]


def same_shape(world: FiniteWorld, **tables: Tensor) -> None:
    """Raise `UserError` for the first table that is not (P, A) of this world.

    >>> same_shape(six_answers(), scores=torch.zeros(2, 3))
    Traceback (most recent call last):
    ...
    safedpo.errors.UserError: scores has shape (2, 3); the world's tables have (1, 6)
    """
    for name, table in tables.items():
        if table.shape != world.ref_logps.shape:
            raise UserError(
                f"{name} has shape {tuple(table.shape)}; the world's tables have {tuple(world.ref_logps.shape)}"
            )


def _refuse(name: str, table: Tensor, wrong: Tensor, why: str) -> None:
    """Raise `UserError` for the first entry of `table` that is `wrong`."""
    if wrong.any():
        index = tuple(wrong.nonzero()[0].tolist())
        raise UserError(f"{name}[{', '.join(map(str, index))}] is {table[index].item():.6g}: {why}")


def six_answers() -> FiniteWorld:
    """The world of the lessons: "The sink is blocked. What do I do tonight?", six answers, two of them hazardous.

    The hazardous answers have the highest reward (they sound quick and sure), so whoever only follows the reward ends
    there. The careful answers have negative cost: room that a constraint on the *expected* cost will spend.

    >>> world = six_answers()
    >>> [label for label, h in zip(world.labels, world.unsafe[0]) if h]
    ['bleach and drain acid', 'caustic, bare hands']
    """
    rows = (
        # label,                 pi_ref, reward, cost
        ("plunger, then snake", 0.18, 1.0, -1.0),
        ("boiling water, soap", 0.22, 0.6, -0.5),
        ("call a plumber", 0.16, 0.2, -1.0),
        ("sorry, I cannot help", 0.08, -0.8, -1.5),
        ("bleach and drain acid", 0.14, 1.8, 2.5),
        ("caustic, bare hands", 0.22, 1.3, 1.0),
    )
    reference, reward, cost = torch.tensor([row[1:] for row in rows], dtype=torch.float64).T[:, None]
    return FiniteWorld(reference.log(), reward, cost > 0, cost, tuple(row[0] for row in rows))


def world_a() -> FiniteWorld:
    """Four safe and four unsafe answers, uniform reference; used with `over_represent(world, 3)`.

    >>> world_a().reward[0, :4].tolist()
    [0.3, 0.2, 0.1, 0.0]
    """
    reward = [[0.3, 0.2, 0.1, 0.0, 0.5, 0.4, 0.3, 0.2]]
    return FiniteWorld(torch.full((1, 8), 1 / 8, dtype=torch.float64).log(), reward, [[False] * 4 + [True] * 4])


def world_b() -> FiniteWorld:
    """Like `world_a`, rewards and reference drawn by NumPy's `default_rng(1)`; with `over_represent(world, 0)`.

    >>> world_b().ref_logps.exp()[0, :2].numpy().round(8).tolist()
    [0.10425128, 0.0056176]
    """
    draw = np.random.default_rng(1)
    reward, reference = draw.normal(size=(1, 8)), draw.dirichlet(np.ones(8))[None]
    return FiniteWorld(np.log(reference), reward, [[False] * 4 + [True] * 4])


def random_world(
    seed: int,
    prompts: int = 1,
    answers: int = 6,
    *,
    unsafe_answers: int | None = None,
    safe_support: float | None = None,
    reward_gap: float | None = None,
) -> FiniteWorld:
    """A fresh world: reference Dirichlet(1), rewards N(0, 1), safe costs in (-1, 0], unsafe costs in (0, 2].

    `unsafe_answers` u of each prompt's A answers are unsafe (without it 1 to A-1, drawn for each prompt), which
    makes u(u-1) / (A(A-1)) of its unordered pairs UU. `safe_support` in (0, 1] is the reference mass of the safe
    answers, the delta of Assumption 4.1. `reward_gap` is the best unsafe minus the best safe reward.

    >>> world = random_world(0, prompts=2, unsafe_answers=3, safe_support=1e-8, reward_gap=1.0)
    >>> world.ref_logps.masked_fill(world.unsafe, -torch.inf).logsumexp(-1).exp()
    tensor([1.0000e-08, 1.0000e-08], dtype=torch.float64)
    """
    if prompts < 1 or not 0 <= seed < 2**63:
        raise UserError(f"prompts is {prompts} and seed {seed}; give at least one prompt, and a seed of at least 0")
    if reward_gap is not None and not math.isfinite(reward_gap):
        raise UserError(f"reward_gap is {reward_gap}; it must be finite")
    least, most = (1, answers - 1) if unsafe_answers is None else (unsafe_answers, unsafe_answers)
    if not 0 <= least <= most < answers:
        raise UserError(f"{unsafe_answers or 1} of {answers} answers unsafe: at least one answer must be safe")
    draw = torch.Generator().manual_seed(seed)
    count = torch.randint(least, most + 1, (prompts, 1), generator=draw)
    rank = torch.rand(prompts, answers, generator=draw).argsort(-1).argsort(-1)
    unsafe = rank < count  # (P, A)
    reward = torch.randn(prompts, answers, generator=draw, dtype=torch.float64)
    ref_logps = torch.empty(prompts, answers, dtype=torch.float64).exponential_(generator=draw).log().log_softmax(-1)
    size = 1 - torch.rand(prompts, answers, generator=draw, dtype=torch.float64)  # (0, 1]
    if reward_gap is not None:
        best_safe, best_unsafe = (
            reward.masked_fill(not_these, -torch.inf).amax(-1, keepdim=True) for not_these in (unsafe, ~unsafe)
        )
        reward = torch.where(unsafe, reward + reward_gap + best_safe - best_unsafe, reward)
    if safe_support is not None:
        ref_logps = _with_safe_support(ref_logps, unsafe, safe_support)
    return FiniteWorld(ref_logps, reward, unsafe, torch.where(unsafe, 2 * size, size - 1))


def _with_safe_support(ref_logps: Tensor, unsafe: Tensor, safe_support: float) -> Tensor:
    """Rescale both groups of answers in log space, so that 1e-300 serves like 0.5."""
    if not 0 < safe_support <= 1:
        raise UserError(f"safe_support is {safe_support}; it must be greater than 0 and at most 1")
    if safe_support < 1 and not unsafe.any(-1).all():
        raise UserError(f"safe_support is {safe_support} but a prompt has no unsafe answer to hold the rest")
    for group, mass in ((~unsafe, safe_support), (unsafe, 1 - safe_support)):
        total = ref_logps.masked_fill(~group, -torch.inf).logsumexp(-1, keepdim=True)
        ref_logps = torch.where(group, ref_logps - total + torch.tensor(mass, dtype=torch.float64).log(), ref_logps)
    return ref_logps
