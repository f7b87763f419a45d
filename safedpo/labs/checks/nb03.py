"""Notebook 03: T, the SafeDPO loss, the weight of a pair's gradient, the shifted reference."""

import math

import torch

from safedpo.labs.checking import Exercise, log_sigmoid
from safedpo.labs.checks.nb01 import COLUMNS, _m, _t, carries_gradient, margins
from safedpo.labs.predictions import Question

# better, unsafe: every group, with the better response in either column
LABELS = (
    (
        torch.tensor([0, 1, 0, 1, 0, 1, 0, 1]),
        torch.tensor([[0, 0], [0, 0], [0, 1], [1, 0], [1, 0], [0, 1], [1, 1], [1, 1]], dtype=torch.bool),
    ),
    (torch.tensor([1, 1, 0]), torch.tensor([[1, 0], [0, 1], [1, 0]], dtype=torch.bool)),
)
_SU = (torch.tensor([False, False, True]), torch.tensor([True, False, True]))
_LONG = (torch.tensor([False, False, False, True]), torch.tensor([True, True, False, False]))
_PAIR = (torch.tensor([False, False]), torch.tensor([True, False]))
PAIRS = tuple(
    (*columns[:4], *flags, columns[4], delta)
    for columns, flags, delta in zip(COLUMNS, (_SU, _LONG, _PAIR), (5.0, 2.0, 100.0), strict=True)
)
WEIGHTS = ((_t(0.2, 0.2, -3, 7), *(f.repeat(2)[:4] for f in _SU), 2.0), (_t(-1, 0, 0.5, 4), *_LONG, 0.7))
REFERENCES = (
    (_t(-20, -20, -3.5), torch.tensor([False, True, True]), 0.1, 10.0),
    (_t(-7, -1.5), torch.tensor([True, False]), 2.0, 5.0),
)


def order_by_cases(better, unsafe):
    """T pair by pair, from the table of section 3.2: keep, keep, swap, drop."""
    chosen, keep = [], []
    for b, flags in zip(better.tolist(), unsafe.tolist(), strict=True):
        group = (flags[b], flags[1 - b])
        chosen.append(1 - b if group == (True, False) else b)
        keep.append(group != (True, True))
    return torch.tensor(chosen), torch.tensor(keep)


def loss_by_numbers(c, r, rc, rr, chosen_unsafe, rejected_unsafe, beta, delta):
    """-log sigmoid(m - delta (h_rejected - h_chosen)) with the standard library."""
    gaps = [int(b) - int(a) for a, b in zip(chosen_unsafe.tolist(), rejected_unsafe.tolist(), strict=True)]
    return _t(*(-log_sigmoid(m - delta * gap) for m, gap in zip(margins(c, r, rc, rr, beta), gaps, strict=True)))


def weight_by_differences(margin, chosen_unsafe, rejected_unsafe, delta):
    """How fast the loss falls with the margin, by central differences."""

    def loss(m):
        zero = torch.zeros_like(m)
        return loss_by_numbers(m, zero, zero, zero, chosen_unsafe, rejected_unsafe, 1.0, delta)

    return (loss(margin - 1e-4) - loss(margin + 1e-4)) / 2e-4


def shift_by_numbers(ref_logps, unsafe, beta, delta):
    """The reference with its unsafe answers made e^(delta/beta) times rarer, one number at a time."""
    pairs = zip(ref_logps.tolist(), unsafe.tolist(), strict=True)
    return _t(*(value - delta / beta if bad else value for value, bad in pairs))


def _rows(better, unsafe):
    """h of the better and of the other response."""
    i = torch.arange(len(better))
    return unsafe[i, better], unsafe[i, 1 - better]


def _order(swap, drop):
    """T with the groups named: `swap` and `drop` take (h of better, h of other)."""

    def rule(better, unsafe):
        first, other = _rows(better, unsafe)
        return torch.where(swap(first, other), 1 - better, better), ~drop(first, other)

    return rule


def _us(a, b):
    return a & ~b


def _uu(a, b):
    return a & b


def _none(a, b):
    return torch.zeros_like(a)


def _columns_as_ranks(better, unsafe):
    first, other = unsafe.unbind(1)
    return torch.where(_us(first, other), 1 - better, better), ~_uu(first, other)


def _loss(x):
    return torch.nn.functional.softplus(-x)


def _gap(hc, hr):
    return hr.double() - hc.double()


def kept_order(values):
    """For dropped pairs `chosen` means nothing, so it is not compared there."""
    chosen, keep = map(torch.as_tensor, values)
    return torch.where(keep.bool(), chosen, 0), keep


EXERCISES = {
    "order_pairs": Exercise(
        gives="chosen (N,) in {0, 1} and keep (N,) bool",
        cases=LABELS,
        right=order_by_cases,
        normalise=kept_order,
        mistakes={
            "Nothing is swapped: a US pair (unsafe but more helpful) still teaches the unsafe response.": _order(
                _none, _uu
            ),
            "UU pairs are kept: under r_c both rewards are −∞, so the pair says nothing. Drop it.": _order(_us, _none),
            "This is DPO on helpfulness: nothing is swapped and nothing dropped.": _order(_none, _none),
            "US pairs are dropped (the rule SafeBetter); T swaps them, and that is what pushes the unsafe winner down.": _order(
                _none, lambda a, b: a
            ),
            "The flags are turned round: True means *unsafe*. You swap the good SU pairs and drop the SS ones.": _order(
                lambda a, b: ~a & b, lambda a, b: ~a & ~b
            ),
            "Every mixed pair is swapped; only US needs it.": _order(lambda a, b: a ^ b, _uu),
            "keep is turned round: True means that the pair stays.": lambda b, u: (
                _order(_us, _uu)(b, u)[0],
                ~_order(_us, _uu)(b, u)[1],
            ),
            "SS pairs are dropped; they carry all that is learnt about helpfulness among safe answers.": _order(
                _us, lambda a, b: a == b
            ),
            "The columns of `unsafe` are responses 0 and 1, not better and other: look up unsafe[i, better[i]].": _columns_as_ranks,
            "You drop every pair with an unsafe response; SU and US are what teaches safety.": _order(
                _us, lambda a, b: a | b
            ),
        },
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
        mistakes={
            "The margin has the wrong sign: Δ is *subtracted*, so a safe-unsafe pair must be won by Δ before its loss "
            "relaxes. (Or h is exchanged: I = h_rejected − h_chosen.)": lambda c, r, rc, rr, a, z, b, d: _loss(
                _m(c, r, rc, rr, b) + d * _gap(a, z)
            ),
            "Δ stands inside beta; the paper's margin is outside: m − Δ, not β(gap − Δ).": lambda c, r, rc, rr, a, z, b, d: (
                _loss(_m(c, r, rc, rr, b) - b * d * _gap(a, z))
            ),
            "Every pair gets the margin; it belongs to pairs of different safety only.": lambda c, r, rc, rr, a, z, b, d: (
                _loss(_m(c, r, rc, rr, b) - d)
            ),
            "The margin is missing: this is plain DPO.": lambda c, r, rc, rr, a, z, b, d: _loss(_m(c, r, rc, rr, b)),
            "Δ is added outside the log-sigmoid: it changes the value of the loss but not its "
            "gradient.": lambda c, r, rc, rr, a, z, b, d: _loss(_m(c, r, rc, rr, b)) + d * _gap(a, z),
            "The margin looks only at h_rejected; take the difference h_rejected − h_chosen.": lambda c, r, rc, rr, a, z, b, d: (
                _loss(_m(c, r, rc, rr, b) - d * z.double())
            ),
            "The margin uses |h_rejected − h_chosen|; the sign matters where the chosen one is "
            "unsafe.": lambda c, r, rc, rr, a, z, b, d: _loss(_m(c, r, rc, rr, b) - d * _gap(a, z).abs()),
            "The reference is forgotten.": lambda c, r, rc, rr, a, z, b, d: _loss(b * (c - r) - d * _gap(a, z)),
            "The sign of m is turned round: chosen minus rejected.": lambda c, r, rc, rr, a, z, b, d: _loss(
                -_m(c, r, rc, rr, b) - d * _gap(a, z)
            ),
            "Beta is squared.": lambda c, r, rc, rr, a, z, b, d: _loss(_m(c, r, rc, rr, b * b) - d * _gap(a, z)),
            "The minus sign in front is missing; a loss is the *negative* log-likelihood.": lambda c, r, rc, rr, a, z, b, d: (
                -_loss(_m(c, r, rc, rr, b) - d * _gap(a, z))
            ),
            "A large margin gives an infinite loss: use logsigmoid, not log(sigmoid).": lambda c, r, rc, rr, a, z, b, d: (
                -torch.sigmoid(_m(c, r, rc, rr, b) - d * _gap(a, z)).log()
            ),
        },
        hints=(
            "Start from your DPO loss of notebook 01: only what stands inside the log-sigmoid changes.",
            "Subtract delta · (h_rejected − h_chosen) from m. Bool tensors cannot be subtracted: .double() or .float().",
            "gap = rejected_unsafe.double() - chosen_unsafe.double(); return -logsigmoid(m - delta * gap)",
        ),
        further=(lambda f: carries_gradient(lambda c, r, rc, rr, b: f(c, r, rc, rr, *PAIRS[0][4:6], b, 5.0)),),
    ),
    "gradient_weight": Exercise(
        gives="one weight for each pair, (B,) in (0, 1)",
        cases=WEIGHTS,
        right=weight_by_differences,
        mistakes={
            "Both signs are turned round: this weight is large where the pair is already won.": lambda m, a, z, d: (
                torch.sigmoid(m - d * _gap(a, z))
            ),
            "Δ is forgotten: this is the weight of plain DPO.": lambda m, a, z, d: torch.sigmoid(-m),
            "Δ has the wrong sign: the margin makes a pair count for *longer*.": lambda m, a, z, d: torch.sigmoid(
                -d * _gap(a, z) - m
            ),
            "The sign of m is turned round: a pair that is won should weigh less.": lambda m, a, z, d: torch.sigmoid(
                d * _gap(a, z) + m
            ),
            "Every pair gets the margin; it belongs to pairs of different safety only.": lambda m, a, z, d: (
                torch.sigmoid(d - m)
            ),
            "That is the loss; the weight is minus its derivative.": lambda m, a, z, d: _loss(m - d * _gap(a, z)),
            "That is the derivative itself, which is negative; the weight is its size.": lambda m, a, z, d: (
                -torch.sigmoid(d * _gap(a, z) - m)
            ),
            "You differentiated the sigmoid, not its logarithm.": lambda m, a, z, d: (
                torch.sigmoid(d * _gap(a, z) - m) * torch.sigmoid(m - d * _gap(a, z))
            ),
            "The margin looks only at h_rejected; take h_rejected − h_chosen.": lambda m, a, z, d: torch.sigmoid(
                d * z.double() - m
            ),
            "The reward margin is missing: this is the weight at the reference only, where m = 0.": lambda m, a, z, d: (
                torch.sigmoid(d * _gap(a, z))
            ),
        },
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
        mistakes={
            "The sign is turned round: the shift makes unsafe answers *rarer* in the reference.": lambda q, h, b, d: (
                q + d / b * h.double()
            ),
            "Beta is missing: Δ is in units of reward, log-probabilities are in nats, and a nat costs β.": lambda q, h, b, d: (
                q - d * h.double()
            ),
            "You multiply by beta; the shift is Δ divided by β.": lambda q, h, b, d: q - d * b * h.double(),
            "It is turned upside down: Δ/β, not β/Δ.": lambda q, h, b, d: q - b / d * h.double(),
            "Every answer is shifted; a constant for all cancels and changes nothing. Shift the unsafe ones.": lambda q, h, b, d: (
                q - d / b
            ),
            "The safe answers are shifted; the flags say *unsafe*.": lambda q, h, b, d: q - d / b * (~h).double(),
            "−∞ is the hard constraint; a margin shifts by the finite Δ/β.": lambda q, h, b, d: q.masked_fill(
                h, -math.inf
            ),
            "The unsafe entries are replaced by −Δ/β; subtract it from what is there.": lambda q, h, b, d: torch.where(
                h, -d / b, q
            ),
            "This is normalised again. The loss sees differences only; edit the column and leave it.": lambda q, h, b, d: (
                (q - d / b * h.double()).log_softmax(-1)
            ),
        },
        hints=(
            "You want β[(c − rc) − (r − rr′)] = m − Δ for a pair whose rejected response is unsafe. What is rr′?",
            "−β rr enters m with a plus sign: lowering rr by Δ/β lowers m by Δ.",
            "return ref_logps - delta / beta * unsafe.double()",
        ),
    ),
}

QUESTIONS = {
    "unsafe_winner": Question(
        ("kept as it is", "turned round", "dropped"),
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
