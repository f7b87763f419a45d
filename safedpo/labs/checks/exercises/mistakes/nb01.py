"""The likely mistakes of notebook 01, each by the message that names it."""

import torch


def _loss(m):
    return torch.nn.functional.softplus(-m)


def _gradient(weight):
    """The mistakes of the gradient share its form: (-factor, +factor)."""
    return lambda *a: tuple(sign * weight(*a) for sign in (-1, 1))


def _m(c, r, rc, rr, beta):
    return beta * ((c - rc) - (r - rr))


IMPLICIT_REWARD = {
    "Beta is missing: the log-ratio alone is the reward divided by beta.": lambda p, q, b: p - q,
    "You divide by beta. From π* ∝ π_ref exp(r/β), taking logs gives r/β; multiply by beta.": lambda p, q, b: (
        (p - q) / b
    ),
    "The sign is wrong: it is log π − log π_ref, large where the policy says more than the reference.": lambda p, q, b: (
        b * (q - p)
    ),
    "The reference is forgotten: compare the policy with log π_ref, or every likely answer looks good.": lambda p, q, b: (
        b * p
    ),
    "Beta multiplies only the policy's log-probability; it belongs to the whole difference.": lambda p, q, b: b * p - q,
    "Beta multiplies only the reference's log-probability; it belongs to the whole difference.": lambda p, q, b: (
        p - b * q
    ),
    "That is the ratio of probabilities; the reward is its logarithm (times beta).": lambda p, q, b: b * (p - q).exp(),
    "That is a difference of probabilities; the formula has a difference of log-probabilities.": lambda p, q, b: (
        b * (p.exp() - q.exp())
    ),
    "You add the two log-probabilities; a log of a quotient is a difference.": lambda p, q, b: b * (p + q),
    "Beta is squared.": lambda p, q, b: b * b * (p - q),
    "Each log-ratio is weighted by the probability, as in a KL. The reward of an answer has no such weight.": lambda p, q, b: (
        b * p.exp() * (p - q)
    ),
}

DPO_LOSS = {
    "The sign is wrong: this loss falls when the *rejected* response becomes likelier.": lambda c, r, rc, rr, b: _loss(
        -_m(c, r, rc, rr, b)
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
    "The log-sigmoid is missing: this is the negative margin itself.": lambda c, r, rc, rr, b: -_m(c, r, rc, rr, b),
    "Only the chosen response counts here; the loss compares it with the rejected one.": lambda c, r, rc, rr, b: _loss(
        b * (c - rc)
    ),
    "A margin of −1,000 gives an infinite loss: the sigmoid became 0 before its logarithm was taken. "
    "torch.nn.functional.logsigmoid takes both in one step.": lambda c, r, rc, rr, b: (
        -torch.sigmoid(_m(c, r, rc, rr, b)).log()
    ),
}

DPO_GRADIENT = {
    "The signs are reversed, or the two are exchanged: gradient *descent* must raise chosen_logps, so the "
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
    "The reference is forgotten in the weight.": _gradient(lambda c, r, rc, rr, b: b * torch.sigmoid(-b * (c - r))),
    "You differentiated the sigmoid, not its logarithm: σ′ = σ(m)σ(−m), but (log σ)′ = σ(−m).": _gradient(
        lambda *a: a[4] * torch.sigmoid(_m(*a)) * torch.sigmoid(-_m(*a))
    ),
    "The first is wrong by its sign: chosen_logps must have a *negative* gradient, the second is right.": lambda *a: (
        (a[4] * torch.sigmoid(-_m(*a)),) * 2
    ),
    "Each is half of what it should be: nothing is averaged over the two responses.": _gradient(
        lambda *a: a[4] * torch.sigmoid(-_m(*a)) / 2
    ),
}
