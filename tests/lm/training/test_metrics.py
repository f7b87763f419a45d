import math

import pytest
import torch

from safedpo.lm.training.config import SafeDPOConfig
from safedpo.lm.training.metrics import QUANTITIES, GroupSums, pair_columns
from safedpo.losses import SATURATED


def test_means_are_by_hand():
    config = SafeDPOConfig(output_dir="run", use_cpu=True, beta=0.5)
    logps = torch.tensor([[-2.0, -6.0, -1.0], [-8.0, -6.0, -41.0]])
    ref = torch.tensor([[-4.0, -5.0, -1.0], [-4.0, -9.0, -1.0]])
    losses, slope = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([-0.3, -0.4, -0.5 * SATURATED / 2])
    sums = GroupSums()
    sums.add(torch.tensor([0, 1, 1]), pair_columns(config, losses, logps, ref, slope))
    row = sums.drain()
    assert row["pairs"] == 3 and row["SS/pairs"] == 1 and row["SU/pairs"] == 2 and "US/pairs" not in row
    assert row["loss"] == 2.0 and row["SU/loss"] == 2.5
    assert row["SS/rewards/chosen"] == 1.0 and row["SS/rewards/rejected"] == -2.0 and row["SS/rewards/margins"] == 3.0
    assert row["SU/rewards/margins"] == pytest.approx((-2.0 + 20.0) / 2)
    assert row["SU/rewards/accuracies"] == 0.5 and row["saturated"] == pytest.approx(1 / 3)
    assert row["logps/chosen"] == -3.0 and row["SU/logps/rejected"] == -23.5
    assert sums.drain() == {}


def test_uneven_pieces_weigh_by_their_pairs_and_processes_add_up():
    values = torch.arange(5.0).repeat(len(QUANTITIES), 1)
    one, two, other = GroupSums(), GroupSums(), GroupSums()
    one.add(torch.zeros(5, dtype=torch.long), values)
    two.add(torch.zeros(2, dtype=torch.long), values[:, :2])
    other.add(torch.zeros(3, dtype=torch.long), values[:, 2:])
    assert two.drain(lambda table: table + other.table) == one.drain()
    assert math.isclose(values[0].mean().item(), 2.0)
