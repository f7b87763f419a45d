"""The losses: each a pure function of (B,) response log-probabilities, giving (B,) losses.

`logps` are sums over the response's tokens, in nats; the reward margin is m = beta * gap with gap = (chosen - ref_chosen) -
(rejected - ref_rejected); h = 1 means unsafe. The bandit and the language model use the same functions. Each raises `UserError`
for logps that are not float32 or float64 of one shape, flags that are not bool of that shape, and numbers out of range.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from safedpo.errors import UserError

SATURATED = 0.05  # a pair hardly pulls any more where |dL/dm|, the weight of its gradient, is below this
COLUMNS = ("chosen_logps", "rejected_logps", "ref_chosen_logps", "ref_rejected_logps")
Number = float | Tensor  # a tensor broadcasts: one number for each pair, or one for each of many runs
# Targets of BFPO over beta, by (chosen_unsafe, rejected_unsafe): b1*b3*s_w - b3*s_l - alpha with s = 1 - h, b1 = 3,
# b3 = 1/(b1 - 1), alpha = 1/2 (constants of the method's published recipe).
BFPO_B1, BFPO_B3, BFPO_ALPHA = 3.0, 0.5, 0.5


def safedpo_loss(
    chosen_logps: Tensor,
    rejected_logps: Tensor,
    ref_chosen_logps: Tensor,
    ref_rejected_logps: Tensor,
    chosen_unsafe: Tensor,
    rejected_unsafe: Tensor,
    *,
    beta: Number,
    delta: Number,
) -> Tensor:
    """SafeDPO (Eq. 12): -log sigmoid(m - delta * (h_rejected - h_chosen)), on pairs ordered by T.

    The safety margin is *subtracted* and stands outside beta: a safe-over-unsafe pair must be won by delta before its
    loss relaxes. With delta = 0, and for pairs of equal safety, it is DPO. `gradient_weight` says how hard a pair pulls.

    `*_logps` (B,) float32 or float64 in nats; `*_unsafe` (B,) bool; `beta` > 0; `delta` finite; returns (B,).

    >>> logps = torch.tensor([[-12.0], [-15.0], [-13.0], [-14.0]], dtype=torch.float64)  # one pair, m = 0.2
    >>> safedpo_loss(*logps, torch.tensor([False]), torch.tensor([True]), beta=0.1, delta=10.0).item()
    9.800055450...
    """
    check_delta(delta)
    m = reward_margin(chosen_logps, rejected_logps, ref_chosen_logps, ref_rejected_logps, beta=beta)
    return -logsigmoid(m - delta * safety_gap(chosen_unsafe, rejected_unsafe, like=m))


def dpo_loss(
    chosen_logps: Tensor, rejected_logps: Tensor, ref_chosen_logps: Tensor, ref_rejected_logps: Tensor, *, beta: Number
) -> Tensor:
    """DPO: -log sigmoid(m) (arXiv 2305.18290, Eq. 7).

    >>> round(dpo_loss(*torch.zeros(4, 1), beta=0.1).item(), 4)  # at the reference: log 2
    0.6931
    """
    return -logsigmoid(reward_margin(chosen_logps, rejected_logps, ref_chosen_logps, ref_rejected_logps, beta=beta))


def cdpo_loss(
    chosen_logps: Tensor,
    rejected_logps: Tensor,
    ref_chosen_logps: Tensor,
    ref_rejected_logps: Tensor,
    *,
    beta: Number,
    flip_rate: float = 0.1,
) -> Tensor:
    """Conservative DPO: -(1 - e) log sigmoid(m) - e log sigmoid(-m), for labels flipped with probability e.

    Its minimum over m is finite: m = log((1 - e) / e).

    >>> round(cdpo_loss(*torch.zeros(4, 1), beta=0.1).item(), 4)
    0.6931
    """
    check_flip_rate(flip_rate)
    m = reward_margin(chosen_logps, rejected_logps, ref_chosen_logps, ref_rejected_logps, beta=beta)
    return -(1 - flip_rate) * logsigmoid(m) - flip_rate * logsigmoid(-m)


def robust_dpo_loss(
    chosen_logps: Tensor,
    rejected_logps: Tensor,
    ref_chosen_logps: Tensor,
    ref_rejected_logps: Tensor,
    *,
    beta: Number,
    flip_rate: float = 0.1,
) -> Tensor:
    """Robust DPO: [-(1 - e) log sigmoid(m) + e log sigmoid(-m)] / (1 - 2e): unbiased under flips with probability e.

    On clean pairs it has no minimum: its slope stays -e / (1 - 2e) as m grows (arXiv 2403.00409).

    >>> round(robust_dpo_loss(*torch.zeros(4, 1), beta=0.1).item(), 4)
    0.6931
    """
    check_flip_rate(flip_rate)
    m = reward_margin(chosen_logps, rejected_logps, ref_chosen_logps, ref_rejected_logps, beta=beta)
    return (-(1 - flip_rate) * logsigmoid(m) + flip_rate * logsigmoid(-m)) / (1 - 2 * flip_rate)


def ipo_loss(
    chosen_logps: Tensor, rejected_logps: Tensor, ref_chosen_logps: Tensor, ref_rejected_logps: Tensor, *, beta: Number
) -> Tensor:
    """IPO: (gap - 1/(2 beta))**2 (arXiv 2310.12036, Eq. 17; its tau is our beta), on summed log-probabilities.

    >>> ipo_loss(*torch.zeros(4, 1), beta=0.1).item()
    25.0
    """
    gap = reward_margin(chosen_logps, rejected_logps, ref_chosen_logps, ref_rejected_logps, beta=beta) / beta
    return (gap - 1 / (2 * beta)) ** 2


def bfpo_loss(
    chosen_logps: Tensor,
    rejected_logps: Tensor,
    ref_chosen_logps: Tensor,
    ref_rejected_logps: Tensor,
    chosen_unsafe: Tensor,
    rejected_unsafe: Tensor,
    *,
    beta: Number,
) -> Tensor:
    """BFPO: (gap - target/beta)**2, target +1/2 for SS, +1 for SU, -1 for US, -1/2 for UU (arXiv 2408.15313).

    On pairs ordered by helpfulness (no T). The targets are derived from the method's constants (`BFPO_B1`).

    >>> bfpo_loss(*torch.zeros(4, 1), *torch.zeros(2, 1).bool(), beta=0.5).item()
    1.0
    """
    m = reward_margin(chosen_logps, rejected_logps, ref_chosen_logps, ref_rejected_logps, beta=beta)
    chosen_safe = 1 - _bit(chosen_unsafe, "chosen_unsafe", m)
    rejected_safe = 1 - _bit(rejected_unsafe, "rejected_unsafe", m)
    target = BFPO_B1 * BFPO_B3 * chosen_safe - BFPO_B3 * rejected_safe - BFPO_ALPHA
    return ((m - target) / beta) ** 2


def shift_reference(ref_logps: Tensor, unsafe: Tensor, *, beta: Number, delta: Number) -> Tensor:
    """The edited reference column: log pi_ref(y) - (delta / beta) * h(y).

    DPO with this column *is* SafeDPO, once T has ordered the pairs. Keep the column in float32 or better.

    >>> shift_reference(torch.tensor([-20.0, -20.0]), torch.tensor([False, True]), beta=0.1, delta=10.0).tolist()
    [-20.0, -120.0]
    """
    check_beta(beta)
    check_delta(delta)
    ref_logps = _logps(ref_logps, "ref_logps")
    return ref_logps - (delta / beta) * _bit(unsafe, "unsafe", ref_logps)


def reward_margin(
    chosen_logps: Tensor, rejected_logps: Tensor, ref_chosen_logps: Tensor, ref_rejected_logps: Tensor, *, beta: Number
) -> Tensor:
    """The paper's m = beta * [(chosen - ref_chosen) - (rejected - ref_rejected)], (B,).

    >>> reward_margin(*torch.tensor([[-12.0], [-15.0], [-13.0], [-14.0]]), beta=0.5).item()
    1.0
    """
    check_beta(beta)
    given = (chosen_logps, rejected_logps, ref_chosen_logps, ref_rejected_logps)
    columns = {name: _logps(column, name) for name, column in zip(COLUMNS, given, strict=True)}
    shapes = {name: tuple(column.shape) for name, column in columns.items()}
    if len(set(shapes.values())) > 1:  # (B,) against (B, T) would broadcast in silence to a matrix of nonsense
        raise UserError(f"the four log-probabilities must have one shape, not {shapes}")
    chosen, rejected, ref_chosen, ref_rejected = columns.values()
    return beta * ((chosen - ref_chosen) - (rejected - ref_rejected))


def gradient_weight(margin: Tensor, chosen_unsafe: Tensor, rejected_unsafe: Tensor, *, delta: Number) -> Tensor:
    """The weight of a pair's gradient: sigmoid(delta * I - m), I = h_rejected - h_chosen, (B,) in (0, 1).

    The gradient is -beta * weight * (grad chosen_logps - grad rejected_logps). At the reference (m = 0) the weight is
    sigmoid(delta): delta can at most double the first step; what it does is delay saturation.

    >>> round(gradient_weight(torch.zeros(1), torch.tensor([False]), torch.tensor([True]), delta=2.0).item(), 4)
    0.8808
    """
    check_delta(delta)
    return torch.sigmoid(delta * safety_gap(chosen_unsafe, rejected_unsafe, like=margin) - margin)


def safety_gap(chosen_unsafe: Tensor, rejected_unsafe: Tensor, *, like: Tensor) -> Tensor:
    """I = h_rejected - h_chosen in {-1, 0, 1}, (B,) with the dtype of `like`; after T it is 0 or 1.

    >>> safety_gap(torch.tensor([False]), torch.tensor([True]), like=torch.zeros(1)).item()
    1.0
    """
    return _bit(rejected_unsafe, "rejected_unsafe", like) - _bit(chosen_unsafe, "chosen_unsafe", like)


def _logps(values: Tensor, name: str) -> Tensor:
    values = torch.as_tensor(values)
    if values.dtype not in (torch.float32, torch.float64):  # at hundreds of nats bfloat16 rounds to whole nats
        raise UserError(f"{name} is {values.dtype}; sum log-probabilities in float32 or float64")
    return values


def _bit(values: Tensor, name: str, like: Tensor) -> Tensor:
    """h, 1 for unsafe, with the dtype of `like`."""
    values = torch.as_tensor(values)
    if values.dtype != torch.bool:
        raise UserError(f"{name} is {values.dtype}; safety flags must be bool (True = unsafe)")
    if values.shape != like.shape[-values.ndim :]:
        raise UserError(f"{name} has shape {tuple(values.shape)}, the log-probabilities {tuple(like.shape)}")
    return values.to(like.dtype)


def check_beta(beta: Number) -> None:
    """Raise `UserError` unless beta, or each beta of a tensor, is greater than 0 and finite.

    >>> check_beta(torch.tensor([0.1, -1.0]))
    Traceback (most recent call last):
    safedpo.errors.UserError: beta is -1; it must be greater than 0 and finite
    """
    _check("beta", beta, lambda value: value > 0, "greater than 0")


def check_delta(delta: Number, *, least: float = -math.inf) -> None:
    """Raise `UserError` unless delta, or each of a tensor, is finite and at least `least` (0 in a run's settings).

    >>> check_delta(-1, least=0)
    Traceback (most recent call last):
    safedpo.errors.UserError: delta is -1; it must be at least 0 and finite
    """
    _check("delta", delta, lambda value: value >= least, f"at least {least:g}" if least > -math.inf else "")


def check_flip_rate(flip_rate: Number) -> None:
    """Raise `UserError` unless the share of flipped labels, or each of a tensor, is at least 0 and below 0.5.

    >>> check_flip_rate(0.5)
    Traceback (most recent call last):
    safedpo.errors.UserError: flip_rate is 0.5; it must be at least 0, below 0.5 and finite
    """
    _check("flip_rate", flip_rate, lambda value: (value >= 0) & (value < 0.5), "at least 0, below 0.5")


def _check(name: str, value: Number, holds: Callable[[Tensor], Tensor], what: str) -> None:
    try:
        numbers = torch.as_tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{name} is {value!r}; it must be a number") from error
    wrong = numbers[~(holds(numbers) & numbers.isfinite())]
    if len(wrong.reshape(-1)):
        found = value if isinstance(value, int | float) else f"{wrong.reshape(-1)[0].item():g}"
        raise UserError(f"{name} is {found}; it must be {what + ' and ' if what else ''}finite")
