"""Where label noise moves the optimum: the reward margin m of a safe-over-unsafe pair at which the loss is least.

With noise-free safety bits the loss only falls as m grows and the optimum is at infinity, for every delta (Prop. 4.4).
With noise it is finite and moves with delta. Both functions are exact for a prompt with two answers, flips being fresh
for each row; with more answers the pairs are coupled, and `fit` on `flip_bits` gives the answer.
"""

import math

from scipy.optimize import brentq
from scipy.special import expit

from safedpo.errors import UserError


def pair_flip_margin(rate: float, delta: float) -> float:
    """m* when both bits of a pair are wrong at once with probability q = `rate` [derived].

    Solves (1 - q) sigmoid(delta - m) = q sigmoid(delta + m), in closed form
    m* = log{[(1 - 2q) e^delta + sqrt((1 - 2q)^2 e^(2 delta) + 4 q (1 - q))] / (2q)}; log((1 - q) / q) at delta = 0.

    >>> [round(pair_flip_margin(0.1, delta), 4) for delta in (0, 2, 5, 10, 20)]
    [2.1972, 4.082, 7.0794, 12.0794, 22.0794]
    """
    _check_rate(rate)
    clean = (1 - 2 * rate) * math.exp(min(delta, 0.0))
    # e^delta is taken out of the root, so that a large delta does not overflow.
    root = math.sqrt(clean**2 + 4 * rate * (1 - rate) * math.exp(-2 * max(delta, 0.0)))
    return max(delta, 0.0) + math.log((clean + root) / (2 * rate))


def bit_flip_margin(rate: float, safe_wins: float, delta: float) -> float:
    """m* when each bit is wrong with probability e = `rate`, before T [derived].

    `safe_wins` = p is the probability that the safe answer is also the more helpful one. The root of
    (1-e)^2 sigmoid(delta - m) + e(1-e) [p sigmoid(-m) - (1-p) sigmoid(m)] - e^2 sigmoid(delta + m), which falls in m;
    at delta = 0 it is sigmoid(m*) = [(1-e)^2 + e(1-e)p] / (1 - e + e^2).

    >>> [round(bit_flip_margin(0.1, 0.3, delta), 4) for delta in (0, 2, 5, 10, 20)]
    [2.4394, 4.3301, 7.313, 12.3121, 22.3121]
    """
    _check_rate(rate)
    both_right, one_wrong, both_wrong = (1 - rate) ** 2, rate * (1 - rate), rate**2

    def slope(m: float) -> float:
        shared = safe_wins * expit(-m) - (1 - safe_wins) * expit(m)
        return both_right * expit(delta - m) + one_wrong * shared - both_wrong * expit(delta + m)

    far = abs(delta) + 10 - 3 * math.log(rate)  # beyond it the sign of the slope cannot change
    return brentq(slope, -far, far, xtol=1e-13, rtol=1e-15)


def _check_rate(rate: float) -> None:
    if not 0 < rate < 0.5:
        raise UserError(f"rate is {rate}; it must lie strictly between 0 (the optimum is at infinity) and 0.5")
