"""What a run logs: sums and counts by pair group, added over rows and processes and divided once.

Each quantity is logged over all pairs (`rewards/margins`) and for each group before T (`SU/rewards/margins`). Both
log-probabilities always stand beside the reward margin: a margin also grows while both of them fall.
"""

import torch
from torch import Tensor

from safedpo.losses import SATURATED
from safedpo.transform import GROUPS

QUANTITIES = (
    "loss",
    "logps/chosen",  # nats, summed over the response's tokens
    "logps/rejected",
    "rewards/chosen",  # beta * (logps - reference logps)
    "rewards/rejected",
    "rewards/margins",  # the paper's m
    "rewards/accuracies",  # share of pairs with m > 0
    "saturated",  # share of pairs that hardly pull any more: |dL/dm| below SATURATED
)


class GroupSums:
    """Sums of `QUANTITIES` and numbers of pairs, by group; on the CPU, in float64.

    >>> sums = GroupSums()
    >>> sums.add(torch.tensor([1, 1]), torch.tensor([[4.0, 2.0]] * len(QUANTITIES)))
    >>> row = sums.drain()
    >>> row["SU/loss"], row["SU/pairs"], row["pairs"], "SS/loss" in row
    (3.0, 2, 2, False)
    """

    def __init__(self):
        self.table = torch.zeros(len(GROUPS), len(QUANTITIES) + 1, dtype=torch.float64)

    def add(self, groups: Tensor, columns: Tensor) -> None:
        """Add pairs: their groups (B,) as indices into `GROUPS`, their values (len(QUANTITIES), B)."""
        counted = (
            torch.cat([columns, torch.ones_like(columns[:1])]).detach().T.cpu().double()
        )  # a Mac's GPU has no float64
        self.table.index_add_(0, groups.cpu(), counted)

    def drain(self, reduce=lambda table: table) -> dict[str, float]:
        """Means over all pairs and by group since the last call; `reduce` sums the table over processes."""
        table = reduce(self.table)
        self.table = torch.zeros_like(self.table)
        row = _means("", table.sum(0))
        for name, sums in zip(GROUPS, table, strict=True):
            row |= _means(f"{name}/", sums)
        return row


def _means(prefix: str, sums: Tensor) -> dict[str, float]:
    count = int(sums[-1])
    if count == 0:
        return {}
    return {prefix + name: (sums[i] / count).item() for i, name in enumerate(QUANTITIES)} | {f"{prefix}pairs": count}


def pair_columns(config, losses: Tensor, logps: Tensor, ref_logps: Tensor, slope: Tensor) -> Tensor:
    """The values of `QUANTITIES` for each pair, (len(QUANTITIES), B), from logps and ref_logps (2, B).

    `slope` (B,) is dL/d chosen_logps = beta * dL/dm, so that "saturated" means the same for every loss.

    >>> from types import SimpleNamespace
    >>> logps, ref_logps = torch.tensor([[-2.0], [-5.0]]), torch.tensor([[-3.0], [-3.0]])
    >>> found = pair_columns(SimpleNamespace(beta=0.1), torch.zeros(1), logps, ref_logps, torch.zeros(1))
    >>> dict(zip(QUANTITIES, found[:, 0].tolist()))["rewards/margins"]  # .1 (1 + 2)
    0.30000001192092896
    """
    rewards = config.beta * (logps - ref_logps)
    margin = rewards[0] - rewards[1]
    pull = slope.abs() / config.beta
    return torch.stack(
        [losses, *logps, *rewards, margin, (margin > 0).to(losses.dtype), (pull < SATURATED).to(losses.dtype)]
    )


def closing(log: list[dict], share: float = 0.1) -> dict[str, float]:
    """Each quantity averaged over the last tenth of the log rows: one step alone is noise.

    >>> closing([{"loss": 4.0, "step": 1}, {"loss": 2.0, "step": 2}], share=0.5)
    {'loss': 2.0}
    """
    tail = log[-max(1, round(share * len(log))) :]
    names = sorted({name for row in tail for name in row} - {"step", "epoch", "learning_rate", "pairs"})
    values = {name: [row[name] for row in tail if name in row] for name in names if not name.endswith("/pairs")}
    return {name: sum(found) / len(found) for name, found in values.items()}
