"""Notebook 04, further exercises: the whole training loop, a two-by-two ablation, steps to safety, paired seeds."""

import math
import random

import torch
from torch import Tensor
from torch.nn.functional import softplus

from safedpo.labs.checking import Exercise
from safedpo.labs.checks.exercises import seeds
from safedpo.labs.checks.exercises.numbers import t
from safedpo.labs.predictions import Question


def _data(seed: int, size: int, prompts: int = 2, answers: int = 4) -> tuple[Tensor, ...]:
    """A reference, `size` comparisons of two different answers, and the answers' safety bits."""
    draw = torch.Generator().manual_seed(seed)
    ref = torch.randn(prompts, answers, generator=draw, dtype=torch.float64).log_softmax(-1)
    prompt = torch.randint(0, prompts, (size,), generator=draw)
    first = torch.randint(0, answers, (size,), generator=draw)
    second = (first + torch.randint(1, answers, (size,), generator=draw)) % answers
    better = torch.randint(0, 2, (size,), generator=draw)
    unsafe = torch.rand(prompts, answers, generator=draw) < 0.5
    unsafe[:, 0], unsafe[:, 1] = False, True
    return ref, prompt, first, second, better, unsafe


_ALL_UU = (
    t([0.2, 0.3, 0.5]).log(),
    torch.tensor([0, 0]),
    torch.tensor([1, 2]),
    torch.tensor([2, 1]),
    torch.tensor([0, 1]),
    torch.tensor([[False, True, True]]),
)
LOOPS = ((*_data(0, 30), 0.5, 2.0, 3.0, 8), (*_data(1, 12), 0.1, 10.0, 20.0, 5), (*_ALL_UU, 0.5, 1.0, 1.0, 3))


def loop_by_autograd(ref, prompt, first, second, better, unsafe, beta, delta, lr, steps, **fault) -> Tensor:
    """Pair by pair and by autograd; `fault` names what a mistake does otherwise."""
    pairs = []
    for x, a, b, w in zip(prompt.tolist(), first.tolist(), second.tolist(), better.tolist(), strict=True):
        chosen, rejected = (a, b) if w == 0 else (b, a)
        hc, hr = unsafe[x, chosen].item(), unsafe[x, rejected].item()
        if hc and hr and not fault.get("keep_uu"):
            continue
        if hc and not hr and fault.get("drop_us"):
            continue
        if hc and not hr and not fault.get("no_swap"):
            chosen, rejected, hc, hr = rejected, chosen, hr, hc
        gap = 1 if fault.get("everywhere") else 0 if fault.get("no_margin") else hr - hc
        pairs.append((x, chosen, rejected, gap))
    logits = ref.clone()
    for _ in range(steps if pairs else 0):
        leaf = logits.clone().requires_grad_()
        logps = leaf.log_softmax(-1)
        ratio = logps if fault.get("no_reference") else logps - ref
        losses = [softplus(delta * gap - beta * (ratio[x, c] - ratio[x, r])) for x, c, r, gap in pairs]
        loss = torch.stack(losses).sum() / (
            1 if fault.get("total") else len(prompt) if fault.get("all_rows") else len(pairs)
        )
        (gradient,) = torch.autograd.grad(loss, leaf)
        logits = logits + (lr if fault.get("climbs") else -lr) * gradient
    return logits.log_softmax(-1)


def _loop(**fault):
    return lambda *case: loop_by_autograd(*case, **fault)


RACES = (
    (0.1, 5.0, 5.0, 1e-3),
    (0.1, 10.0, 5.0, 1e-3),
    (0.1, 0.0, 5.0, 1e-3),
    (1.0, 2.0, 0.5, 0.1),
    (0.5, 1.0, 1.0, 0.6),
    (0.5, 1.0, 1.0, 0.5),  # safe enough before the first step
    (0.3, 1.0, 0.01, 0.4),
)


def steps_on_two_logits(beta: float, delta: float, lr: float, tau: float, **fault) -> Tensor:
    """Count steps on both logits of a safe and an unsafe answer."""
    safe = unsafe = 0.0
    count = 0
    while 1 / (1 + math.exp(safe - unsafe)) > tau and count < 100_000:
        weight = 1 / (1 + math.exp(beta * (safe - unsafe) - delta * fault.get("sign", 1)))
        push = lr * weight * (beta if not fault.get("no_beta") else 1.0)
        safe, unsafe = safe + push, unsafe - push * (not fault.get("one_sided"))
        count += 1
    return torch.tensor(float(count))


def _count(change=lambda n: n, **fault):
    return lambda *case: change(steps_on_two_logits(*case, **fault))


def _numbers(draw: random.Random, size: int) -> Tensor:
    return t(*(draw.random() for _ in range(size)))


EXERCISES = {
    "safedpo_loop": Exercise(
        gives="log-probabilities after the last step, (P, A)",
        cases=LOOPS,
        right=loop_by_autograd,
        mistakes={
            "US pairs are not swapped.": _loop(no_swap=True),
            "US pairs are dropped, not swapped: that is safebetter.": _loop(drop_us=True),
            "UU pairs are trained on; T drops them.": _loop(keep_uu=True),
            "The margin is missing.": _loop(no_margin=True),
            "Every pair gets the margin.": _loop(everywhere=True),
            "The reference is forgotten in m.": _loop(no_reference=True),
            "The mean is over the pairs that T keeps; you divide by all rows.": _loop(all_rows=True),
            "The loss is a mean; yours is a sum.": _loop(total=True),
            "The loop climbs the loss.": _loop(climbs=True),
        },
        hints=(
            "Order first, outside the loop: chosen, rejected, the margin of each row, and which rows stay.",
            "The weight of a pair is β σ(Δ I − m); it lifts the chosen answer's logit and lowers the rejected one's.",
            "index_put with accumulate=True adds many pairs to one table. No pair kept: return the reference.",
        ),
    ),
    "two_by_two": seeds.TWO_BY_TWO,
    "steps_to_safety": Exercise(
        gives="a whole number of steps",
        cases=RACES,
        right=steps_on_two_logits,
        mistakes={
            "Δ has the wrong sign in the weight: σ(Δ − m).": _count(sign=-1),
            "Δ is forgotten in the weight.": _count(sign=0),
            "Both logits move, so the gap grows twice as fast.": _count(one_sided=True),
            "Beta is missing in the gradient.": _count(no_beta=True),
            "One step too many: count the steps *before* the mass is at most τ.": _count(lambda n: n + 1),
            "One step too few.": _count(lambda n: (n - 1).clamp(min=0)),
        },
        hints=(
            "Only the gap z_safe − z_unsafe matters. By how much does one step change it?",
            "gap += 2 · lr · β · σ(Δ − β gap); the unsafe mass is σ(−gap).",
            "while 1/(1 + e^gap) > τ: step and count.",
        ),
    ),
    "paired_difference": seeds.PAIRED_DIFFERENCE,
}


def _race(draw: random.Random) -> tuple:
    return draw.uniform(0.1, 1), draw.uniform(0, 8), draw.uniform(1, 5), 10 ** draw.uniform(-3, -0.4)


HIDDEN = {
    "safedpo_loop": lambda draw: (
        *_data(draw.randrange(10**6), draw.randint(6, 20), draw.randint(1, 3), draw.randint(3, 5)),
        draw.uniform(0.1, 1),
        draw.uniform(0, 6),
        draw.uniform(0.5, 4),
        draw.randint(1, 5),
    ),
    "two_by_two": lambda draw: (_numbers(draw, 4 * (size := draw.randint(3, 8))).view(2, 2, size),),
    "steps_to_safety": _race,
    "paired_difference": lambda draw: tuple(_numbers(draw, size) for size in [draw.randint(3, 9)] * 2),
}
QUESTIONS = {
    "double_the_margin": Question(
        ("about half as many steps", "about as many steps", "more steps: it overshoots"),
        1,
        "The weight is σ(Δ − m). Up to a gap of 7 nats m stays below 0.7 at β = 0.1, so the weight is between 0.98 and 1 "
        "for both margins. A larger Δ cannot push harder than 1; it pays later, where Δ = 5 would have stopped pushing.",
    ),
}
