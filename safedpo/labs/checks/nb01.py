"""Notebook 01: the implicit reward, the DPO loss, its gradient by hand."""

import math

import torch

from safedpo.labs.checking import Exercise, log_sigmoid
from safedpo.labs.predictions import Question


def _t(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


# chosen, rejected, reference chosen, reference rejected, beta; the last case has margins of +-1,000
COLUMNS = (
    (_t(-12, -3, -40.5), _t(-15, -2, -38), _t(-13, -4, -41), _t(-14, -2.5, -39.5), 0.1),
    (
        _t(-1.2, -0.3, -2.0, -7.7),
        _t(-0.7, -2.1, -2.5, -6.1),
        _t(-1.0, -1.1, -1.9, -7.0),
        _t(-1.5, -0.9, -3.0, -8.2),
        2.5,
    ),
    (_t(-1000, -1), _t(-1, -1000), _t(-1, -1), _t(-1, -1), 1.0),
)
REWARDS = (
    (
        torch.tensor([[0.7, 0.2, 0.1]], dtype=torch.float64).log(),
        torch.tensor([[0.25, 0.25, 0.5]], dtype=torch.float64).log(),
        0.5,
    ),
    (
        torch.tensor([[0.1, 0.9], [0.6, 0.4]], dtype=torch.float64).log(),
        torch.tensor([[0.3, 0.7], [0.2, 0.8]], dtype=torch.float64).log(),
        3.0,
    ),
)


def reward_by_division(logps, ref_logps, beta):
    """beta log(pi / pi_ref), from the ratio of probabilities, number by number."""
    flat = [
        beta * math.log(math.exp(a) / math.exp(b))
        for a, b in zip(logps.flatten().tolist(), ref_logps.flatten().tolist(), strict=True)
    ]
    return torch.tensor(flat, dtype=torch.float64).view(logps.shape)


def margins(c, r, rc, rr, beta) -> list[float]:
    """The reward margins, as plain numbers."""
    return [beta * (a - b - x + y) for a, b, x, y in zip(*(v.tolist() for v in (c, r, rc, rr)), strict=True)]


def loss_by_numbers(c, r, rc, rr, beta):
    """-log sigmoid(m) with the standard library."""
    return _t(*(-log_sigmoid(m) for m in margins(c, r, rc, rr, beta)))


def slope_by_differences(c, r, rc, rr, beta):
    """The two gradients by central differences of `loss_by_numbers`: no formula of a gradient is used."""
    step = 1e-4
    return tuple(
        (loss_by_numbers(c + up, r + other, rc, rr, beta) - loss_by_numbers(c - up, r - other, rc, rr, beta))
        / (2 * step)
        for up, other in ((step, 0.0), (0.0, step))
    )


def _loss(m):
    return torch.nn.functional.softplus(-m)


def _gradient(weight):
    """The mistakes of the gradient share its form: (-factor, +factor)."""
    return lambda *a: tuple(sign * weight(*a) for sign in (-1, 1))


def _m(c, r, rc, rr, beta):
    return beta * ((c - rc) - (r - rr))


def carries_gradient(function) -> str | None:
    """A loss must let the gradient through to the policy's log-probabilities."""
    case = [a.clone() if isinstance(a, torch.Tensor) else a for a in COLUMNS[0]]
    case[0].requires_grad_()
    losses = function(*case)
    if not losses.requires_grad:
        return (
            "The values are right, but no gradient flows: the loss is cut off from the log-probabilities "
            "(detach, item, numpy or no_grad). Nothing could be trained with it."
        )
    return None


EXERCISES = {
    "implicit_reward": Exercise(
        gives="one reward for each answer, shaped like logps",
        cases=REWARDS,
        right=reward_by_division,
        mistakes={
            "Beta is missing: the log-ratio alone is the reward divided by beta.": lambda p, q, b: p - q,
            "You divide by beta. From π* ∝ π_ref exp(r/β), taking logs gives r/β; multiply by beta.": lambda p, q, b: (
                (p - q) / b
            ),
            "The sign is turned round: it is log π − log π_ref, large where the policy says more than the reference.": lambda p, q, b: (
                b * (q - p)
            ),
            "The reference is forgotten: compare the policy with log π_ref, or every likely answer looks good.": lambda p, q, b: (
                b * p
            ),
            "Beta multiplies only the policy's log-probability; it belongs to the whole difference.": lambda p, q, b: (
                b * p - q
            ),
            "Beta multiplies only the reference's log-probability; it belongs to the whole difference.": lambda p, q, b: (
                p - b * q
            ),
            "That is the ratio of probabilities; the reward is its logarithm (times beta).": lambda p, q, b: (
                b * (p - q).exp()
            ),
            "That is a difference of probabilities; the formula has a difference of log-probabilities.": lambda p, q, b: (
                b * (p.exp() - q.exp())
            ),
            "You add the two log-probabilities; a log of a quotient is a difference.": lambda p, q, b: b * (p + q),
            "Beta is squared.": lambda p, q, b: b * b * (p - q),
            "Each log-ratio is weighted by the probability, as in a KL. The reward of an answer has no such weight.": lambda p, q, b: (
                b * p.exp() * (p - q)
            ),
        },
        hints=(
            "Take the logarithm of π*(y) = π_ref(y) exp(r(y)/β) / Z and solve for r(y).",
            "r(y) = β (log π*(y) − log π_ref(y)) + β log Z. The last term is the same for every answer: leave it out.",
            "return beta * (logps - ref_logps)",
        ),
    ),
    "dpo_loss": Exercise(
        gives="one loss for each pair, (B,)",
        cases=COLUMNS,
        right=loss_by_numbers,
        mistakes={
            "The sign is turned round: this loss falls when the *rejected* response becomes likelier.": lambda c, r, rc, rr, b: (
                _loss(-_m(c, r, rc, rr, b))
            ),
            "The minus sign in front is missing: this is a log-likelihood, to be maximised. A loss is "
            "its negative.": lambda c, r, rc, rr, b: -_loss(_m(c, r, rc, rr, b)),
            "The reference is forgotten: both log-probabilities must be compared with the reference's.": lambda c, r, rc, rr, b: (
                _loss(b * (c - r))
            ),
            "The reference enters with the wrong sign, or its two columns are exchanged: the chosen response belongs to "
            "ref_chosen_logps, which is subtracted.": lambda c, r, rc, rr, b: _loss(b * ((c - rr) - (r - rc))),
            "Beta is missing: it multiplies the difference of the two log-ratios.": lambda c, r, rc, rr, b: _loss(
                _m(c, r, rc, rr, 1.0)
            ),
            "You divide by beta; it multiplies.": lambda c, r, rc, rr, b: _loss(_m(c, r, rc, rr, 1.0) / b),
            "Beta is squared.": lambda c, r, rc, rr, b: _loss(_m(c, r, rc, rr, b * b)),
            "Beta stands outside the log-sigmoid; it belongs inside, on the log-ratios.": lambda c, r, rc, rr, b: (
                b * _loss(_m(c, r, rc, rr, 1.0))
            ),
            "Beta multiplies only the policy's log-probabilities, not the reference's.": lambda c, r, rc, rr, b: _loss(
                b * (c - r) - (rc - rr)
            ),
            "That is the weight of the gradient, sigmoid(−m); the loss is −log sigmoid(m).": lambda c, r, rc, rr, b: (
                torch.sigmoid(-_m(c, r, rc, rr, b))
            ),
            "The log-sigmoid is missing: this is the negative margin itself.": lambda c, r, rc, rr, b: (
                -_m(c, r, rc, rr, b)
            ),
            "Only the chosen response counts here; the loss compares it with the rejected one.": lambda c, r, rc, rr, b: (
                _loss(b * (c - rc))
            ),
            "A margin of −1,000 gives an infinite loss: the sigmoid became 0 before its logarithm was taken. "
            "torch.nn.functional.logsigmoid takes both in one step.": lambda c, r, rc, rr, b: (
                -torch.sigmoid(_m(c, r, rc, rr, b)).log()
            ),
        },
        hints=(
            "Bradley-Terry says P(chosen beats rejected) = sigmoid(reward of chosen − reward of rejected). "
            "The loss is minus the log of that probability.",
            "Put in the implicit rewards β (log π − log π_ref); log Z cancels. Use torch.nn.functional.logsigmoid.",
            "m = beta * ((chosen_logps - ref_chosen_logps) - (rejected_logps - ref_rejected_logps)); return -logsigmoid(m)",
        ),
        further=(carries_gradient,),
    ),
    "dpo_gradient": Exercise(
        gives="two gradients, with respect to chosen_logps and to rejected_logps, each (B,)",
        cases=COLUMNS,
        right=slope_by_differences,
        mistakes={
            "The signs are turned round, or the two are exchanged: gradient *descent* must raise chosen_logps, so the "
            "first is negative.": _gradient(lambda *a: -a[4] * torch.sigmoid(-_m(*a))),
            "Beta is missing: the chain rule brings it down from inside the sigmoid.": _gradient(
                lambda *a: torch.sigmoid(-_m(*a))
            ),
            "Beta is squared.": _gradient(lambda *a: a[4] ** 2 * torch.sigmoid(-_m(*a))),
            "The weight is sigmoid(−m), large where the pair is ordered wrongly; yours is sigmoid(m), large where all is "
            "well.": _gradient(lambda *a: a[4] * torch.sigmoid(_m(*a))),
            "The weight is missing: every pair pulls with the same force beta.": _gradient(
                lambda *a: torch.full_like(a[0], a[4])
            ),
            "Both gradients are negative; the rejected response is pushed down, so its gradient is positive.": lambda *a: (
                (-a[4] * torch.sigmoid(-_m(*a)),) * 2
            ),
            "Only the chosen response gets a gradient; the rejected one gets the opposite.": lambda *a: (
                -a[4] * torch.sigmoid(-_m(*a)),
                torch.zeros_like(a[0]),
            ),
            "The reference is forgotten in the weight.": _gradient(
                lambda c, r, rc, rr, b: b * torch.sigmoid(-b * (c - r))
            ),
            "You differentiated the sigmoid, not its logarithm: σ′ = σ(m)σ(−m), but (log σ)′ = σ(−m).": _gradient(
                lambda *a: a[4] * torch.sigmoid(_m(*a)) * torch.sigmoid(-_m(*a))
            ),
            "The first is wrong by its sign: chosen_logps must have a *negative* gradient, the second is right.": lambda *a: (
                (a[4] * torch.sigmoid(-_m(*a)),) * 2
            ),
            "Each is half of what it should be: nothing is averaged over the two responses.": _gradient(
                lambda *a: a[4] * torch.sigmoid(-_m(*a)) / 2
            ),
        },
        hints=(
            "The derivative of −log sigmoid(m) with respect to m is −sigmoid(−m). Then the chain rule.",
            "m grows by β for each nat of chosen_logps, and falls by β for each nat of rejected_logps.",
            "weight = torch.sigmoid(-m); return -beta * weight, beta * weight",
        ),
    ),
}

QUESTIONS = {
    "add_a_hundred": Question(
        ("every answer is preferred more strongly", "nothing at all", "the preferences become fair coins"),
        1,
        "Bradley-Terry sees only differences of rewards, so preferences fix a reward up to one constant per prompt. "
        "Keep that in mind: it is why log Z will cancel.",
    ),
    "beta_up": Question(
        (
            "the optimum moves away from the reference",
            "the optimum moves towards the reference",
            "it depends on the world",
        ),
        1,
        "β is the price of a nat of KL. Dearer nats, fewer bought: KL(π*‖π_ref) falls as β grows. Good tutorials have "
        "printed this backwards; the next cells would fail if it were.",
    ),
    "beta_to_zero": Question(
        ("plunger, then snake: safe and good", "bleach and drain acid", "it spreads over all six answers"),
        1,
        "At β → 0 only the reward counts, and the quick, hazardous answer has the highest. Nothing in this objective has "
        "heard of safety. That is the subject of notebook 02.",
    ),
    "who_pulls": Question(
        ("pairs it already orders rightly, by a wide margin", "pairs it orders wrongly", "all pairs alike"),
        1,
        "The weight is sigmoid(−m): near 1 where the implicit reward orders the pair wrongly, near 0 where it is settled.",
    ),
}
