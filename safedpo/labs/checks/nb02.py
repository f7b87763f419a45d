"""Notebook 02: the safe policy, the penalty for a given total variation, the price of poor support."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from safedpo.labs.checking import Exercise
from safedpo.labs.checks.exercises import nb02 as further
from safedpo.labs.checks.exercises import numbers
from safedpo.labs.predictions import Question

INF = math.inf


def _world(reference, reward, unsafe):
    return torch.tensor(reference, dtype=torch.float64).log(), torch.tensor(reward).double(), torch.tensor(unsafe)


# Two prompts and one; unequal references, so that a forgotten reference shows.
_FIRST = _world(
    [[0.5, 0.2, 0.2, 0.1], [0.1, 0.3, 0.25, 0.35]],
    [[1.0, -0.5, 2.0, 0.3], [0.2, 0.9, -1.0, 0.4]],
    [[False, False, True, True], [True, False, False, True]],
)
_SECOND = _world([[0.05, 0.15, 0.8]], [[0.6, 0.1, 1.5]], [[False, False, True]])
TABLES = ((*_FIRST, 0.5), (*_SECOND, 2.0))
# log Z_s, log Z_u, beta, tau; in the last one even C = 0 is enough
PARTITIONS = ((0.3, 1.7, 0.1, 1e-3), (-2.0, 3.0, 2.0, 0.05), (1.0, -20.0, 0.5, 0.01), (-300.0, 900.0, 0.5, 1e-6))


def policy_by_numbers(ref_logps: Tensor, reward: Tensor, unsafe: Tensor, beta: float) -> Tensor:
    """pi* answer by answer, by exp and division, normalised prompt by prompt."""
    rows = []
    for reference, values, flags in zip(ref_logps.tolist(), reward.tolist(), unsafe.tolist(), strict=True):
        weights = [
            0.0 if bad else math.exp(q) * math.exp(r / beta) for q, r, bad in zip(reference, values, flags, strict=True)
        ]
        total = math.fsum(weights)
        rows.append([math.log(w / total) if w else -INF for w in weights])
    return torch.tensor(rows, dtype=torch.float64)


def penalty_by_bisection(log_z_safe: float, log_z_unsafe: float, beta: float, tau: float) -> Tensor:
    """The least C >= 0 whose policy has unsafe mass at most tau, searched for; the closed form is not used."""

    def mass(penalty: float) -> float:
        lead = log_z_safe - log_z_unsafe + penalty / beta
        return 1 / (1 + math.exp(lead)) if lead < 0 else math.exp(-lead) / (1 + math.exp(-lead))

    low, high = 0.0, 1e4
    if mass(low) <= tau:
        return torch.tensor(0.0, dtype=torch.float64)
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (low, middle) if mass(middle) <= tau else (middle, high)
    return torch.tensor(high, dtype=torch.float64)


def _least(support: float) -> Tensor:
    return penalty_by_bisection(math.log(support), math.log1p(-support), 0.1, 1e-3)


def price_by_search() -> Tensor:
    """The rise of C from safe support 1e-2 to 1e-9 at beta = 0.1 and tau = 1e-3, both found by bisection."""
    return _least(1e-9) - _least(1e-2)


def no_policy_without_safe_answers(function: Callable) -> str | None:
    """At a prompt with no safe answer there is nothing to return: NaN or an error is right, a distribution is not."""
    ref_logps, reward, unsafe = (table.clone() for table in _FIRST)
    unsafe[1] = True
    try:
        total = torch.as_tensor(function(ref_logps, reward, unsafe, 0.5))[1].exp().sum().item()
    except Exception:  # refusing is right
        return None
    if total > 0:
        return (
            "Where every answer is unsafe you return a policy. There is none: Z_s = 0, and any distribution over these "
            "answers breaks the constraint. Give NaN or raise an error."
        )
    return None


def _tilt(q, r, b):
    return q + r / b


def _needed(ratio, b, tau):
    return torch.tensor(max(0.0, b * (ratio + math.log((1 - tau) / tau))))


EXERCISES = {
    "safe_policy": Exercise(
        gives="log-probabilities, (P, A)",
        cases=TABLES,
        right=policy_by_numbers,
        draw=numbers.safe_policy,
        mistakes={
            "Safety is ignored: this is the optimum of DPO. Unsafe answers must get probability exactly 0.": lambda q, r, h, b: (
                _tilt(q, r, b).log_softmax(-1)
            ),
            "The flags are inverted: `unsafe` is True for the answers to *forbid*; you forbid the safe ones.": lambda q, r, h, b: (
                _tilt(q, r, b).masked_fill(~h, -INF).log_softmax(-1)
            ),
            "The unsafe answers are removed after normalising: what is left no longer sums to 1. Mask "
            "first, then normalise.": lambda q, r, h, b: _tilt(q, r, b).log_softmax(-1).masked_fill(h, -INF),
            "The reference is forgotten: the optimum multiplies π_ref, it does not replace it.": lambda q, r, h, b: (
                (r / b).masked_fill(h, -INF).log_softmax(-1)
            ),
            "The reward is forgotten: this is only the reference's safe part, the limit β → ∞.": lambda q, r, h, b: (
                q.masked_fill(h, -INF).log_softmax(-1)
            ),
            "The reward is multiplied by beta; it is divided by it: exp(r/β).": lambda q, r, h, b: (
                (q + r * b).masked_fill(h, -INF).log_softmax(-1)
            ),
            "Beta is missing: exp(r/β), not exp(r).": lambda q, r, h, b: (q + r).masked_fill(h, -INF).log_softmax(-1),
            "The sign of the reward is wrong: this policy prefers the worst answers.": lambda q, r, h, b: (
                (q - r / b).masked_fill(h, -INF).log_softmax(-1)
            ),
            "These are probabilities; give their logarithms (−inf where unsafe).": lambda q, r, h, b: (
                _tilt(q, r, b).masked_fill(h, -INF).softmax(-1)
            ),
            "It is not normalised: subtract log Z_s, the logsumexp over the safe answers.": lambda q, r, h, b: _tilt(
                q, r, b
            ).masked_fill(h, -INF),
            "It is normalised over the whole table; each prompt has a Z_s of its own (dim=-1).": lambda q, r, h, b: (
                lambda t: t - t.logsumexp((0, 1))
            )(_tilt(q, r, b).masked_fill(h, -INF)),
            "A reward of 0 does not forbid: exp(0/β) = 1 still leaves the unsafe answer its reference "
            "mass. It takes −inf.": lambda q, r, h, b: _tilt(q, r.masked_fill(h, 0.0), b).log_softmax(-1),
            "A penalty of 1 is finite: unsafe answers keep some mass. The hard constraint takes −inf.": lambda q, r, h, b: (
                _tilt(q, r - h.double(), b).log_softmax(-1)
            ),
        },
        hints=(
            "It is the optimum of notebook 01 with the modified reward: −inf on unsafe answers.",
            "log π* = log π_ref + r_c/β − log Z_s. masked_fill puts −inf where `unsafe` is True.",
            "scores = (ref_logps + reward / beta).masked_fill(unsafe, -math.inf); return scores.log_softmax(-1)",
        ),
        further=(no_policy_without_safe_answers,),
    ),
    "needed_penalty": Exercise(
        gives="one number, the penalty C",
        cases=PARTITIONS,
        right=penalty_by_bisection,
        draw=numbers.needed_penalty,
        mistakes={
            "Beta is missing in front: C/β is what the exponent sees.": lambda s, u, b, t: torch.tensor(
                max(0.0, u - s + math.log((1 - t) / t))
            ),
            "You divide by beta; solving e^{−C/β} = … for C multiplies by it.": lambda s, u, b, t: torch.tensor(
                max(0.0, (u - s + math.log((1 - t) / t)) / b)
            ),
            "Z_u and Z_s are exchanged: the heavier the unsafe side, the *larger* the penalty it takes.": lambda s, u, b, t: (
                _needed(s - u, b, t)
            ),
            "(1−τ)/τ is inverted: a smaller τ must cost more.": lambda s, u, b, t: _needed(u - s, b, 1 - t),
            "Close: log(1/τ) is the approximation for small τ; solved exactly it is log((1−τ)/τ).": lambda s, u, b, t: (
                torch.tensor(max(0.0, b * (u - s - math.log(t))))
            ),
            "A penalty below 0 would reward harm: where even C = 0 is enough, the answer is 0.": lambda s, u, b, t: (
                torch.tensor(b * (u - s + math.log((1 - t) / t)))
            ),
            "You took the logarithm of quantities that already are logarithms: log Z is given, not Z.": lambda s, u, b, t: (
                torch.tensor(max(0.0, b * (math.log(abs(u / s)) + math.log((1 - t) / t))))
            ),
            "The partition functions are forgotten: this holds only where Z_u = Z_s.": lambda s, u, b, t: _needed(
                0.0, b, t
            ),
            "Beta multiplies only the ratio of the partition functions; it multiplies the whole logarithm.": lambda s, u, b, t: (
                torch.tensor(max(0.0, b * (u - s) + math.log((1 - t) / t)))
            ),
            "The τ part is missing: this C makes the unsafe mass one half.": lambda s, u, b, t: torch.tensor(
                max(0.0, b * (u - s))
            ),
            "That is log base 10; the exponential in the formula wants the natural logarithm.": lambda s, u, b, t: (
                torch.tensor(max(0.0, b * (u - s + math.log10((1 - t) / t))))
            ),
        },
        hints=(
            "Set e^{−C/β} Z_u / (Z_s + e^{−C/β} Z_u) = τ and solve for C.",
            "e^{−C/β} = (Z_s/Z_u) τ/(1−τ). Take logs; log Z_u − log Z_s is given. Mind C ≥ 0.",
            "return max(0.0, beta * (log_z_unsafe - log_z_safe + math.log((1 - tau) / tau)))",
        ),
    ),
    "price_of_support": Exercise(
        gives="one number, a difference of penalties",
        cases=((),),
        right=price_by_search,
        mistakes={
            "That is the penalty at δ = 1e-9 itself; the question is how much it *rises* from δ = 1e-2.": lambda: (
                _least(1e-9)
            ),
            "That is the penalty at δ = 1e-2; the question is how much it rises from there to δ = 1e-9.": lambda: (
                _least(1e-2)
            ),
            "That is in units of β: log(10⁷) = 16.1. Multiply by β = 0.1.": lambda: torch.tensor(math.log(1e7)),
            "That counts in factors of ten: 7 powers of ten, each costing β log 10 = 0.230.": lambda: torch.tensor(0.7),
            "The sign: less support needs *more* penalty.": lambda: -price_by_search(),
            "That is a ratio of the two penalties; the question asks for the difference.": lambda: (
                _least(1e-9) / _least(1e-2)
            ),
        },
        hints=(
            "Move the slider to δ = 1e-2 and read C, then to 1e-9.",
            "The formula says β log(1/δ) for small δ: seven powers of ten make β · log(10⁷).",
            "return 0.1 * math.log(1e7)",
        ),
        tolerance=0.006,
    ),
} | further.EXERCISES

QUESTIONS = {
    "average_is_fine": Question(
        ("none: the average is at most 0", "a little, under 5 %", "a good deal, over 20 %"),
        2,
        "The careful answers have negative cost. That credit is spent on hazardous ones until the average is exactly 0: a "
        "budget for harm, and the optimum uses all of it.",
    ),
    "ratio_of_safe": Question(
        ("they move towards the unsafe answers' neighbours", "they do not change", "they become uniform"),
        1,
        "Removing answers only removes terms from Z. What remains is rescaled by one number, so the ratio of two safe "
        "answers is what it was.",
    ),
    "no_safe_answer": Question(
        ("the reference", "the least unsafe answer", "no policy at all: Z_s = 0"),
        2,
        "Every policy near the reference breaks the constraint there, so the problem has no solution. The program says so "
        "by name instead of returning NaN.",
    ),
    "support_price": Question(
        ("10,000 times larger", "twice as large", "larger by a fixed amount, whatever it was before"),
        2,
        "C grows with the logarithm: β log(1/δ). Each power of ten of support that is lost costs the same amount more, β log 10.",
    ),
}
