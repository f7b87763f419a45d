"""Notebook 09: what a count of harmful responses proves, agreement beyond chance, a check of evaluations."""

import math

import torch
from scipy.special import betaincinv

from safedpo.labs.checking import Exercise
from safedpo.labs.checks.exercises import numbers
from safedpo.labs.checks.exercises.planted.evaluations import EVALUATION_IS_BROKEN
from safedpo.labs.predictions import Question

# (harmful responses, responses, risk alpha)
COUNTS = (
    (0, 450, 0.05), (0, 1, 0.05), (3, 40, 0.05), (39, 40, 0.01), (7, 7, 0.05), (0, 150, 0.05 / 6), (12, 5000, 0.05), (5, 10, 0.5),
)  # fmt: skip
TABLES = tuple(
    (torch.tensor(rows),)
    for rows in (
        [[20, 5], [10, 15]],
        [[40, 2], [9, 3]],
        [[0, 12], [7, 1]],
        [[30, 4, 1], [2, 9, 6], [5, 0, 3]],
        [[100, 0], [0, 1]],
        [[1, 9], [0, 90]],
    )
)


def bound_by_beta(harmful, n, alpha):
    """The quantile of a Beta law: no sum and no search."""
    return torch.tensor(_quantile(harmful + 1, n - harmful, 1 - alpha), dtype=torch.float64)


def _quantile(a, b, share):
    """Of a Beta(a, b) law; at b = 0 all of it lies at 1, at a = 0 at 0."""
    return 1.0 if b == 0 else 0.0 if a == 0 else float(betaincinv(a, b, share))


def kappa_by_pairs(counts):
    """Disagreement seen over disagreement by chance, 1 - (1 - p_o) / (1 - p_e), cell by cell."""
    n, k = counts.sum().item(), len(counts)
    rows, columns = counts.sum(1).tolist(), counts.sum(0).tolist()
    apart = [(i, j) for i in range(k) for j in range(k) if i != j]
    seen = math.fsum(counts[i, j].item() / n for i, j in apart)
    chance = math.fsum(rows[i] * columns[j] / n**2 for i, j in apart)
    return torch.tensor(1 - seen / chance, dtype=torch.float64)


def _shares(counts):
    shares = counts / counts.sum()
    return shares, shares.trace(), (shares.sum(0) * shares.sum(1)).sum()


def _phi(counts):
    shares, _, _ = _shares(counts.double())
    rows, columns = shares.sum(1), shares.sum(0)
    place = torch.arange(len(counts), dtype=torch.float64)
    covariance = place @ shares @ place - (place @ rows) * (place @ columns)
    spread = [(place**2 @ one - (place @ one) ** 2).sqrt() for one in (rows, columns)]
    return covariance / (spread[0] * spread[1])


def _scott(counts):
    shares, seen, _ = _shares(counts)
    chance = (((shares.sum(0) + shares.sum(1)) / 2) ** 2).sum()
    return (seen - chance) / (1 - chance)


EXERCISES = {
    "harm_bound": Exercise(
        gives="one number, the largest rate of harm that is left possible",
        cases=COUNTS,
        right=bound_by_beta,
        draw=numbers.harm_bound,
        mistakes={
            "That is the rate that was seen. Zero harmful responses do not prove a rate of zero.": lambda k, n, a: (
                k / n
            ),
            "That is the rule of three, an approximation for k = 0 and 95 %. Solve for the rate.": lambda k, n, a: (
                (k + 3) / n
            ),
            "That is the formula for no harmful response. Count those that were seen, too.": lambda k, n, a: (
                1 - a ** (1 / n)
            ),
            "You split the risk over two sides. Only rates that are too large matter: all of alpha is on one side.": lambda k, n, a: (
                _quantile(k + 1, n - k, 1 - a / 2)
            ),
            "You left out the responses that were seen: it is P(X <= k), not P(X < k).": lambda k, n, a: _quantile(
                k, n - k + 1, 1 - a
            ),
            "That is a lower bound: the rate below which so many harmful responses would be a surprise.": lambda k, n, a: (
                _quantile(k, n - k + 1, a)
            ),
            "You set P(X <= k) to the confidence. At the bound it is alpha, the risk.": lambda k, n, a: _quantile(
                k + 1, n - k, a
            ),
            "That is the normal law's bound. With few harmful responses it is too narrow, with none it is zero.": lambda k, n, a: (
                k / n + 1.645 * math.sqrt(k / n * (1 - k / n) / n)
            ),
            "That is Hoeffding's bound. It holds, but for a count the binomial law itself is known.": lambda k, n, a: (
                min(1.0, k / n + math.sqrt(math.log(1 / a) / (2 * n)))
            ),
            "That is the share that is surely harmless. The bound is on harm: one minus it.": lambda k, n, a: (
                1 - bound_by_beta(k, n, a)
            ),
        },
        hints=(
            "Which rate u makes it a surprise of probability alpha to see k harmful responses or fewer?",
            "P(X <= k) = sum of comb(n, i) u^i (1 - u)^(n - i) for i = 0 ... k. It falls as u rises: halve an interval.",
            "low, high = 0, 1; sixty times: middle = (low + high) / 2, and low = middle where P(X <= k) > alpha.",
        ),
    ),
    "cohen_kappa": Exercise(
        gives="one number",
        cases=TABLES,
        right=kappa_by_pairs,
        draw=numbers.cohen_kappa,
        mistakes={
            "That is the share on which both say the same. Two judges who always say safe share everything.": lambda c: (
                _shares(c)[1]
            ),
            "You subtracted chance and did not divide by what was left to gain, 1 - p_e.": lambda c: (
                _shares(c)[1] - _shares(c)[2]
            ),
            "That is p_e alone, what chance would share.": lambda c: _shares(c)[2],
            "You took chance to be 1/K, as if all labels were equally frequent. It follows from the margins.": lambda c: (
                (_shares(c)[1] - 1 / len(c)) / (1 - 1 / len(c))
            ),
            "You used one judge's margin twice. Chance multiplies the margin of one with that of the other.": lambda c: (
                (_shares(c)[1] - (_shares(c)[0].sum(1) ** 2).sum()) / (1 - (_shares(c)[0].sum(1) ** 2).sum())
            ),
            "That is Scott's pi: it gives both judges the mean of their margins. Cohen's kappa lets each have his own.": _scott,
            "That is a correlation. It does not notice that one judge says unsafe far more often.": _phi,
            "You divided by 1 - p_o. What chance leaves to be gained is 1 - p_e.": lambda c: (
                (_shares(c)[1] - _shares(c)[2]) / (1 - _shares(c)[1])
            ),
            "You divided by p_e. The most that can be gained over chance is 1 - p_e.": lambda c: (
                (_shares(c)[1] - _shares(c)[2]) / _shares(c)[2]
            ),
        },
        hints=(
            "Divide the counts by their sum. Where do both say the same?",
            "By chance, both say label k with probability (row share of k) times (column share of k).",
            "(p_o - p_e) / (1 - p_e), with p_o = shares.trace() and p_e = (shares.sum(0) * shares.sum(1)).sum().",
        ),
    ),
    "evaluation_is_broken": EVALUATION_IS_BROKEN,
}

QUESTIONS = {
    "none_of_many": Question(
        options=(
            "at most 2.5 % with 95 % confidence, since 3/120 is 2.5 %",
            "nothing: zero events have no interval",
            "at most about 5 % with 95 % confidence",
            "exactly zero for prompts like these",
        ),
        right=2,
        why="The 120 responses answer 60 prompts, two each. Responses to one prompt resemble one another, so they are "
        "60 draws of a prompt, not 120: 1 - 0.05^(1/60) is 4.9 %. That is for other wordings of the same requests; of other requests "
        "they prove much less.",
    ),
    "same_judge": Question(
        options=(
            "at most ten percentage points: the judge and the responses are the same",
            "tens of percentage points, from few unsafe to most unsafe",
            "not at all: its most probable reply is not random",
        ),
        right=1,
        why="What a judge calls unsafe depends on how it is asked, and a small one follows the form of the question more than "
        "the response. That its replies are not random makes them repeatable, not right.",
    ),
    "word_filter": Question(
        options=(
            "few: hazards are told in polite words",
            "about half of them",
            "nearly all: unsafe text uses words that a filter knows",
        ),
        right=0,
        why="A filter of rude words looks at manners. A hazard in the household is a friendly sentence.",
    ),
}
