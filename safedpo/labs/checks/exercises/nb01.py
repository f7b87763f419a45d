"""Notebook 01, further exercises: a training loop by hand, a proof's four terms, β for a distance, a check of a loss."""

import math
import random
from dataclasses import replace

import torch
from scipy.optimize import brentq
from torch import Tensor
from torch.nn.functional import softplus

from safedpo.labs.checking import Exercise
from safedpo.labs.checks.exercises.numbers import t
from safedpo.labs.checks.exercises.planted.losses import LOSS_IS_BROKEN

REFERENCE = t(0.4, 0.3, 0.2, 0.1).log()
WINS = t([0, 3, 1, 5], [2, 0, 4, 0], [6, 1, 0, 2], [0, 7, 1, 0])
LOOPS = (
    (REFERENCE, WINS, 0.5, 3.0, 12),
    (t(0.2, 0.5, 0.3).log(), t([0, 9, 2], [0, 0, 1], [3, 4, 0]), 2.0, 0.7, 5),
    (REFERENCE, WINS, 0.1, 1.0, 0),
)


def by_autograd(ref_logps: Tensor, wins: Tensor, beta: float, lr: float, steps: int, **fault: bool) -> Tensor:
    """The same loop with autograd, and, for the mistakes, with one thing wrong."""
    logits = ref_logps.clone()
    home = torch.zeros_like(ref_logps) if fault.get("no_reference") else ref_logps
    for _ in range(steps):
        leaf = (logits if not fault.get("restarts") else ref_logps).clone().requires_grad_()
        implicit = beta * (leaf.log_softmax(-1) - home)
        margin = implicit[:, None] - implicit
        losses = wins * (softplus(margin) if fault.get("flipped") else softplus(-margin))
        losses = wins * -margin if fault.get("no_weight") else losses
        loss = (
            losses.sum() if fault.get("total") else losses.mean() if fault.get("cells") else losses.sum() / wins.sum()
        )
        (gradient,) = torch.autograd.grad(loss / (beta if fault.get("no_beta") else 1), leaf)
        logits = logits + (lr if fault.get("climbs") else -lr) * gradient
    return logits if fault.get("raw") else logits.log_softmax(-1)


WEIGHTS = (
    (t(0.1, 0.2, 0.3, 0.4), REFERENCE, t(1.0, -0.5, 2.0, 0.3), 0.5),
    (t(0.7, 0.0, 1.5, 0.2), REFERENCE, t(0.2, 3.0, -1.0, 0.4), 2.0),
    (t(0.0, 1.0, 0.0), t(0.2, 0.5, 0.3).log(), t(4.0, -1.0, 0.0), 0.1),
)


def terms_by_numbers(weights: Tensor, ref_logps: Tensor, reward: Tensor, beta: float) -> tuple[Tensor, ...]:
    """The four terms of the identity, number by number; an answer of weight 0 adds nothing."""
    rows = list(zip(weights.tolist(), ref_logps.tolist(), reward.tolist(), strict=True))
    log_z = math.log(math.fsum(math.exp(q) * math.exp(r / beta) for _, q, r in rows))
    gain = math.fsum(w * r for w, _, r in rows)
    away = beta * math.fsum(w * (math.log(w) - q) for w, q, _ in rows if w)
    level = beta * log_z * math.fsum(w for w, _, _ in rows)
    short = beta * math.fsum(w * (math.log(w) - (q + r / beta - log_z)) for w, q, r in rows if w)
    return tuple(torch.tensor(value, dtype=torch.float64) for value in (gain, away, level, short))


def _terms(change):
    """The right four terms, changed by `change(terms, case)`."""
    return lambda *case: tuple(change(list(terms_by_numbers(*case)), case))


def _best(case):
    _, q, r, b = case
    return (q + r / b).log_softmax(-1)


def _weighted(w, x):
    return torch.where(w > 0, w * x, 0.0).sum()


DISTANCES = (
    (REFERENCE, t(1.0, -0.5, 2.0, 0.3), 0.3),
    (REFERENCE, t(1.0, -0.5, 2.0, 0.3), 1e-4),
    (t(0.2, 0.5, 0.3).log(), t(4.0, -1.0, 3.0), 1.2),
)


def beta_by_brent(ref_logps: Tensor, reward: Tensor, nats: float, *, other_way: bool = False) -> Tensor:
    """Brent's method on log beta, with sums of plain numbers."""

    def distance(log_beta: float) -> float:
        scores = [q + r / math.exp(log_beta) for q, r in zip(ref_logps.tolist(), reward.tolist(), strict=True)]
        top = max(scores)
        log_z = top + math.log(math.fsum(math.exp(s - top) for s in scores))
        pairs = [(s - log_z, q) for s, q in zip(scores, ref_logps.tolist(), strict=True)]
        if other_way:
            return math.fsum(math.exp(q) * (q - p) for p, q in pairs)
        return math.fsum(math.exp(p) * (p - q) for p, q in pairs)

    found = brentq(lambda x: distance(x) - nats, -6, 14, xtol=1e-14, rtol=1e-14)
    return torch.tensor(math.exp(found), dtype=torch.float64)


def refuses_the_impossible(function) -> str | None:
    """No β leads farther than the answers with the highest reward (together, if several have it), nor nearer than 0."""
    alone, together = t(1.0, -0.5, 2.0, 0.3), t(1.0, 2.0, 2.0, 0.3)
    most = -REFERENCE[2].item()
    for reward, nats in ((alone, most + 0.01), (alone, most), (alone, 0.0), (alone, -0.1), (together, -math.log(0.4))):
        try:
            function(REFERENCE.clone(), reward.clone(), nats)
        except ValueError:
            continue
        return (
            f"No β > 0 gives {nats:.3f} nats for the rewards {reward.tolist()}: at β → 0 the KL is −log of the reference's "
            "mass on the highest reward, and it is never 0. Raise a ValueError for what cannot be had."
        )
    return None


def _loop_case(draw: random.Random) -> tuple:
    size = draw.randint(3, 5)
    ref = t(*(draw.uniform(-2, 0) for _ in range(size))).log_softmax(-1)
    wins = t(*([0.0 if i == j else draw.randint(0, 6) for j in range(size)] for i in range(size)))
    wins[0, 1] += 1
    return ref, wins, draw.uniform(0.1, 2), draw.uniform(0.1, 3), draw.randint(1, 10)


def _terms_case(draw: random.Random) -> tuple:
    weights, ref, reward = (t(*(draw.uniform(low, 2) for _ in range(4))) for low in (0, -2, -2))
    return weights, ref.log_softmax(-1), reward, draw.uniform(0.2, 3)


def _distance_case(draw: random.Random) -> tuple:
    ref = t(*(draw.uniform(-1, 0) for _ in range(4))).log_softmax(-1)
    reward = t(*(draw.uniform(-2, 2) for _ in range(4)))
    return ref, reward, draw.uniform(0.05, 0.8) * -ref[reward.argmax()].item()


EXERCISES = {
    "train_table": Exercise(
        gives="log-probabilities after the last step, (A,)",
        cases=LOOPS,
        right=by_autograd,
        mistakes={
            "The sign of the step: this loop climbs the loss.": lambda *a: by_autograd(*a, climbs=True),
            "wins[i, j] counts how often i beat j; you read it the other way round.": lambda *a: by_autograd(
                *a, flipped=True
            ),
            "The reference is forgotten in the reward margin: every pair starts at m = 0.": lambda *a: by_autograd(
                *a, no_reference=True
            ),
            "The loss is the mean over comparisons; yours is their sum.": lambda *a: by_autograd(*a, total=True),
            "You average over the cells of the table; average over the comparisons.": lambda *a: by_autograd(
                *a, cells=True
            ),
            "The weight σ(−m) is missing: every comparison pulls alike.": lambda *a: by_autograd(*a, no_weight=True),
            "Beta is missing in the gradient: the chain rule brings it down.": lambda *a: by_autograd(*a, no_beta=True),
            "Every step is taken from the gradient at the reference; compute it anew.": lambda *a: by_autograd(
                *a, restarts=True
            ),
            "Those are logits; give log-probabilities.": lambda *a: by_autograd(*a, raw=True),
        },
        hints=(
            "Each comparison pulls the winner's logit up and the loser's down, by β σ(−m) each. The normaliser cancels.",
            "Make a matrix pull[i, j] = wins[i, j]/wins.sum() · β σ(−m_ij). Row sums lift, column sums lower.",
            "logits = logits + lr * (pull.sum(1) - pull.sum(0)), steps times; return logits.log_softmax(-1)",
        ),
    ),
    "gibbs_terms": Exercise(
        gives="the four terms, each one number",
        cases=WEIGHTS,
        right=terms_by_numbers,
        mistakes={
            "You normalised the weights. The identity holds without: that is where Σw enters.": lambda w, q, r, b: (
                terms_by_numbers(w / w.sum(), q, r, b)
            ),
            "β log Z is counted once for each unit of weight: multiply it by Σw.": _terms(
                lambda v, case: [*v[:2], v[2] / case[0].sum(), v[3]]
            ),
            "Beta is missing in front of the divergences.": _terms(
                lambda v, case: [v[0], v[1] / case[3], v[2], v[3] / case[3]]
            ),
            "Beta is missing in front of log Z.": _terms(lambda v, case: [v[0], v[1], v[2] / case[3], v[3]]),
            "The last divergence is from π* itself: normalise it by Z.": _terms(lambda v, case: [*v[:3], v[3] - v[2]]),
            "The divergences have the wrong sign: log w − log π_ref.": _terms(
                lambda v, case: [v[0], -v[1], v[2], -v[3]]
            ),
            "The two divergences are exchanged.": _terms(lambda v, case: [v[0], v[3], v[2], v[1]]),
            "An answer of weight 0 adds 0 to a divergence; you get NaN there.": _terms(
                lambda v, case: [
                    v[0],
                    case[3] * (case[0] * (case[0].log() - case[1])).sum(),
                    v[2],
                    case[3] * (case[0] * (case[0].log() - _best(case))).sum(),
                ]
            ),
        },
        hints=(
            "Write log(w/π_ref) = log(w/π*) + r/β − log Z for each answer, multiply by β w, and add up.",
            "Four sums: Σ w r; β Σ w log(w/π_ref); β log Z Σ w; β Σ w log(w/π*). Where w = 0 a divergence adds 0.",
            "torch.where(weights > 0, weights * (weights.log() - ref_logps), 0.0).sum() is a divergence without its β.",
        ),
    ),
    "beta_for_kl": Exercise(
        gives="one number, the β",
        cases=DISTANCES,
        right=beta_by_brent,
        mistakes={
            "That is 1/β: a larger KL needs a *smaller* β.": lambda *a: 1 / beta_by_brent(*a),
            "That is log β.": lambda *a: beta_by_brent(*a).log(),
            "The other divergence: KL(π*‖π_ref) is weighted by π*, not by the reference.": lambda *a: beta_by_brent(
                *a, other_way=True
            ),
            "You took the distance for bits; it is in nats.": lambda q, r, d: beta_by_brent(q, r, d * math.log(2)),
            "That is the β of a reward twice as large.": lambda q, r, d: beta_by_brent(q, 2 * r, d),
            "That is β²; the exponent has r/β.": lambda *a: beta_by_brent(*a) ** 2,
        },
        hints=(
            "KL(π*‖π_ref) falls as β grows, so halve an interval; on a logarithmic scale, since β may be 0.001 or 1000.",
            "low, high = 1e-6, 1e6; middle = sqrt(low · high). Too far away at middle? Then β must be larger: low = middle.",
            "At β → 0 the KL is −log of the reference's mass on the highest reward: anything from there on is a ValueError.",
        ),
        further=(refuses_the_impossible,),
    ),
    "loss_is_broken": LOSS_IS_BROKEN,
}
DRAWS = {
    "train_table": _loop_case,
    "gibbs_terms": _terms_case,
    "beta_for_kl": _distance_case,
}
EXERCISES = {name: replace(exercise, draw=DRAWS.get(name, exercise.draw)) for name, exercise in EXERCISES.items()}
