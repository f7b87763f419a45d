"""Numbers by other means than torch's: what the checkers compute with."""

import math

import torch
from torch import Tensor


def log_sigmoid(x: float) -> float:
    """log sigmoid of one number with the standard library alone: the other way the checkers compute losses.

    >>> round(log_sigmoid(0.0) + math.log(2), 12)
    0.0
    """
    return -math.log1p(math.exp(-x)) if x >= 0 else x - math.log1p(math.exp(x))


def t(*rows: float | list) -> Tensor:
    """A double tensor of the numbers."""
    return torch.tensor(rows, dtype=torch.float64)
