"""Notebook 03, further exercises: columns for any DPO trainer, another loss, a first log to read, Prop. 4.4 by construction."""

import math
import random

import torch
from torch import Tensor
from torch.nn.functional import softplus

from safedpo.labs.checking import Exercise
from safedpo.labs.checks.exercises.numbers import t
from safedpo.labs.checks.exercises.planted.logs import READ_FIRST_LOG, draw_log

BITS = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=torch.bool)


def _rows(size: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """better, unsafe with every group in it, and both responses' reference log-probabilities."""
    draw = torch.Generator().manual_seed(seed)
    better = torch.randint(0, 2, (size,), generator=draw)
    logps = [-40 * torch.rand(size, generator=draw, dtype=torch.float64) for _ in range(2)]
    return better, BITS.repeat(size // 4 + 1, 1)[:size], logps[0], logps[1]


COLUMNS = ((*_rows(8, 0), 0.1, 10.0), (*_rows(6, 1), 2.0, 3.0), (*_rows(4, 2), 0.5, 0.0))


def columns_one_by_one(better, unsafe, ref_first, ref_second, beta, delta, **fault) -> tuple[Tensor, ...]:
    """Row by row: which rows stay, what is chosen, and the two edited reference columns."""
    rows, chosen, kept_refs, lost_refs = [], [], [], []
    for i, (b, flags) in enumerate(zip(better.tolist(), unsafe.tolist(), strict=True)):
        if flags[0] and flags[1] and not fault.get("keep_uu"):
            continue
        winner = b if flags[0] == flags[1] or fault.get("no_swap") else int(flags[0])
        if flags[winner] and not flags[1 - winner] and fault.get("drop_us"):
            continue
        refs = [ref_first[i].item(), ref_second[i].item()]
        for side in (0, 1):
            where = (not flags[side]) if fault.get("safe_side") else flags[side]
            refs[side] += fault.get("sign", -1) * where * fault.get("scale", lambda d, b: d / b)(delta, beta)
        rows.append(i)
        chosen.append(winner)
        first, last = (1 - winner, winner) if fault.get("crossed") else (winner, 1 - winner)
        kept_refs.append(refs[first])
        lost_refs.append(refs[last])
    number = torch.arange(len(rows)) if fault.get("renumber") else torch.tensor(rows)
    return number, torch.tensor(chosen), t(*kept_refs), t(*lost_refs)


def _columns(**fault):
    return lambda *case: columns_one_by_one(*case, **fault)


def hinge_by_numbers(margin, chosen_unsafe, rejected_unsafe, delta, **fault) -> tuple[Tensor, Tensor]:
    """max(0, 1 - x)^2 and its slope in x, at x = m - delta I, one pair at a time."""
    losses, slopes = [], []
    for m, a, z in zip(margin.tolist(), chosen_unsafe.tolist(), rejected_unsafe.tolist(), strict=True):
        x = m - delta * fault.get("gap", lambda a, z: z - a)(int(a), int(z)) * fault.get("sign", 1)
        short = max(0.0, 1 - x) if not fault.get("open") else 1 - x
        losses.append(short ** fault.get("power", 2))
        slopes.append(fault.get("slope", lambda s: -2 * s)(short))
    return t(*losses), t(*slopes)


def _hinge(**fault):
    return lambda *case: hinge_by_numbers(*case, **fault)


_FLAGS = torch.tensor([0, 0, 1, 1, 0, 1], dtype=torch.bool), torch.tensor([0, 1, 0, 1, 1, 0], dtype=torch.bool)
HINGES = (
    (t(0.3, 0.4, -2.0, 3.0, 6.5, -0.5), *_FLAGS, 2.0),
    (t(1.0, 6.0, -4.0, 0.0, 5.0, 0.0), *_FLAGS, 5.0),
    (t(-1000.0, 1000.0, 0.0, 1.0, 2.0, -3.0), *_FLAGS, 0.0),
)


_POLICY = t(0.3, 0.25, 0.25, 0.2).log(), t(0.1, 0.2, 0.3, 0.4).log(), torch.tensor([False, False, True, True])
PROOFS = (
    (*_POLICY, 0.5, 0.0, 1e-3),
    (*_POLICY, 0.1, 10.0, 1e-6),
    (t(0.2, 0.3, 0.5).log(), t(0.2, 0.3, 0.5).log(), torch.tensor([True, False, False]), 1.0, 50.0, 2.0),
    (*_POLICY[:2], torch.zeros(4, dtype=torch.bool), 1.0, 3.0, 0.1),
    (t(-20.0, 0.0, 1.0, 0.0).log_softmax(0), _POLICY[1], _POLICY[2], 0.5, 1.0, 0.2),
    (t(3.0, 2.0, -30.0, -20.0).log_softmax(0), *_POLICY[1:], 1.0, 1.0, 0.5),
)


def almost_optimal(policy, ref, unsafe, beta, delta, epsilon) -> Tensor:
    """Bisection: lower all unsafe answers together until the dearest mixed pair just costs epsilon."""

    def lowered(by: float) -> Tensor:
        return (policy - by * unsafe.double()).log_softmax(-1)

    if not unsafe.any() or _dearest(policy, ref, unsafe, beta, delta) <= epsilon:
        return policy
    low, high = 0.0, 1e4
    for _ in range(100):
        middle = (low + high) / 2
        enough = _dearest(lowered(middle), ref, unsafe, beta, delta) <= epsilon
        low, high = (low, middle) if enough else (middle, high)
    return lowered(high)


def _dearest(logps, ref, unsafe, beta, delta) -> float:
    ratio = beta * (logps - ref)
    return softplus(delta - (ratio[~unsafe][:, None] - ratio[unsafe])).max().item()


def is_almost_optimal(case: tuple, got: object) -> str | None:
    """Each part of the statement, measured on the policy that the learner gives."""
    policy, ref, unsafe, beta, delta, epsilon = case
    try:
        logps = torch.as_tensor(got).double()
    except (TypeError, ValueError, RuntimeError):
        return "It should give log-probabilities (A,)."
    if logps.shape != policy.shape or not bool(logps.isfinite().all()):
        return "It should give finite log-probabilities (A,): a softmax never gives an answer probability 0."
    if abs(logps.logsumexp(0).item()) > 1e-9:
        return "The probabilities do not sum to 1: normalise after the change."
    before, after = (one[~unsafe].log_softmax(0) for one in (policy, logps))
    if not torch.allclose(before, after, atol=1e-9):
        return "The ratios among safe answers have changed, and with them the losses of SS pairs."
    if not unsafe.any():
        return None  # the ratios among all answers are those of the policy
    dearest = _dearest(logps, ref, unsafe, beta, delta)
    if dearest > epsilon * (1 + 1e-6):
        return f"A safe-over-unsafe pair still costs {dearest:.3g}; it may cost {epsilon:g}."
    if dearest < min(epsilon, _dearest(policy, ref, unsafe, beta, delta)) * (1 - 1e-6):
        return f"The unsafe answers are lowered further than needed: the dearest pair costs {dearest:.3g}, not {epsilon:g}."
    return None


def _lowered(by):
    return lambda p, q, h, b, d, e: (p - by(b, d, e) * h.double()).log_softmax(-1)


def _draw_columns(draw: random.Random) -> tuple:
    return *_rows(draw.randint(4, 12), draw.randrange(10**6)), draw.uniform(0.05, 3), draw.uniform(0, 20)


def _draw_proof(draw: random.Random) -> tuple:
    policy, ref = (t(*(draw.uniform(-2, 2) for _ in range(5))).log_softmax(-1) for _ in range(2))
    unsafe = torch.tensor([False, *(draw.random() < 0.5 for _ in range(4))])
    return policy, ref, unsafe, draw.uniform(0.1, 2), draw.uniform(0, 20), 10 ** draw.uniform(-6, 0)


def _draw_hinge(draw: random.Random) -> tuple:
    return t(*(draw.uniform(-6, 8) for _ in range(6))), *_FLAGS, draw.uniform(0, 5)


EXERCISES = {
    "columns_for_any_trainer": Exercise(
        gives="rows, chosen, and the edited reference of chosen and of rejected",
        cases=COLUMNS,
        right=columns_one_by_one,
        mistakes={
            "UU pairs are kept; T drops them.": _columns(keep_uu=True),
            "US pairs are not swapped.": _columns(no_swap=True),
            "The sign of the edit: an unsafe response becomes rarer in the reference.": _columns(sign=1),
            "The edit is Δ/β nats, not Δ.": _columns(scale=lambda d, b: d),
            "The edit is Δ/β nats, not Δ·β.": _columns(scale=lambda d, b: d * b),
            "The safe responses are edited; edit the unsafe ones.": _columns(safe_side=True),
            "The two reference columns are exchanged: they must follow chosen and rejected.": _columns(crossed=True),
            "rows are numbers in the original data, so that the texts can be found again.": _columns(renumber=True),
        },
        hints=(
            "Three steps: T (which row stays, which response is chosen); the edit, response by response; then pick columns.",
            "Stack the two log-probabilities as (N, 2) and subtract delta/beta · unsafe there, before anything is reordered.",
            "edited.gather(1, chosen[:, None])[:, 0][keep], and the same with 1 − chosen.",
        ),
    ),
    "safe_hinge": Exercise(
        gives="the losses and their slopes in m, each (B,)",
        cases=HINGES,
        right=hinge_by_numbers,
        mistakes={
            "The margin has the wrong sign: it is subtracted from m.": _hinge(sign=-1),
            "Every pair gets the margin.": _hinge(gap=lambda a, z: 1),
            "The margin looks only at h_rejected.": _hinge(gap=lambda a, z: z),
            "The margin is missing.": _hinge(gap=lambda a, z: 0),
            "The hinge is open: beyond x = 1 a pair costs nothing.": _hinge(open=True),
            "The hinge is not squared.": _hinge(power=1),
            "The slope is negative: a larger m lowers the loss.": _hinge(slope=lambda s: 2 * s),
            "The factor 2 of the square is missing in the slope.": _hinge(slope=lambda s: -s),
        },
        hints=(
            "x = m − Δ(h_rejected − h_chosen) takes the place of m; then g and g′ of the hinge.",
            "With short = max(0, 1 − x): g = short², and g′ = −2 short.",
            "short = (1 − margin + delta * gap).clamp(min=0); return short**2, -2 * short",
        ),
    ),
    "read_first_log": READ_FIRST_LOG,
    "almost_optimal": Exercise(
        gives="log-probabilities (A,)",
        cases=PROOFS,
        right=almost_optimal,
        verify=is_almost_optimal,
        mistakes={
            "A safe-over-unsafe pair still costs": _lowered(lambda b, d, e: d / b),
            "finite log-probabilities": lambda p, q, h, b, d, e: p.masked_fill(h, -math.inf).log_softmax(-1),
            "do not sum to 1": lambda p, q, h, b, d, e: p - 1e4 * h.double(),
            "The ratios among safe answers have changed": lambda p, q, h, b, d, e: (q - 1e4 * h.double()).log_softmax(
                -1
            ),
        },
        hints=(
            "Lower only the unsafe answers' scores, then normalise: the ratios among safe answers stay.",
            "softplus(Δ − m) ≤ ε means m ≥ Δ − log(e^ε − 1). What does that say of log π of the unsafe answer?",
            "need = (delta − log(expm1(ε)))/β; an unsafe score is at most ref + min over safe of (policy − ref) − need.",
        ),
    ),
}
HIDDEN = {
    "columns_for_any_trainer": _draw_columns,
    "safe_hinge": _draw_hinge,
    "read_first_log": draw_log,
    "almost_optimal": _draw_proof,
}
