"""Notebook 03: T, the SafeDPO loss, the weight of a pair's gradient, the shifted reference."""

import torch
from torch import Tensor

from safedpo.labs.checking import Exercise, Values
from safedpo.labs.checks.exercises import nb03 as further
from safedpo.labs.checks.exercises import numbers
from safedpo.labs.checks.exercises.mistakes import nb03 as mistakes
from safedpo.labs.checks.exercises.numbers import log_sigmoid
from safedpo.labs.checks.nb01 import COLUMNS, _t, margins, right_gradients
from safedpo.labs.predictions import Question

# better, unsafe: every group, with the better response in either column
LABELS = (
    (
        torch.tensor([0, 1, 0, 1, 0, 1, 0, 1]),
        torch.tensor([[0, 0], [0, 0], [0, 1], [1, 0], [1, 0], [0, 1], [1, 1], [1, 1]], dtype=torch.bool),
    ),
    (torch.tensor([1, 1, 0]), torch.tensor([[1, 0], [0, 1], [1, 0]], dtype=torch.bool)),
    (torch.zeros(0, dtype=torch.long), torch.zeros(0, 2, dtype=torch.bool)),  # no pairs at all
)
_SU = (torch.tensor([False, False, True]), torch.tensor([True, False, True]))
_LONG = (torch.tensor([False, False, False, True]), torch.tensor([True, True, False, False]))
_PAIR = (torch.tensor([False, False]), torch.tensor([True, False]))
PAIRS = tuple(
    (*columns[:4], *flags, columns[4], delta)
    for columns, flags, delta in zip(COLUMNS, (_SU, _LONG, _PAIR), (5.0, 2.0, 100.0), strict=True)
)
WEIGHTS = (
    (_t(-1000.0, 1000.0, 1000.0, -1000.0), *_LONG, 50.0),
    (_t(0.2, 0.2, -3, 7), *(f.repeat(2)[:4] for f in _SU), 2.0),
    (_t(-1, 0, 0.5, 4), *_LONG, 0.7),
)
REFERENCES = (
    (_t(-20, -20, -3.5), torch.tensor([False, True, True]), 0.1, 10.0),
    (_t(-7, -1.5), torch.tensor([True, False]), 2.0, 5.0),
)


def order_by_cases(better: Tensor, unsafe: Tensor) -> tuple[Tensor, Tensor]:
    """T pair by pair, from the table of section 3.2: keep, keep, swap, drop."""
    chosen, keep = [], []
    for b, flags in zip(better.tolist(), unsafe.tolist(), strict=True):
        group = (flags[b], flags[1 - b])
        chosen.append(1 - b if group == (True, False) else b)
        keep.append(group != (True, True))
    return torch.tensor(chosen, dtype=torch.long), torch.tensor(keep, dtype=torch.bool)


def loss_by_numbers(
    c: Tensor,
    r: Tensor,
    rc: Tensor,
    rr: Tensor,
    chosen_unsafe: Tensor,
    rejected_unsafe: Tensor,
    beta: float,
    delta: float,
) -> Tensor:
    """-log sigmoid(m - delta (h_rejected - h_chosen)) with the standard library."""
    gaps = [int(b) - int(a) for a, b in zip(chosen_unsafe.tolist(), rejected_unsafe.tolist(), strict=True)]
    return _t(*(-log_sigmoid(m - delta * gap) for m, gap in zip(margins(c, r, rc, rr, beta), gaps, strict=True)))


def weight_by_differences(margin: Tensor, chosen_unsafe: Tensor, rejected_unsafe: Tensor, delta: float) -> Tensor:
    """How fast the loss falls with the margin, by central differences."""

    def loss(m: Tensor) -> Tensor:
        zero = torch.zeros_like(m)
        return loss_by_numbers(m, zero, zero, zero, chosen_unsafe, rejected_unsafe, 1.0, delta)

    return (loss(margin - 1e-4) - loss(margin + 1e-4)) / 2e-4


def shift_by_numbers(ref_logps: Tensor, unsafe: Tensor, beta: float, delta: float) -> Tensor:
    """The reference with its unsafe answers made e^(delta/beta) times rarer, one number at a time."""
    pairs = zip(ref_logps.tolist(), unsafe.tolist(), strict=True)
    return _t(*(value - delta / beta if bad else value for value, bad in pairs))


def kept_order(values: Values) -> tuple[Tensor, Tensor]:
    """For dropped pairs `chosen` means nothing, so it is not compared there."""
    chosen, keep = map(torch.as_tensor, values)
    return torch.where(keep.bool(), chosen, 0), keep


EXERCISES = {
    "order_pairs": Exercise(
        gives="chosen (N,) in {0, 1} and keep (N,) bool",
        cases=LABELS,
        right=order_by_cases,
        draw=numbers.order_pairs,
        normalise=kept_order,
        mistakes=mistakes.ORDER_PAIRS,
        hints=(
            "Look up the two flags first: rows = torch.arange(len(better)); unsafe[rows, better]; unsafe[rows, 1 - better].",
            "Swap exactly where the better one is unsafe and the other is not; drop exactly where both are unsafe.",
            "swap = first & ~other; return torch.where(swap, 1 - better, better), ~(first & other)",
        ),
    ),
    "safedpo_loss": Exercise(
        gives="one loss for each pair, (B,)",
        cases=PAIRS,
        right=loss_by_numbers,
        draw=numbers.flagged_pair_columns,
        mistakes=mistakes.SAFEDPO_LOSS,
        hints=(
            "Start from your DPO loss of notebook 01: only what stands inside the log-sigmoid changes.",
            "Subtract delta · (h_rejected − h_chosen) from m. Bool tensors cannot be subtracted: .double() or .float().",
            "gap = rejected_unsafe.double() - chosen_unsafe.double(); return -logsigmoid(m - delta * gap)",
        ),
        further=(lambda f: right_gradients(f, PAIRS, loss_by_numbers),),
    ),
    "gradient_weight": Exercise(
        gives="one weight for each pair, (B,) in (0, 1)",
        cases=WEIGHTS,
        right=weight_by_differences,
        draw=numbers.gradient_weight,
        mistakes=mistakes.GRADIENT_WEIGHT,
        hints=(
            "The loss is softplus(ΔI − m). What is the derivative of softplus?",
            "softplus′ = sigmoid. So minus the derivative with respect to m is sigmoid(ΔI − m).",
            "return torch.sigmoid(delta * (rejected_unsafe.double() - chosen_unsafe.double()) - margin)",
        ),
    ),
    "shift_reference": Exercise(
        gives="the edited reference log-probabilities, (N,)",
        cases=REFERENCES,
        right=shift_by_numbers,
        draw=numbers.shift_reference,
        mistakes=mistakes.SHIFT_REFERENCE,
        hints=(
            "You want β[(c − rc) − (r − rr′)] = m − Δ for a pair whose rejected response is unsafe. What is rr′?",
            "−β rr enters m with a plus sign: lowering rr by Δ/β lowers m by Δ.",
            "return ref_logps - delta / beta * unsafe.double()",
        ),
    ),
} | further.EXERCISES

QUESTIONS = {
    "unsafe_winner": Question(
        ("kept as it is", "reversed", "dropped"),
        1,
        "Under r_c the safe answer wins surely, whatever the person said. So the pair is kept, with its order turned.",
    ),
    "two_unsafe": Question(
        ("the less harmful one wins", "a fair coin", "nothing: it is dropped"),
        2,
        "−∞ minus −∞ is no number: r_c does not compare them. The exact statement needs the convention that such a pair "
        "carries no loss.",
    ),
    "first_step": Question(
        ("about twice as hard", "about 10 times as hard", "about 22,000 times (e¹⁰)"),
        0,
        "The weight is sigmoid(Δ) < 1 against sigmoid(0) = ½: at most twice. Δ does not push harder, it pushes for longer.",
    ),
    "where_it_ends": Question(
        ("further from unsafe answers, at another optimum", "at the same optimum", "nowhere: it diverges"),
        1,
        "Unsafe answers go to 0 for every Δ, and the safe part is settled by SS pairs, which have no margin. The path "
        "differs; the destination does not, as long as the safety bits are right.",
    ),
}
