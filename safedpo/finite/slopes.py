"""The hand-written derivative of each loss in `safedpo.losses`, for `fit`: one sigmoid instead of a graph.

A slope is prepared once, `safedpo_slope(beta, delta, chosen_unsafe, rejected_unsafe)`, and then maps the gap
(chosen - ref_chosen) - (rejected - ref_rejected), in nats, to d loss / d gap. Everything broadcasts. The tests hold
each one against autograd of its loss.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from safedpo.errors import UserError
from safedpo.losses import BFPO_ALPHA, BFPO_B1, BFPO_B3, check_beta, check_delta, check_flip_rate

Slope = Callable[[Tensor], Tensor]  # gap -> d loss / d gap


def safedpo_slope(beta, delta, chosen_unsafe: Tensor, rejected_unsafe: Tensor) -> Slope:
    """-beta sigmoid(delta * I - beta gap), I = h_rejected - h_chosen (gradient of Eq. 12); with delta = 0 it is DPO.

    >>> no, yes = torch.tensor([False]), torch.tensor([True])
    >>> safedpo_slope(0.1, 2.0, no, yes)(torch.tensor([2.0])).item()
    -0.0858148...
    """
    check_beta(beta)
    check_delta(delta)
    _same_flags(chosen_unsafe, rejected_unsafe)
    margin = delta * (rejected_unsafe.double() - chosen_unsafe.double())
    return lambda gap: torch.sigmoid(margin - beta * gap) * -beta


def cdpo_slope(beta, delta, chosen_unsafe: Tensor, rejected_unsafe: Tensor, *, flip_rate: float = 0.1) -> Slope:
    """beta (sigmoid(beta gap) - (1 - flip_rate)); it knows neither delta nor safety.

    >>> cdpo_slope(1.0, 0.0, None, None)(torch.zeros(1).double()).item()
    -0.4
    """
    check_beta(beta)
    check_flip_rate(flip_rate)
    return lambda gap: beta * (torch.sigmoid(beta * gap) - (1 - flip_rate))


def robust_dpo_slope(beta, delta, chosen_unsafe: Tensor, rejected_unsafe: Tensor, *, flip_rate: float = 0.1) -> Slope:
    """-beta (sigmoid(-beta gap) + flip_rate / (1 - 2 flip_rate)), never 0; it knows neither delta nor safety.

    >>> robust_dpo_slope(1.0, 0.0, None, None)(torch.zeros(1)).item()
    -0.625
    """
    check_beta(beta)
    check_flip_rate(flip_rate)
    return lambda gap: -beta * (torch.sigmoid(-beta * gap) + flip_rate / (1 - 2 * flip_rate))


def ipo_slope(beta, delta, chosen_unsafe: Tensor, rejected_unsafe: Tensor) -> Slope:
    """2 (gap - 1 / (2 beta)); it knows neither delta nor safety.

    >>> ipo_slope(0.1, 0.0, None, None)(torch.zeros(1)).item()
    -10.0
    """
    check_beta(beta)
    return lambda gap: 2 * gap - 1 / beta


def bfpo_slope(beta, delta, chosen_unsafe: Tensor, rejected_unsafe: Tensor) -> Slope:
    """2 (gap - target / beta), the target set by both safety flags; it knows no delta.

    >>> no = torch.tensor([False])
    >>> bfpo_slope(0.5, 0.0, no, no)(torch.zeros(1)).item()
    -2.0
    """
    check_beta(beta)
    _same_flags(chosen_unsafe, rejected_unsafe)
    chosen_safe, rejected_safe = (~chosen_unsafe).double(), (~rejected_unsafe).double()
    target = BFPO_B1 * BFPO_B3 * chosen_safe - BFPO_B3 * rejected_safe - BFPO_ALPHA
    return lambda gap: 2 * (gap - target / beta)


def _same_flags(chosen_unsafe: Tensor, rejected_unsafe: Tensor) -> None:
    if chosen_unsafe.shape != rejected_unsafe.shape or chosen_unsafe.dtype != torch.bool:
        shapes = tuple(chosen_unsafe.shape), tuple(rejected_unsafe.shape)
        raise UserError(f"the flags are {chosen_unsafe.dtype} of shapes {shapes}; give bool of one shape")


SLOPES = {
    "safedpo": safedpo_slope,
    "cdpo": cdpo_slope,
    "robust_dpo": robust_dpo_slope,
    "ipo": ipo_slope,
    "bfpo": bfpo_slope,
}
