"""Notebook 10: a price for each prompt, the samples a safety test needs."""

import math

import torch
from scipy.optimize import brentq
from torch import Tensor

from safedpo.labs.checking import Exercise
from safedpo.labs.checks.exercises import numbers
from safedpo.labs.predictions import Question


def _tables(reference: list, reward: list, cost: list) -> tuple[Tensor, Tensor, Tensor]:
    first, second, third = (torch.tensor(table, dtype=torch.float64) for table in (reference, reward, cost))
    return first, second, third


_REFERENCE, _REWARD, _COST = _tables(
    [[0.5, 0.3, 0.2], [0.2, 0.2, 0.6], [0.4, 0.4, 0.2]],
    [[1.0, 0.2, 1.5], [0.3, 1.0, 2.0], [2.0, 0.1, 0.0]],
    [[-0.5, -1.0, 2.0], [-0.3, -0.8, 1.0], [-1.0, -0.2, 0.7]],
)
# Prompts that need a price and prompts that do not; one prompt alone; another beta.
CASES = (
    (_REFERENCE.log(), _REWARD, _COST, 0.5, 0.0),
    (_REFERENCE.log(), _REWARD, _COST, 0.2, -0.4),
    (_REFERENCE[:1].log(), _REWARD[:1], _COST[:1], 1.0, 0.1),
)
WIDTHS = ((0.0, 1.0, 0.05, 0.05), (-1.5, 2.5, 0.1, 0.01), (0.0, 25.0, 1.0, 0.1))


def prices_by_brent(ref_logps, reward, cost, beta, limit) -> Tensor:
    """Each prompt's least price, by Brent's method in floats."""
    found = []
    for q, r, c in zip(ref_logps.tolist(), reward.tolist(), cost.tolist(), strict=True):

        def excess(lam: float, q=q, r=r, c=c) -> float:
            top = max(a + (b - lam * d) / beta for a, b, d in zip(q, r, c, strict=True))
            weights = [math.exp(a + (b - lam * d) / beta - top) for a, b, d in zip(q, r, c, strict=True)]
            return math.fsum(w * d for w, d in zip(weights, c, strict=True)) / math.fsum(weights) - limit

        found.append(0.0 if excess(0.0) <= 0 else brentq(excess, 0.0, 100.0, xtol=1e-13))
    return torch.tensor(found, dtype=torch.float64)


def _with(ref_logps, reward, cost, beta, limit, *, scores=None, free=True) -> Tensor:
    """Prices by bisection, with a faulty tilt (`scores(lam)`), or without the free prompts."""
    scores = scores or (lambda lam: (ref_logps + (reward - lam[:, None] * cost) / beta).softmax(-1))
    low, high = torch.zeros(len(cost), dtype=torch.float64), torch.full((len(cost),), 100.0, dtype=torch.float64)

    def over(lam: Tensor) -> Tensor:
        return (scores(lam) * cost).sum(-1) > limit

    none = ~over(low)
    for _ in range(80):
        middle = (low + high) / 2
        dear = over(middle)
        low, high = torch.where(dear, middle, low), torch.where(dear, high, middle)
    return torch.where(none & torch.tensor(free), 0.0, high)


def _one_price(q, r, c, b, d) -> Tensor:
    def mean(lam: float) -> float:
        return ((q + (r - lam * c) / b).softmax(-1) * c).sum(-1).mean().item() - d

    lam = 0.0 if mean(0.0) <= 0 else brentq(mean, 0.0, 100.0)
    return torch.full((len(c),), lam, dtype=torch.float64)


def _width(low: float, high: float, room: float, alpha: float) -> Tensor:
    """Count up until Hoeffding's width is at most `room`."""
    n = 1
    while (high - low) * math.sqrt(math.log(1 / alpha) / (2 * n)) > room:
        n += 1
    return torch.tensor(float(n))


def _up(x: float) -> Tensor:
    return torch.tensor(float(math.ceil(x)))


EXERCISES = {
    "prompt_prices": Exercise(
        gives="one price for each prompt, (P,)",
        cases=CASES,
        right=prices_by_brent,
        draw=numbers.prompt_prices,
        mistakes={
            "That is one price for all prompts: it meets the limit on the mean. RePO wants it in each prompt.": _one_price,
            "The reference is forgotten: the tilt multiplies π_ref.": lambda q, r, c, b, d: _with(
                q, r, c, b, d, scores=lambda lam: ((r - lam[:, None] * c) / b).softmax(-1)
            ),
            "The reward is forgotten: the policy trades cost against *reward*.": lambda q, r, c, b, d: _with(
                q, r, c, b, d, scores=lambda lam: (q - lam[:, None] * c / b).softmax(-1)
            ),
            "Beta is missing under the exponent: it divides r − λc.": lambda q, r, c, b, d: _with(
                q, r, c, b, d, scores=lambda lam: (q + r - lam[:, None] * c).softmax(-1)
            ),
            "Beta divides the reward alone; it divides λc as well.": lambda q, r, c, b, d: _with(
                q, r, c, b, d, scores=lambda lam: (q + r / b - lam[:, None] * c).softmax(-1)
            ),
            "The sign of the price: a higher λ must make cost *less* attractive.": lambda q, r, c, b, d: _with(
                q, r, c, b, d, scores=lambda lam: (q + (r + lam[:, None] * c) / b).softmax(-1)
            ),
            "The limit is missing: the cost is compared with 0.": lambda q, r, c, b, d: prices_by_brent(
                q, r, c, b, 0.0
            ),
            "That is Safe RLHF's tilt: here r − λc is not divided by 1 + λ.": lambda q, r, c, b, d: _with(
                q, r, c, b, d, scores=lambda lam: (q + (r - lam[:, None] * c) / (b * (1 + lam[:, None]))).softmax(-1)
            ),
            "The price of a prompt is the mean price of all: each prompt has its own.": lambda q, r, c, b, d: (
                prices_by_brent(q, r, c, b, d).mean().expand(len(c))
            ),
            "Every prompt pays the costliest prompt's price; each has its own.": lambda q, r, c, b, d: (
                prices_by_brent(q, r, c, b, d).max().expand(len(c))
            ),
            "Those are the costs at price 0, not the prices.": lambda q, r, c, b, d: ((q + r / b).softmax(-1) * c).sum(
                -1
            ),
        },
        hints=(
            "At price λ a prompt's policy is proportional to π_ref exp((r − λc)/β), and its cost falls as λ rises.",
            "Start with low = 0 and high = 100 for every prompt. Where the cost at the middle is above the limit, raise low.",
            "over = ((ref_logps + (reward − lam[:, None] · cost)/beta).softmax(−1) · cost).sum(−1) > limit; prompts that are "
            "not over at λ = 0 keep 0",
        ),
    ),
    "samples_needed": Exercise(
        gives="a whole number",
        cases=WIDTHS,
        right=_width,
        draw=numbers.samples_needed,
        mistakes={
            "The range of the costs is missing: the width grows with high − low.": lambda a, b, w, p: _up(
                math.log(1 / p) / (2 * w**2)
            ),
            "The range enters squared: solve the square root.": lambda a, b, w, p: _up(
                (b - a) * math.log(1 / p) / (2 * w**2)
            ),
            "The room enters squared: half the room takes four times the samples.": lambda a, b, w, p: _up(
                (b - a) ** 2 * math.log(1 / p) / (2 * w)
            ),
            "The 2 under the square root is missing.": lambda a, b, w, p: _up((b - a) ** 2 * math.log(1 / p) / w**2),
            "That is the two-sided bound, log(2/α); the test has one side.": lambda a, b, w, p: _up(
                (b - a) ** 2 * math.log(2 / p) / (2 * w**2)
            ),
            "That is 1/α in place of log(1/α), as Chebyshev would have it.": lambda a, b, w, p: _up(
                (b - a) ** 2 / p / (2 * w**2)
            ),
            "Round up: with one sample less the width is above the room.": lambda a, b, w, p: torch.tensor(
                float(math.floor((b - a) ** 2 * math.log(1 / p) / (2 * w**2)))
            ),
            "A number of samples is whole.": lambda a, b, w, p: torch.tensor(
                (b - a) ** 2 * math.log(1 / p) / (2 * w**2)
            ),
            "That logarithm is to the base 10; Hoeffding's is natural.": lambda a, b, w, p: _up(
                (b - a) ** 2 * math.log10(1 / p) / (2 * w**2)
            ),
        },
        hints=(
            "Set the width (high − low) sqrt(log(1/α)/(2n)) equal to the room and solve for n.",
            "n = ((high − low)/room)² log(1/α)/2, and the next whole number above.",
            "return math.ceil(((high - low) / room) ** 2 * math.log(1 / alpha) / 2)",
        ),
    ),
}

QUESTIONS = {
    "support_of_data": Question(
        ("it stays about the same", "it falls to about 2 %", "it falls to about 0.01 %"),
        1,
        "A pair is informative when at least one of its two answers is safe: 1 − (1 − δ)², about 2δ for small δ. All others "
        "are UU, and T drops them.",
    ),
    "two_losses": Question(
        ("yes, up to the noise of sampling", "only if both answers are safe", "no, T is biased"),
        0,
        "Given the pair, T makes the label that Bradley-Terry under r_c would have made: the same coin for SS, a sure win "
        "for a mixed pair. UU carries no loss on either side, by convention.",
    ),
    "who_forbids": Question(
        ("all that have a safety term", "those with a large λ", "those that treat safe over unsafe as certain"),
        2,
        "A finite price leaves a finite chance. Unsafe mass vanishes exactly where safe-over-unsafe is certain "
        "and the loss "
        "has no finite minimum there: T with a logistic loss, safebetter, or certain safer labels.",
    ),
    "bounded_loss": Question(
        ("it forbids as well", "it keeps some unsafe mass", "it diverges"),
        1,
        "IPO wants a gap of 1/(2β) and no more, even from a certain label. So after T its optimum is finite.",
    ),
    "premise_not_needed": Question(
        ("right safety bits", "Δ ≥ 0", "each unsafe answer meets a safe one"),
        1,
        "A negative Δ only slows the start: mixed pairs still lose their influence as the unsafe mass goes to 0. Wrong bits "
        "give finite optima that move with Δ, and an unsafe answer that meets no safe one is never pushed down.",
    ),
}
