"""What a learner's check of a DPO loss is tried on."""

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid, softplus

from safedpo.labs.checks.exercises.numbers import t
from safedpo.labs.checks.exercises.planted.making import detective


def _logistic(margin):
    return lambda c, r, rc, rr, beta: softplus(-margin(c, r, rc, rr, beta))


def _m(c, r, rc, rr, beta):
    return beta * ((c - rc) - (r - rr))


LOSS_FAULTS = {
    "the sign of m": _logistic(lambda *a: -_m(*a)),
    "the minus sign in front is missing": lambda *a: -softplus(-_m(*a)),
    "the reference is forgotten": _logistic(lambda c, r, rc, rr, b: b * (c - r)),
    "the two columns of the reference are exchanged": _logistic(lambda c, r, rc, rr, b: _m(c, r, rr, rc, b)),
    "beta is missing": _logistic(lambda c, r, rc, rr, b: _m(c, r, rc, rr, 1.0)),
    "beta is squared": _logistic(lambda c, r, rc, rr, b: _m(c, r, rc, rr, b * b)),
    "one mean instead of a loss for each pair": lambda *a: softplus(-_m(*a)).mean().expand(len(a[0])),
    "it is infinite at a margin of −1000": lambda *a: -torch.sigmoid(_m(*a)).log(),
    "margins beyond ±10 are cut off": _logistic(lambda *a: _m(*a).clamp(-10, 10)),
    "no gradient reaches the rejected response": _logistic(lambda c, r, *a: _m(c, r.detach(), *a)),
    "the gradient of the chosen response is half of what it should be": _logistic(
        lambda c, r, *a: _m((c + c.detach()) / 2, r, *a)
    ),
    "the pairs of a batch disturb each other": _logistic(lambda *a: _m(*a) - _m(*a).mean() + _m(*a)[0]),
    "a pair far on the right side costs nothing at all": lambda *a: torch.where(_m(*a) > 5, 0.0, softplus(-_m(*a))),
}
SOUND_LOSSES = (
    lambda *a: -logsigmoid(_m(*a)),
    lambda *a: softplus(-_m(*a)),
    lambda *a: binary_cross_entropy_with_logits(_m(*a), torch.ones_like(a[0]), reduction="none"),
    lambda *a: torch.logaddexp(torch.zeros_like(a[0]), -_m(*a)),
)


def _values_differ(loss, beta=0.5, columns=None):
    columns = columns or [t(-1.0, -2.0, -2000.0), t(-3.0, -1.5, -2.0), t(-1.5, -2.5, -1.0), t(-2.0, -0.5, -1.0)]
    found = loss(*columns, beta)
    return not torch.allclose(found, softplus(-_m(*columns, beta)), atol=1e-9)


WEAK_ON_LOSSES = {
    "A false alarm": lambda loss: True,
    "does not notice this fault: the sign of m": lambda loss: False,
    "does not notice this fault: beta is missing": lambda loss: _values_differ(loss, beta=1.0),
    "does not notice this fault: the reference is forgotten": lambda loss: _values_differ(
        loss, columns=[t(-1.0, -4.0), t(-3.0, -1.5), t(-2.0, -2.0), t(-2.0, -2.0)]
    ),
    "does not notice this fault: no gradient reaches the rejected response": lambda loss: (
        _values_differ(loss)
        or _values_differ(loss, columns=[t(-1.0, -40.0), t(-90.0, -1.5), t(-2.0, -3.0), t(-2.0, -2.0)])
    ),
    "does not notice this fault: it is infinite at a margin of −1000": lambda loss: _values_differ(
        loss, columns=[t(-1.0, -4.0), t(-3.0, -1.5), t(-2.0, -3.0), t(-2.0, -2.0)]
    ),
    "It should give True": lambda loss: loss(t(-1.0), t(-2.0), t(-1.0), t(-3.0), 0.5),
}

LOSS_IS_BROKEN = detective(
    SOUND_LOSSES,
    LOSS_FAULTS,
    WEAK_ON_LOSSES,
    (
        "Compare with −log σ(m) on pairs you choose: which numbers make each piece of the formula visible?",
        "Take β ≠ 1, four different columns, margins from −1000 to 1000, more than one pair, and look at each entry.",
        "Values are not enough: let autograd go through the loss, and compare with ∓β σ(−m) for both responses.",
    ),
)
