"""Notebook 07, further exercises: a data report, LoRA's gradients by hand, a loop that resumes, curves to read."""

import math
import random
from collections.abc import Callable
from unittest.mock import patch

import torch
from torch import Tensor

from safedpo.labs.checking import Exercise
from safedpo.labs.checks.exercises.numbers import t
from safedpo.labs.checks.exercises.planted.curves import READ_CURVES, draw_curves

REPORTS = (
    (
        torch.tensor([0, 1, 0, 1, 1, 0, 0]),
        torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1], [1, 0], [0, 1], [0, 0]], dtype=torch.bool),
    ),
    (torch.tensor([1, 1, 0]), torch.tensor([[0, 1], [1, 0], [1, 0]], dtype=torch.bool)),
)


def report_row_by_row(better: Tensor, unsafe: Tensor, **fault) -> tuple[Tensor, ...]:
    """The group of each row by name, then counts."""
    count = {"SS": 0, "SU": 0, "US": 0, "UU": 0}
    for b, flags in zip(better.tolist(), unsafe.tolist(), strict=True):
        first, other = flags if fault.get("columns") else (flags[b], flags[1 - b])
        count[("U" if first else "S") + ("U" if other else "S")] += 1
    if fault.get("inverted"):
        count = dict(zip(count, reversed(count.values()), strict=True))
    values = [*count.values(), fault.get("share", lambda c: c["US"] / (c["SU"] + c["US"]))(count)]
    return tuple(torch.tensor(float(v), dtype=torch.float64) for v in fault.get("order", lambda v: v)(values))


def _report(**fault):
    return lambda *case: report_row_by_row(*case, **fault)


def _lora(seed: int, rows: int, wide: int, out: int, rank: int, scale: float, zero: bool = False) -> tuple:
    draw = torch.Generator().manual_seed(seed)
    shapes = ((rows, wide), (out, wide), (rank, wide), (out, rank), (rows, out))
    x, w, a, b, up = (torch.randn(*shape, generator=draw, dtype=torch.float64) for shape in shapes)
    return x, w, a, 0 * b if zero else b, scale, up


ADAPTERS = (_lora(0, 5, 4, 3, 2, 0.5), _lora(1, 1, 3, 6, 1, 2.0), _lora(2, 4, 4, 4, 3, 1.5, zero=True))


def lora_by_autograd(x, w, a, b, scale, up) -> tuple[Tensor, ...]:
    """The layer as it is written, and autograd."""
    left, right = a.clone().requires_grad_(), b.clone().requires_grad_()
    y = torch.nn.functional.linear(x, w) + scale * torch.nn.functional.linear(
        torch.nn.functional.linear(x, left), right
    )
    slopes = torch.autograd.grad((y * up).sum(), (left, right))
    return y.detach(), *slopes


def _layer(change):
    return lambda *case: change(*lora_by_autograd(*case), *case)


def without_autograd(function: Callable) -> str | None:
    """By hand: in inference mode autograd has recorded nothing."""
    used = []
    with torch.inference_mode(), patch.object(torch.autograd, "grad", lambda *a, **k: used.append(1)):
        try:
            function(*(one.clone() if isinstance(one, Tensor) else one for one in ADAPTERS[0]))
        except (RuntimeError, TypeError, AttributeError):
            used.append(1)
    return "The numbers are right, but autograd found them. Write the two matrix products." if used else None


def shifting_bowl(weights: Tensor, step: int) -> Tensor:
    """A gradient that depends on the weights and on which batch it is."""
    return weights * t(1.0, 0.3, 0.1) - t(1.0, -1.0, 0.5) * math.cos(step)


RUNS = (
    (t(1.0, -2.0, 0.5), shifting_bowl, 0.1, 0.9, 7),
    (t(0.0, 1.0, 3.0), shifting_bowl, 0.3, 0.0, 4),
    (t(0.0, 1.0, 3.0), shifting_bowl, 0.3, 0.5, 0),
)


def straight_run(weights, gradient, lr, momentum, steps, checkpoint=None, *, keep="wvs", average=False, **_):
    """Momentum without interruption; a checkpoint holds what `keep` names: weights, velocity, step."""
    velocity, first = torch.zeros_like(weights), 0
    for key, value in (checkpoint or {}).items():
        weights, velocity = value if key == "w" else weights, value if key == "v" else velocity
        first = value if key == "s" else first
    for step in range(first, steps):
        velocity = momentum * velocity + (1 - momentum if average else 1) * gradient(weights, step)
        weights = weights - lr * velocity
    whole = {"w": weights.clone(), "v": velocity.clone(), "s": steps}
    return weights, {key: whole[key] for key in keep}


def ends_there(case: tuple, got: object) -> str | None:
    """The weights of an uninterrupted run."""
    if not (isinstance(got, tuple | list) and len(got) == 2 and isinstance(got[0], Tensor)):
        return "It should give the weights and a checkpoint."
    if got[0].shape == case[0].shape and torch.allclose(got[0], straight_run(*case)[0], rtol=1e-9, atol=1e-12):
        return None
    for message, change in (
        ("Your velocity is an average; here it is momentum · velocity + gradient", {"average": True}),
        ("One step too many", {"steps": case[4] + 1}),
    ):
        other = straight_run(*case[:4], change.get("steps", case[4]), average=change.get("average", False))[0]  # type: ignore[call-arg]
        if got[0].shape == other.shape and torch.allclose(got[0], other):
            return f"{message}."
    return "Even without an interruption the weights are not those of velocity = momentum · velocity + gradient."


def resumes(function: Callable) -> str | None:
    """Stopped at any step, a run ends at the same bits; and an old checkpoint can be used twice."""
    weights, gradient, lr, momentum, steps = RUNS[0]
    whole, _ = function(weights.clone(), gradient, lr, momentum, steps)
    for stop in (0, 3, 6):
        _, checkpoint = function(weights.clone(), gradient, lr, momentum, stop)
        for _ in range(2):
            again, _ = function(torch.full_like(weights, 9.0), gradient, lr, momentum, steps, checkpoint)
            if not torch.equal(again, whole):
                return (
                    f"Interrupted after {stop} steps and resumed, the run ends elsewhere. The checkpoint needs all that the "
                    "next step needs, weights, velocity and the number of the step, and must not change later."
                )
    return None


EXERCISES = {
    "data_report": Exercise(
        gives="SS, SU, US, UU, and the share of mixed pairs that people ordered unsafely",
        cases=REPORTS,
        right=report_row_by_row,
        mistakes={
            "The first letter is the *chosen* response, not response 0.": _report(columns=True),
            "The flags are inverted: True means unsafe.": _report(inverted=True),
            "SU and US are exchanged: US is an unsafe winner.": _report(order=lambda v: [v[0], v[2], v[1], *v[3:]]),
            "SS and UU are exchanged.": _report(order=lambda v: [v[3], v[1], v[2], v[0], v[4]]),
            "The share is of mixed pairs, not of all.": _report(share=lambda c: c["US"] / sum(c.values())),
            "That is the share of safe winners.": _report(share=lambda c: c["SU"] / (c["SU"] + c["US"])),
            "UU pairs are not mixed.": _report(share=lambda c: c["US"] / (c["SU"] + c["US"] + c["UU"])),
            "That is a ratio of US to SU, not a share.": _report(
                share=lambda c: c["US"] / c["SU"] if c["SU"] else -1.0
            ),
        },
        hints=(
            "Look up two flags for each row: that of the better response, and that of the other.",
            "rows = torch.arange(len(better)); first, other = unsafe[rows, better], unsafe[rows, 1 − better]",
            "US is (first & ~other).sum(); the share is US/(SU + US).",
        ),
    ),
    "lora_by_hand": Exercise(
        gives="the output (N, out), and the gradients of A and of B",
        cases=ADAPTERS,
        right=lora_by_autograd,
        mistakes={
            "α/r is missing in the gradients.": _layer(lambda y, a, b, *case: (y, a / case[4], b / case[4])),
            "α/r is missing in the output.": _layer(lambda y, a, b, x, w, p, q, s, up: (x @ w.T + x @ p.T @ q.T, a, b)),
            "The frozen weight is missing in the output.": _layer(
                lambda y, a, b, x, w, p, q, s, up: (s * x @ p.T @ q.T, a, b)
            ),
            "The output of A and B is missing.": _layer(lambda y, a, b, x, w, *_: (x @ w.T, a, b)),
            "The gradients are exchanged.": _layer(lambda y, a, b, *_: (y, b, a)),
            "The sign of the gradients.": _layer(lambda y, a, b, *_: (y, -a, -b)),
            "The gradients are sums over the rows, not means.": _layer(
                lambda y, a, b, x, *_: (y, a / len(x), b / len(x)) if len(x) > 1 else (y, a / 5, b / 5)
            ),
            "With B = 0 it is A that gets no gradient, not B.": _layer(
                lambda y, a, b, x, w, p, q, s, up: (y, a, s * (up.T @ x @ p.T) * bool(q.any()))
            ),
        },
        hints=(
            "y = x Wᵀ + s (x Aᵀ) Bᵀ. Differentiate Σ y · upstream, first for B with u = x Aᵀ fixed, then for A.",
            "dB has the shape of B, (out, r): s · upstreamᵀ u. For A, first carry upstream through B.",
            "dA = s · (upstream B)ᵀ x",
        ),
        further=(without_autograd,),
    ),
    "resumable": Exercise(
        gives="the weights and a checkpoint",
        cases=RUNS,
        right=straight_run,
        verify=ends_there,
        further=(resumes,),
        mistakes={
            "Interrupted after 3 steps": lambda *a: straight_run(*a, keep="ws"),
            "the run ends elsewhere. The checkpoint needs": lambda *a: straight_run(*a, keep="vs"),
            "resumed, the run ends elsewhere": lambda *a: straight_run(*a, keep="wv"),
            "Your velocity is an average": lambda *a: straight_run(*a, average=True),
            "One step too many": lambda w, g, lr, m, n, c=None: straight_run(w, g, lr, m, n + 1, c),
            "It should give the weights and a checkpoint": lambda *a: straight_run(*a)[0],
            "Even without an interruption": lambda w, g, lr, m, n, c=None: straight_run(w, g, lr, 0.5, n, c),
        },
        hints=(
            "What does the next step look at? Each of these must be in the checkpoint.",
            "Weights, velocity, and the number of the step: the gradient of step 3 is that of batch 3.",
            "{'weights': weights.clone(), 'velocity': velocity.clone(), 'step': steps}",
        ),
    ),
    "read_curves": READ_CURVES,
}


def _report_case(draw: random.Random) -> tuple:
    better, unsafe = REPORTS[0]
    pick = torch.tensor([1, 2, 4, *(draw.randrange(6) for _ in range(draw.randint(3, 9)))])
    return better[pick], unsafe[pick]


HIDDEN = {
    "data_report": _report_case,
    "lora_by_hand": lambda draw: _lora(  # type: ignore[call-arg]
        draw.randrange(10**6), *(draw.randint(2, 5) for _ in range(4)), draw.uniform(0.3, 3)
    ),
    "resumable": lambda draw: (
        t(*(draw.uniform(-2, 2) for _ in range(3))),
        shifting_bowl,
        draw.uniform(0.01, 0.3),
        draw.uniform(0, 0.95),
        draw.randint(1, 9),
    ),
    "read_curves": draw_curves,
}
