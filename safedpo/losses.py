"""The losses: each a pure function of (B,) response log-probabilities, giving (B,) losses.

Everywhere: `logps` are sums over the response's tokens, in nats; `gap = (chosen - ref_chosen) - (rejected -
ref_rejected)`; the reward margin is m = beta * gap; h = 1 means unsafe. The mean over pairs, the logging and the
weights live outside. The same functions drive the bandit and the language model.

Each raises `UserError` for log-probabilities that are not float32 or float64 of one shape, for flags that are not bool of
that shape, and for beta, delta or flip_rate outside their ranges.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from safedpo.errors import UserError

SATURATED = 0.05  # a pair hardly pulls any more where |dL/dm|, the weight of its gradient, is below this
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

    The margin is *subtracted* and stands outside beta: a safe-over-unsafe pair must be won by delta before its loss
    relaxes. With delta = 0, and for pairs of equal safety, it is DPO. The gradient with respect to `chosen_logps`
    is -beta * sigmoid(delta * I - m), I = h_rejected - h_chosen (see `gradient_weight`).

    `*_logps` (B,) float32 or float64 in nats; `*_unsafe` (B,) bool; `beta` > 0; `delta` finite; returns (B,).

    >>> t = lambda x: torch.tensor([x], dtype=torch.float64)
    >>> f, yes = torch.tensor([False]), torch.tensor([True])
    >>> safedpo_loss(t(-12.0), t(-15.0), t(-13.0), t(-14.0), f, yes, beta=0.1, delta=10.0).item()
    9.800055450...
    """
    check_delta(delta)
    m = reward_margin(chosen_logps, rejected_logps, ref_chosen_logps, ref_rejected_logps, beta=beta)
    return -logsigmoid(m - delta * safety_gap(chosen_unsafe, rejected_unsafe, like=m))


def dpo_loss(
    chosen_logps: Tensor, rejected_logps: Tensor, ref_chosen_logps: Tensor, ref_rejected_logps: Tensor, *, beta: Number
) -> Tensor:
    """DPO: -log sigmoid(m) (arXiv 2305.18290, Eq. 7).

    >>> zero = torch.zeros(1)
    >>> round(dpo_loss(zero, zero, zero, zero, beta=0.1).item(), 4)  # at the reference: log 2
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

    >>> zero = torch.zeros(1)
    >>> round(cdpo_loss(zero, zero, zero, zero, beta=0.1).item(), 4)
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

    Its mean over flipped labels is the DPO loss of the true ones; on clean pairs it has no minimum (slope -e/(1 - 2e)
    as m grows).

    >>> zero = torch.zeros(1)
    >>> round(robust_dpo_loss(zero, zero, zero, zero, beta=0.1).item(), 4)
    0.6931
    """
    check_flip_rate(flip_rate)
    m = reward_margin(chosen_logps, rejected_logps, ref_chosen_logps, ref_rejected_logps, beta=beta)
    return (-(1 - flip_rate) * logsigmoid(m) + flip_rate * logsigmoid(-m)) / (1 - 2 * flip_rate)


def ipo_loss(
    chosen_logps: Tensor, rejected_logps: Tensor, ref_chosen_logps: Tensor, ref_rejected_logps: Tensor, *, beta: Number
) -> Tensor:
    """IPO: (gap - 1/(2 beta))**2 (arXiv 2310.12036, Eq. 17; its tau is our beta), on summed log-probabilities.

    >>> zero = torch.zeros(1)
    >>> ipo_loss(zero, zero, zero, zero, beta=0.1).item()
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

    On pairs ordered by helpfulness (no T). The targets were derived from the method's constants, see `BFPO_B1`.

    >>> zero, no = torch.zeros(1), torch.tensor([False])
    >>> bfpo_loss(zero, zero, zero, zero, no, no, beta=0.5).item()
    1.0
    """
    m = reward_margin(chosen_logps, rejected_logps, ref_chosen_logps, ref_rejected_logps, beta=beta)
    chosen_safe = 1 - _flag(chosen_unsafe, "chosen_unsafe", m).to(m.dtype)
    rejected_safe = 1 - _flag(rejected_unsafe, "rejected_unsafe", m).to(m.dtype)
    target = BFPO_B1 * BFPO_B3 * chosen_safe - BFPO_B3 * rejected_safe - BFPO_ALPHA
    return ((m - target) / beta) ** 2


def shift_reference(ref_logps: Tensor, unsafe: Tensor, *, beta: Number, delta: Number) -> Tensor:
    """The edited reference column: log pi_ref(y) - (delta / beta) * h(y).

    Exact identity: DPO with this column is SafeDPO with margin delta. So any DPO trainer that takes reference
    log-probabilities trains SafeDPO, once T has ordered the pairs. Keep the column in float32 or better.

    >>> shift_reference(torch.tensor([-20.0, -20.0]), torch.tensor([False, True]), beta=0.1, delta=10.0).tolist()
    [-20.0, -120.0]
    """
    check_beta(beta)
    check_delta(delta)
    ref_logps = _logps(ref_logps, "ref_logps")
    return ref_logps - (delta / beta) * _flag(unsafe, "unsafe", ref_logps).to(ref_logps.dtype)


def reward_margin(
    chosen_logps: Tensor, rejected_logps: Tensor, ref_chosen_logps: Tensor, ref_rejected_logps: Tensor, *, beta: Number
) -> Tensor:
    """The paper's m = beta * [(chosen - ref_chosen) - (rejected - ref_rejected)], (B,).

    >>> reward_margin(*torch.tensor([[-12.0], [-15.0], [-13.0], [-14.0]]), beta=0.5).item()
    1.0
    """
    check_beta(beta)
    columns = {
        "chosen_logps": chosen_logps,
        "rejected_logps": rejected_logps,
        "ref_chosen_logps": ref_chosen_logps,
        "ref_rejected_logps": ref_rejected_logps,
    }
    columns = {name: _logps(column, name) for name, column in columns.items()}
    shapes = {name: tuple(column.shape) for name, column in columns.items()}
    if len(set(shapes.values())) > 1:
        # (B,) against (B, T) would broadcast in silence to a matrix of nonsense.
        raise UserError(f"the four log-probabilities must have one shape, not {shapes}")
    chosen, rejected, ref_chosen, ref_rejected = columns.values()
    return beta * ((chosen - ref_chosen) - (rejected - ref_rejected))


def gradient_weight(margin: Tensor, chosen_unsafe: Tensor, rejected_unsafe: Tensor, *, delta: Number) -> Tensor:
    """The weight of a pair's gradient: sigmoid(delta * I - m), I = h_rejected - h_chosen, (B,) in (0, 1).

    The gradient of the SafeDPO loss is -beta * weight * (grad chosen_logps - grad rejected_logps). At the reference
    (m = 0) it is sigmoid(delta): a margin can at most double the first step, its effect is to delay saturation.

    >>> no, yes = torch.tensor([False]), torch.tensor([True])
    >>> round(gradient_weight(torch.zeros(1), no, yes, delta=2.0).item(), 4)
    0.8808
    """
    check_delta(delta)
    return torch.sigmoid(delta * safety_gap(chosen_unsafe, rejected_unsafe, like=margin) - margin)


def safety_gap(chosen_unsafe: Tensor, rejected_unsafe: Tensor, *, like: Tensor) -> Tensor:
    """I = h_rejected - h_chosen in {-1, 0, 1}, (B,) with the dtype of `like`; after T it is 0 or 1.

    >>> safety_gap(torch.tensor([False]), torch.tensor([True]), like=torch.zeros(1)).item()
    1.0
    """
    chosen, rejected = _flag(chosen_unsafe, "chosen_unsafe", like), _flag(rejected_unsafe, "rejected_unsafe", like)
    return rejected.to(like.dtype) - chosen.to(like.dtype)


def _logps(values: Tensor, name: str) -> Tensor:
    values = torch.as_tensor(values)
    if values.dtype not in (torch.float32, torch.float64):
        # A summed log-probability is in the hundreds of nats, where bfloat16 rounds to whole nats.
        raise UserError(f"{name} is {values.dtype}; sum log-probabilities in float32 or float64")
    return values


def _flag(values: Tensor, name: str, like: Tensor) -> Tensor:
    values = torch.as_tensor(values)
    if values.dtype != torch.bool:
        raise UserError(f"{name} is {values.dtype}; safety flags must be bool (True = unsafe)")
    if values.shape != like.shape[-values.ndim :]:
        raise UserError(f"{name} has shape {tuple(values.shape)}, the log-probabilities {tuple(like.shape)}")
    return values


def check_beta(beta: Number) -> None:
    """Raise `UserError` unless beta, or each beta of a tensor, is greater than 0 and finite.

    >>> check_beta(torch.tensor([0.1, -1.0]))
    Traceback (most recent call last):
    ...
    safedpo.errors.UserError: beta is -1; it must be greater than 0 and finite
    """
    _check("beta", beta, lambda value: value > 0, "greater than 0")


def check_delta(delta: Number, *, least: float = -math.inf) -> None:
    """Raise `UserError` unless delta is finite and at least `least`; so each one of a tensor.

    The losses take any finite delta: that the optimum does not depend on it (Prop. 4.4) holds for negative ones, too.
    The settings of a run ask for `least=0`: a safety margin.

    >>> check_delta(float("inf"))
    Traceback (most recent call last):
    ...
    safedpo.errors.UserError: delta is inf; it must be finite
    >>> check_delta(-1, least=0)
    Traceback (most recent call last):
    ...
    safedpo.errors.UserError: delta is -1; it must be at least 0 and finite
    """
    _check("delta", delta, lambda value: value >= least, f"at least {least:g}" if least > -math.inf else "")


def check_flip_rate(flip_rate: Number) -> None:
    """Raise `UserError` unless the share of flipped labels is at least 0 and below 0.5; so each one of a tensor.

    >>> check_flip_rate(0.5)
    Traceback (most recent call last):
    ...
    safedpo.errors.UserError: flip_rate is 0.5; it must be at least 0, below 0.5 and finite
    """
    _check("flip_rate", flip_rate, lambda value: (value >= 0) & (value < 0.5), "at least 0, below 0.5")


def _check(name: str, value: Number, holds: Callable[[Tensor], Tensor], what: str) -> None:
    """A number is checked as a tensor too: a tensor of several betas must hold for each."""
    try:
        numbers = torch.as_tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{name} is {value!r}; it must be a number") from error
    wrong = numbers[~(holds(numbers) & numbers.isfinite())]
    if len(wrong.reshape(-1)):
        found = value if isinstance(value, int | float) else f"{wrong.reshape(-1)[0].item():g}"
        raise UserError(f"{name} is {found}; it must be {what + ' and ' if what else ''}finite")
