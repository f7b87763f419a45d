"""What a learner's check of a dual step is tried on: functions (lam, cost, limit, eta) -> the new lam."""

import math

import torch

from safedpo.labs.checks.exercises.planted.making import detective


def _moved(lam, cost, limit, eta):
    return lam + eta * (cost - limit)


def _by_cases(lam, cost, limit, eta):
    new = lam - eta * limit + eta * cost
    return 0.0 if new < 0 else new


DUAL_FAULTS = {
    "the sign of the step": lambda m, c, d, e: max(0.0, m - e * (c - d)),
    "the price may become negative": _moved,
    "the limit is missing": lambda m, c, d, e: max(0.0, m + e * c),
    "eta is missing": lambda m, c, d, e: max(0.0, m + c - d),
    "the price can only rise": lambda m, c, d, e: m + e * max(0.0, c - d),
    "the old price is forgotten": lambda m, c, d, e: max(0.0, e * (c - d)),
    "the price is cut off at 10": lambda m, c, d, e: min(10.0, max(0.0, _moved(m, c, d, e))),
    "log λ moves, so a price of 0 stays 0": lambda m, c, d, e: m * math.exp(e * (c - d)),
    "the cut is made before the step, not after it": lambda m, c, d, e: max(0.0, m) + e * (c - d),
    "the length of the step is cut at 1": lambda m, c, d, e: max(0.0, m + max(-1.0, min(1.0, e * (c - d)))),
    "a cost at its limit still moves the price": lambda m, c, d, e: max(0.0, _moved(m, c, d, e)) + 1e-3 * (c == d),
    "the limit has the wrong sign": lambda m, c, d, e: max(0.0, m + e * (c + d)),
}
SOUND_STEPS = (
    lambda m, c, d, e: max(0.0, _moved(m, c, d, e)),
    _by_cases,
    lambda m, c, d, e: torch.tensor(_moved(m, c, d, e), dtype=torch.float64).clamp(min=0).item(),
    lambda m, c, d, e: (abs(_moved(m, c, d, e)) + _moved(m, c, d, e)) / 2,
)


def _off(step, *cases):
    return any(abs(step(*case) - _by_cases(*case)) > 1e-9 for case in cases)


DUAL_IS_BROKEN = detective(
    SOUND_STEPS,
    DUAL_FAULTS,
    {
        "A false alarm": lambda step: True,
        "does not notice this fault: the sign of the step": lambda step: False,
        "does not notice this fault: the price may become negative": lambda step: _off(
            step, (1.0, 0.4, 0.1, 0.5), (2.0, -0.4, 0.1, 0.5), (20.0, 9.0, 0.1, 0.5), (0.0, 0.7, 0.1, 0.3)
        ),
        "does not notice this fault: the limit is missing": lambda step: _off(
            step, (1.0, 0.4, 0.0, 0.5), (0.1, -1, 0, 1)
        ),
        "does not notice this fault: eta is missing": lambda step: _off(
            step, (1.0, 0.4, 0.1, 1.0), (0.1, -2.0, 0.3, 1.0)
        ),
        "does not notice this fault: the price can only rise": lambda step: _off(
            step, (1.0, 0.4, 0.1, 0.5), (0.0, -1.0, 0.1, 0.5)
        ),
        "does not notice this fault: the price is cut off at 10": lambda step: _off(
            step, (1.0, 0.4, 0.1, 0.5), (1.0, -0.7, 0.2, 0.5), (0.1, -1.0, 0.3, 0.5)
        ),
        "It should give True": lambda step: step(1.0, 0.4, 0.1, 0.5),
    },
    (
        "Work out by hand: a rise, a fall, a fall that is cut at 0, a price of 0 that must rise, a cost at its limit.",
        "Take numbers of different size: a price of 50, a cost of 30, an eta that is not 1, a limit that is not 0.",
        "Compare each with max(0, λ + η(cost − limit)).",
    ),
)
