"""The likely mistakes of notebook 03, each by the message that names it."""

import math

import torch

from safedpo.labs.checks.exercises.mistakes.nb01 import _m


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


ORDER_PAIRS = {
    "Nothing is swapped: a US pair (unsafe but more helpful) still teaches the unsafe response.": _order(_none, _uu),
    "UU pairs are kept: under r_c both rewards are −∞, so the pair says nothing. Drop it.": _order(_us, _none),
    "This is DPO on helpfulness: nothing is swapped and nothing dropped.": _order(_none, _none),
    "US pairs are dropped (the rule SafeBetter); T swaps them, and that is what pushes the unsafe winner down.": _order(
        _none, lambda a, b: a
    ),
    "The flags are inverted: True means *unsafe*. You swap the good SU pairs and drop the SS ones.": _order(
        lambda a, b: ~a & b, lambda a, b: ~a & ~b
    ),
    "Every mixed pair is swapped; only US needs it.": _order(lambda a, b: a ^ b, _uu),
    "keep is inverted: True means that the pair stays.": lambda b, u: (
        _order(_us, _uu)(b, u)[0],
        ~_order(_us, _uu)(b, u)[1],
    ),
    "SS pairs are dropped; they carry all that is learnt about helpfulness among safe answers.": _order(
        _us, lambda a, b: a == b
    ),
    "The columns of `unsafe` are responses 0 and 1, not better and other: look up unsafe[i, better[i]].": _columns_as_ranks,
    "You drop every pair with an unsafe response; SU and US are what teaches safety.": _order(_us, lambda a, b: a | b),
}

SAFEDPO_LOSS = {
    "The margin has the wrong sign: Δ is *subtracted*, so a safe-unsafe pair must be won by Δ before its loss "
    "relaxes. (Or h is exchanged: I = h_rejected − h_chosen.)": lambda c, r, rc, rr, a, z, b, d: _loss(
        _m(c, r, rc, rr, b) + d * _gap(a, z)
    ),
    "Δ stands inside beta; the paper's margin is outside: m − Δ, not β(gap − Δ).": lambda c, r, rc, rr, a, z, b, d: (
        _loss(_m(c, r, rc, rr, b) - b * d * _gap(a, z))
    ),
    "Every pair gets the margin; it belongs to pairs of different safety only.": lambda c, r, rc, rr, a, z, b, d: _loss(
        _m(c, r, rc, rr, b) - d
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
    "The sign of m is wrong: chosen minus rejected.": lambda c, r, rc, rr, a, z, b, d: _loss(
        -_m(c, r, rc, rr, b) - d * _gap(a, z)
    ),
    "Beta is squared.": lambda c, r, rc, rr, a, z, b, d: _loss(_m(c, r, rc, rr, b * b) - d * _gap(a, z)),
    "The minus sign in front is missing; a loss is the *negative* log-likelihood.": lambda c, r, rc, rr, a, z, b, d: (
        -_loss(_m(c, r, rc, rr, b) - d * _gap(a, z))
    ),
    "A large margin gives an infinite loss: use logsigmoid, not log(sigmoid).": lambda c, r, rc, rr, a, z, b, d: (
        -torch.sigmoid(_m(c, r, rc, rr, b) - d * _gap(a, z)).log()
    ),
}

GRADIENT_WEIGHT = {
    "Both signs are wrong: this weight is large where the pair is already won.": lambda m, a, z, d: torch.sigmoid(
        m - d * _gap(a, z)
    ),
    "Δ is forgotten: this is the weight of plain DPO.": lambda m, a, z, d: torch.sigmoid(-m),
    "Δ has the wrong sign: the margin makes a pair count for *longer*.": lambda m, a, z, d: torch.sigmoid(
        -d * _gap(a, z) - m
    ),
    "The sign of m is wrong: a pair that is won should weigh less.": lambda m, a, z, d: torch.sigmoid(
        d * _gap(a, z) + m
    ),
    "Every pair gets the margin; it belongs to pairs of different safety only.": lambda m, a, z, d: torch.sigmoid(
        d - m
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
}

SHIFT_REFERENCE = {
    "The sign is wrong: the shift makes unsafe answers *rarer* in the reference.": lambda q, h, b, d: (
        q + d / b * h.double()
    ),
    "Beta is missing: Δ is in units of reward, log-probabilities are in nats, and a nat costs β.": lambda q, h, b, d: (
        q - d * h.double()
    ),
    "You multiply by beta; the shift is Δ divided by β.": lambda q, h, b, d: q - d * b * h.double(),
    "The ratio is inverted: Δ/β, not β/Δ.": lambda q, h, b, d: q - b / d * h.double(),
    "Every answer is shifted; a constant for all cancels and changes nothing. Shift the unsafe ones.": lambda q, h, b, d: (
        q - d / b
    ),
    "The safe answers are shifted; the flags say *unsafe*.": lambda q, h, b, d: q - d / b * (~h).double(),
    "−∞ is the hard constraint; a margin shifts by the finite Δ/β.": lambda q, h, b, d: q.masked_fill(h, -math.inf),
    "The unsafe entries are replaced by −Δ/β; subtract it from what is there.": lambda q, h, b, d: torch.where(
        h, -d / b, q
    ),
    "This is normalised again. The loss sees differences only; edit the column and leave it.": lambda q, h, b, d: (
        q - d / b * h.double()
    ).log_softmax(-1),
}
