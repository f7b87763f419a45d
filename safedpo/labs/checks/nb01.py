"""Notebook 01: the implicit reward, the DPO loss, its gradient by hand."""

import math
from collections.abc import Callable, Sequence
from unittest.mock import patch

import torch
from torch import Tensor

from safedpo.labs.checking import Exercise
from safedpo.labs.checks.exercises import nb01 as further
from safedpo.labs.checks.exercises import numbers
from safedpo.labs.checks.exercises.mistakes import nb01 as mistakes
from safedpo.labs.checks.exercises.numbers import log_sigmoid
from safedpo.labs.predictions import Question


def _t(*numbers: float) -> Tensor:
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
    (  # an answer that the policy never gives
        torch.tensor([[0.0, 0.4, 0.6]], dtype=torch.float64).log(),
        torch.tensor([[0.5, 0.25, 0.25]], dtype=torch.float64).log(),
        0.1,
    ),
)


def reward_by_division(logps: Tensor, ref_logps: Tensor, beta: float) -> Tensor:
    """beta log(pi / pi_ref), from the ratio of probabilities, number by number."""
    flat = [
        beta * math.log(math.exp(a) / math.exp(b)) if a > -math.inf else -math.inf
        for a, b in zip(logps.flatten().tolist(), ref_logps.flatten().tolist(), strict=True)
    ]
    return torch.tensor(flat, dtype=torch.float64).view(logps.shape)


def margins(c: Tensor, r: Tensor, rc: Tensor, rr: Tensor, beta: float) -> list[float]:
    """The reward margins, as plain numbers."""
    return [beta * (a - b - x + y) for a, b, x, y in zip(*(v.tolist() for v in (c, r, rc, rr)), strict=True)]


def loss_by_numbers(c: Tensor, r: Tensor, rc: Tensor, rr: Tensor, beta: float) -> Tensor:
    """-log sigmoid(m) with the standard library."""
    return _t(*(-log_sigmoid(m) for m in margins(c, r, rc, rr, beta)))


def slopes(right: Callable, case: tuple) -> tuple[Tensor, Tensor]:
    """The derivatives of a loss with respect to its first two arguments, by central differences of its values."""
    c, r, *others = case
    step = 1e-4
    return tuple(
        (right(c + up, r + other, *others) - right(c - up, r - other, *others)) / (2 * step)
        for up, other in ((step, 0.0), (0.0, step))
    )


def slope_by_differences(*case: Tensor | float) -> tuple[Tensor, Tensor]:
    """The two gradients by differences of `loss_by_numbers`: no formula of a gradient is used."""
    return slopes(loss_by_numbers, case)


def right_gradients(function: Callable, cases: Sequence[tuple], right: Callable) -> str | None:
    """A loss trains only if its gradient is right: autograd through `function` against differences of `right`.

    The first two arguments of each case are the policy's log-probabilities, of chosen and of rejected responses.
    """
    for case in cases:
        leaves = [column.clone().requires_grad_() for column in case[:2]]
        losses = function(*leaves, *(a.clone() if isinstance(a, Tensor) else a for a in case[2:]))
        if not isinstance(losses, Tensor) or not losses.requires_grad:
            return (
                "The values are right, but no gradient flows: the loss is cut off from the log-probabilities "
                "(detach, item, numpy, a list or no_grad). Nothing could be trained with it."
            )
        found = torch.autograd.grad(losses.sum(), leaves, allow_unused=True)
        for name, got, want in zip(("chosen_logps", "rejected_logps"), found, slopes(right, case), strict=True):
            if got is None or (want.any() and not got.any()):
                return f"The values are right, but no gradient flows to {name}: it is detached, or multiplied by 0."
            if not torch.allclose(got, want, atol=1e-5):
                return f"The values are right, but the gradient with respect to {name} is not that of the loss."
    return None


def without_autograd(function: Callable, case: tuple = COLUMNS[0]) -> str | None:
    """By hand means without autograd: in inference mode nothing is recorded for it."""
    message = "The numbers are right, but autograd found them. Write the derivative itself, by the chain rule."
    used = []
    with (
        torch.inference_mode(),
        patch.object(torch.autograd, "grad", lambda *a, **k: used.append(1)),
        patch.object(Tensor, "backward", lambda *a, **k: used.append(1)),
    ):
        try:
            function(*(a.clone() if isinstance(a, Tensor) else a for a in case))
        except (RuntimeError, TypeError, AttributeError):  # what autograd, or our stand-in for it, leads to
            return message
    return message if used else None


EXERCISES = {
    "implicit_reward": Exercise(
        gives="one reward for each answer, shaped like logps",
        cases=REWARDS,
        right=reward_by_division,
        draw=numbers.implicit_reward,
        mistakes=mistakes.IMPLICIT_REWARD,
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
        draw=numbers.pair_columns,
        mistakes=mistakes.DPO_LOSS,
        hints=(
            "Bradley-Terry says P(chosen beats rejected) = sigmoid(reward of chosen − reward of rejected). "
            "The loss is minus the log of that probability.",
            "Put in the implicit rewards β (log π − log π_ref); log Z cancels. Use torch.nn.functional.logsigmoid.",
            "m = beta * ((chosen_logps - ref_chosen_logps) - (rejected_logps - ref_rejected_logps)); return -logsigmoid(m)",
        ),
        further=(lambda f: right_gradients(f, COLUMNS, loss_by_numbers),),
    ),
    "dpo_gradient": Exercise(
        gives="two gradients, with respect to chosen_logps and to rejected_logps, each (B,)",
        cases=COLUMNS,
        right=slope_by_differences,
        draw=numbers.pair_columns,
        mistakes=mistakes.DPO_GRADIENT,
        hints=(
            "The derivative of −log sigmoid(m) with respect to m is −sigmoid(−m). Then the chain rule.",
            "m grows by β for each nat of chosen_logps, and falls by β for each nat of rejected_logps.",
            "weight = torch.sigmoid(-m); return -beta * weight, beta * weight",
        ),
        further=(without_autograd,),
    ),
} | further.EXERCISES

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
        "β is the price of a nat of KL. At a higher price the optimum moves less: KL(π*‖π_ref) falls as β grows. Good tutorials have "
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
