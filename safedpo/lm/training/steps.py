"""Which pairs make up a step, and on which process: a pure function of the seed, the epoch and the step.

Nothing is taken from a global random generator, so a resumed run meets the same pairs, and one process meets in a step
the pairs that several processes share. Two processes on a machine without a GPU are started with either of

    torchrun --standalone --nproc-per-node=2 "$(which safedpo)" train ...
    ACCELERATE_USE_CPU=true accelerate launch --multi_gpu --num_processes=2 "$(which safedpo)" train ...

(accelerate starts several local processes only as "multi_gpu"; the variable makes them processes of the CPU).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from safedpo.errors import UserError
from safedpo.lm.rows.packing import TokenBatch


@dataclass(frozen=True)
class Row:
    """A packed row, and what the loss needs beside it: reference (2, B), unsafe flags (2, B), groups (B,), ids."""

    batch: TokenBatch
    ids: list[int]
    count: int  # what the loss is averaged over: pairs, or response tokens in supervised fine-tuning
    ref_logps: Tensor | None = None
    unsafe: Tensor | None = None
    groups: Tensor | None = None
    filler: bool = False  # runs along so that all processes run as many rows, and counts for nothing

    def to(self, device) -> "Row":
        moved: dict[str, Any] = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor | TokenBatch)}
        return replace(self, **moved)


class StepSampler:
    """Yields the indices that process `rank` of `world` computes in each step.

    Every index occurs once an epoch. The last step may be smaller, and may leave a process without any; a step's items
    are dealt out by length, so that the processes have similar work.

    >>> one = StepSampler([1] * 5, batch_size=4, seed=0)
    >>> two = [StepSampler([1] * 5, batch_size=2, seed=0, rank=r, world=2) for r in (0, 1)]
    >>> [sorted(a + b) for a, b in zip(*two)] == [sorted(step) for step in one]
    True
    """

    def __init__(self, lengths: Sequence[int], *, batch_size: int, seed: int, rank: int = 0, world: int = 1):
        if batch_size < 1 or not 0 <= rank < world:
            raise UserError(
                f"batch_size is {batch_size}, rank {rank} of {world}; a step holds at least 1, ranks are 0 to {world - 1}"
            )
        self.lengths, self.batch_size, self.seed = lengths, batch_size * world, seed
        self.rank, self.world, self.epoch = rank, world, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(len(self.lengths), generator=generator).tolist()
        for start in range(0, len(order), self.batch_size):
            step = sorted(order[start : start + self.batch_size], key=lambda i: -self.lengths[i])
            laps = [step[k : k + self.world] for k in range(0, len(step), self.world)]
            dealt = [lap if k % 2 == 0 else lap[::-1] for k, lap in enumerate(laps)]  # there and back: equal sums
            yield [lap[self.rank] for lap in dealt if self.rank < len(lap)]


class StepLoader(DataLoader):
    """A DataLoader over a `StepSampler` that knows its epoch; the Trainer calls `set_epoch`."""

    def __init__(self, sampler: StepSampler, collate):
        # A range is a data set of indices: the loader asks for its length and its items, and no more.
        super().__init__(range(len(sampler.lengths)), batch_sampler=sampler, collate_fn=collate)  # type: ignore[arg-type]
        self._sampler = sampler

    def set_epoch(self, epoch: int) -> None:
        self._sampler.set_epoch(epoch)
