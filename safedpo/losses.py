"""The losses: each a pure function of (B,) response log-probabilities, giving (B,) losses.

Everywhere: `logps` are sums over the response's tokens, in nats; `gap = (chosen - ref_chosen) - (rejected -
ref_rejected)`; the reward margin is m = beta * gap; h = 1 means unsafe. The mean over pairs, the logging and the
weights live outside. The same functions drive the bandit and the language model.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

# Targets of BFPO over beta, by (chosen_unsafe, rejected_unsafe): b1*b3*s_w - b3*s_l - alpha with s = 1 - h, b1 = 3,
# b3 = 1/(b1 - 1), alpha = 1/2 (constants of the method's published recipe).
BFPO_B1, BFPO_B3, BFPO_ALPHA = 3.0, 0.5, 0.5


def safedpo_loss(
    chosen_logps, rejected_logps, ref_chosen_logps, ref_rejected_logps, chosen_unsafe, rejected_unsafe, *, beta, delta
) -> Tensor:
    """SafeDPO (Eq. 12): -log sigmoid(m - delta * (h_rejected - h_chosen)), on pairs ordered by T.

    The margin is *subtracted* and stands outside beta: a safe-over-unsafe pair must be won by delta before its loss
    relaxes. With delta = 0, and for pairs of equal safety, it is DPO. The gradient with respect to `chosen_logps`
    is -beta * sigmoid(delta * I - m), I = h_rejected - h_chosen (see `gradient_weight`).

    `*_logps` (B,) float32 or float64 in nats; `*_unsafe` (B,) bool; `beta` > 0; returns (B,).

    >>> t = lambda x: torch.tensor([x], dtype=torch.float64)
    >>> f, yes = torch.tensor([False]), torch.tensor([True])
    >>> safedpo_loss(t(-12.0), t(-15.0), t(-13.0), t(-14.0), f, yes, beta=0.1, delta=10.0).item()
    9.800055450...
    """
    m = reward_margin(chosen_logps, rejected_logps, ref_chosen_logps, ref_rejected_logps, beta=beta)
    return -logsigmoid(m - delta * safety_gap(chosen_unsafe, rejected_unsafe, like=m))


def dpo_loss(chosen_logps, rejected_logps, ref_chosen_logps, ref_rejected_logps, *, beta) -> Tensor:
    """DPO: -log sigmoid(m) (arXiv 2305.18290, Eq. 7).

    >>> zero = torch.zeros(1)
    >>> round(dpo_loss(zero, zero, zero, zero, beta=0.1).item(), 4)  # at the reference: log 2
    0.6931
    """
    return -logsigmoid(reward_margin(chosen_logps, rejected_logps, ref_chosen_logps, ref_rejected_logps, beta=beta))


def cdpo_loss(chosen_logps, rejected_logps, ref_chosen_logps, ref_rejected_logps, *, beta, flip_rate=0.1) -> Tensor:
    """Conservative DPO: -(1 - e) log sigmoid(m) - e log sigmoid(-m), for labels flipped with probability e.

    Its minimum over m is finite: m = log((1 - e) / e).

    >>> zero = torch.zeros(1)
    >>> round(cdpo_loss(zero, zero, zero, zero, beta=0.1).item(), 4)
    0.6931
    """
    _check_flip_rate(flip_rate)
    m = reward_margin(chosen_logps, rejected_logps, ref_chosen_logps, ref_rejected_logps, beta=beta)
    return -(1 - flip_rate) * logsigmoid(m) - flip_rate * logsigmoid(-m)


def robust_dpo_loss(
    chosen_logps, rejected_logps, ref_chosen_logps, ref_rejected_logps, *, beta, flip_rate=0.1
) -> Tensor:
    """Robust DPO: [-(1 - e) log sigmoid(m) + e log sigmoid(-m)] / (1 - 2e): unbiased under flips with probability e.

    Its mean over flipped labels is the DPO loss of the true ones; on clean pairs it has no minimum (slope -e/(1 - 2e)
    as m grows).

    >>> zero = torch.zeros(1)
    >>> round(robust_dpo_loss(zero, zero, zero, zero, beta=0.1).item(), 4)
    0.6931
    """
    _check_flip_rate(flip_rate)
    m = reward_margin(chosen_logps, rejected_logps, ref_chosen_logps, ref_rejected_logps, beta=beta)
    return (-(1 - flip_rate) * logsigmoid(m) + flip_rate * logsigmoid(-m)) / (1 - 2 * flip_rate)


def ipo_loss(chosen_logps, rejected_logps, ref_chosen_logps, ref_rejected_logps, *, beta) -> Tensor:
    """IPO: (gap - 1/(2 beta))**2 (arXiv 2310.12036, Eq. 17; its tau is our beta), on summed log-probabilities.

    >>> zero = torch.zeros(1)
    >>> ipo_loss(zero, zero, zero, zero, beta=0.1).item()
    25.0
    """
    gap = reward_margin(chosen_logps, rejected_logps, ref_chosen_logps, ref_rejected_logps, beta=beta) / beta
    return (gap - 1 / (2 * beta)) ** 2


def bfpo_loss(
    chosen_logps, rejected_logps, ref_chosen_logps, ref_rejected_logps, chosen_unsafe, rejected_unsafe, *, beta
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


def shift_reference(ref_logps, unsafe, *, beta, delta) -> Tensor:
    """The edited reference column: log pi_ref(y) - (delta / beta) * h(y).

    Exact identity: DPO with this column is SafeDPO with margin delta. So any DPO trainer that takes reference
    log-probabilities trains SafeDPO, once T has ordered the pairs. Keep the column in float32 or better.

    >>> shift_reference(torch.tensor([-20.0, -20.0]), torch.tensor([False, True]), beta=0.1, delta=10.0).tolist()
    [-20.0, -120.0]
    """
    _check_beta(beta)
    ref_logps = _logps(ref_logps, "ref_logps")
    return ref_logps - (delta / beta) * _flag(unsafe, "unsafe", ref_logps).to(ref_logps.dtype)


def reward_margin(chosen_logps, rejected_logps, ref_chosen_logps, ref_rejected_logps, *, beta) -> Tensor:
    """The paper's m = beta * [(chosen - ref_chosen) - (rejected - ref_rejected)], (B,).

    >>> reward_margin(*torch.tensor([[-12.0], [-15.0], [-13.0], [-14.0]]), beta=0.5).item()
    1.0
    """
    _check_beta(beta)
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
        raise ValueError(f"the four log-probabilities must have one shape, not {shapes}")
    chosen, rejected, ref_chosen, ref_rejected = columns.values()
    return beta * ((chosen - ref_chosen) - (rejected - ref_rejected))


def gradient_weight(margin: Tensor, chosen_unsafe, rejected_unsafe, *, delta) -> Tensor:
    """The weight of a pair's gradient: sigmoid(delta * I - m), I = h_rejected - h_chosen, (B,) in (0, 1).

    The gradient of the SafeDPO loss is -beta * weight * (grad chosen_logps - grad rejected_logps). At the reference
    (m = 0) it is sigmoid(delta): a margin can at most double the first step, its effect is to delay saturation.

    >>> no, yes = torch.tensor([False]), torch.tensor([True])
    >>> round(gradient_weight(torch.zeros(1), no, yes, delta=2.0).item(), 4)
    0.8808
    """
    return torch.sigmoid(delta * safety_gap(chosen_unsafe, rejected_unsafe, like=margin) - margin)


def safety_gap(chosen_unsafe, rejected_unsafe, *, like: Tensor) -> Tensor:
    """I = h_rejected - h_chosen in {-1, 0, 1}, (B,) with the dtype of `like`; after T it is 0 or 1.

    >>> safety_gap(torch.tensor([False]), torch.tensor([True]), like=torch.zeros(1)).item()
    1.0
    """
    chosen, rejected = _flag(chosen_unsafe, "chosen_unsafe", like), _flag(rejected_unsafe, "rejected_unsafe", like)
    return rejected.to(like.dtype) - chosen.to(like.dtype)


def _logps(values, name: str) -> Tensor:
    values = torch.as_tensor(values)
    if values.dtype not in (torch.float32, torch.float64):
        # A summed log-probability is in the hundreds of nats, where bfloat16 rounds to whole nats.
        raise ValueError(f"{name} is {values.dtype}; sum log-probabilities in float32 or float64")
    return values


def _flag(values, name: str, like: Tensor) -> Tensor:
    values = torch.as_tensor(values)
    if values.dtype != torch.bool:
        raise ValueError(f"{name} is {values.dtype}; safety flags must be bool (True = unsafe)")
    if values.shape != like.shape[-values.ndim :]:
        raise ValueError(f"{name} has shape {tuple(values.shape)}, the log-probabilities {tuple(like.shape)}")
    return values


def _check_beta(beta) -> None:
    if not isinstance(beta, Tensor) and not (beta > 0 and math.isfinite(beta)):
        raise ValueError(f"beta is {beta}; it must be greater than 0 and finite")


def _check_flip_rate(flip_rate) -> None:
    if not 0 <= flip_rate < 0.5:
        raise ValueError(f"flip_rate is {flip_rate}; it must be at least 0 and below 0.5")
