"""T, the first loss, the choice of g and displacement under the reader's hand: the figures of notebooks 03 and 04."""

import math
from collections.abc import Sequence

import plotly.graph_objects as go
import torch
from torch import Tensor

from safedpo.errors import UserError
from safedpo.finite.claims.safedaa import LOSSES
from safedpo.finite.hand import Fates, fates
from safedpo.show import Slider, Stops, Switch, slider
from safedpo.show.figures.field.transformation import transformation
from safedpo.show.figures.lines import lines

REWARD = torch.tensor([1.0, 0.3, 1.6, -0.4], dtype=torch.float64)  # four answers: six pairs, few enough to see each


def fate_of_pairs(unsafe: Sequence[bool], wrong: Sequence[bool]) -> Fates:
    """What T does to the six pairs of four answers, told each answer's bit, or where `wrong` its opposite.

    >>> done = fate_of_pairs([False, False, True, True], [False] * 4)
    >>> abs(done.intractable - done.tractable) < 1e-12, sum(done.dropped)
    (True, 1.0)
    """
    truth, lie = torch.tensor(list(unsafe)), torch.tensor(list(wrong))
    if truth.shape != REWARD.shape or lie.shape != REWARD.shape:
        raise UserError(f"there are {len(REWARD)} answers; got {len(truth)} bits and {len(lie)} mistakes")
    return fates(REWARD, truth, truth ^ lie)


def toggled(answers: int = 4) -> Slider:
    """Boxes to tick: which answers are unsafe, and of which T is told the opposite (of the first `answers` alone).

    Six bars, one a pair: the share of its labels that T keeps, swaps and drops; beside them both sums of Prop. 4.3.
    """

    def drawn(*bits: bool) -> tuple[go.Figure, str]:
        unsafe, wrong = list(bits[:4]), list(bits[4:]) + [False] * (8 - len(bits))
        found = fate_of_pairs(unsafe, wrong)
        shares = {"kept": found.kept, "swapped": found.swapped, "dropped": found.dropped}
        letters = "".join("U" if bit else "S" for bit in unsafe)
        lies = ", ".join(str(place) for place, lie in enumerate(wrong, start=1) if lie)
        setting = f"Answers {letters}, T is told {f'the opposite of {lies}' if lies else 'the truth'}"
        return transformation(found.pairs, shares, (found.intractable, found.tractable), setting=setting, top=7.0)

    truth = [Switch(f"{place} is unsafe", start=place > 2) for place in range(1, 5)]
    lies = [Switch(f"{place}: wrong bit") for place in range(1, answers + 1)]
    return slider(drawn, *truth, *lies)


def first_loss(delta: float, mixed: float) -> float:
    """The mean loss at the reference, log 2 + f (softplus(delta) - log 2), if a share `mixed` of the pairs is mixed.

    >>> round(first_loss(10.0, 1.0), 7)
    10.0000454
    """
    return math.log(2) + mixed * (delta + math.log1p(math.exp(-delta)) - math.log(2))


def at_step_zero() -> Slider:
    """The mean first loss and a mixed pair's first weight over delta, for several shares f of mixed pairs."""
    deltas, shares = [0.25 * k for k in range(81)], [0, 0.1, 0.25, 0.5, 0.75, 1]
    weight = [1 / (1 + math.exp(-delta)) for delta in deltas]
    ranges = {"loss": (0.0, 21.0), "first weight": (0.0, 1.05)}

    def drawn(f: float, at: int) -> tuple[go.Figure, str]:
        curves = {"loss": {"mean": [first_loss(delta, f) for delta in deltas]}, "first weight": {"mixed pair": weight}}
        return lines(deltas, curves, at=at, title="Δ", ranges=ranges, setting=f"With a share f = {f:g} of mixed pairs")

    places = Stops("Δ", list(range(0, 81, 4)), start=40, text=lambda at: f"{deltas[at]:g}")
    return slider(drawn, Stops("share of mixed pairs f", shares, start=0.25), places)


def pulls(margins: Tensor, delta: float) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """g(m - delta) of a mixed pair and its pull -g'(m - delta) by autograd, for each g of the ledger; both (N,).

    >>> g, pull = pulls(torch.tensor([0.0, 50.0], dtype=torch.float64), 0.0)
    >>> pull["logistic"].tolist()[0], bool(pull["square"][1] < 0)
    (0.5, True)
    """
    at = margins.clone().requires_grad_()
    g = {name: loss(at - delta) for name, loss in LOSSES.items()}
    pull = {name: -torch.autograd.grad(value.sum(), at, retain_graph=True)[0] for name, value in g.items()}
    return {name: value.detach() for name, value in g.items()}, pull


def choice_of_g() -> Slider:
    """Each loss g and its pull on a mixed pair over the reward margin, at three safety margins."""
    m = torch.linspace(-4, 10, 57, dtype=torch.float64)
    deltas, ranges = [0.0, 2.0, 5.0], {"g": (0.0, 10.0), "pull": (-10.0, 10.0)}
    curves = {
        delta: {
            panel: {name: values.clamp(-10, 10).tolist() for name, values in found.items()}
            for panel, found in zip(ranges, pulls(m, delta), strict=True)
        }
        for delta in deltas
    }

    def drawn(delta: float, at: int) -> tuple[go.Figure, str]:
        return lines(m.tolist(), curves[delta], at=at, title="m", ranges=ranges, setting=f"At Δ = {delta:g}")

    places = Stops("reward margin m", list(range(0, 57, 4)), start=16, text=lambda at: f"{m[at]:g}")
    return slider(drawn, Stops("Δ", deltas), places)


def displaced(overlap: float, steps: Tensor, alike: float = 0.8) -> Tensor:
    """Winner, loser and a third answer (N, 3) after `steps` (N,) along phi_w - phi_l, from one third each.

    The step raises the winner's logit by 1 - `alike`, lowers the loser's by as much, and raises the third's by `overlap`.

    >>> displaced(0.5, torch.tensor([10.0]))[0].argmax().item()
    2
    """
    push = torch.tensor([1 - alike, alike - 1, overlap], dtype=torch.float64)
    return (steps.double()[:, None] * push).softmax(-1)


def displacement() -> Slider:
    """The three probabilities over the steps, for a third answer that shares more and more with the winner."""
    steps = torch.arange(41) / 4

    def drawn(overlap: float, at: int) -> tuple[go.Figure, str]:
        shares = dict(zip(("winner", "loser", "third"), displaced(overlap, steps).T.tolist(), strict=True))
        panels, ranges = {"probability": shares}, {"probability": (0.0, 1.0)}
        return lines(steps.tolist(), panels, at=at, title="step", ranges=ranges, setting=f"Overlap {overlap:g}")

    places = Stops("step", list(range(0, 41, 4)), start=20, text=lambda at: f"{steps[at]:g}")
    return slider(drawn, Stops("overlap a", [0, 0.1, 0.2, 0.3, 0.5], start=0.5), places)
