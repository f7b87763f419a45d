"""Bars: what each policy says to one prompt."""

import math
import textwrap
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from safedpo.errors import UserError
from safedpo.show import style

COLOURS = (style.GREY, style.ORANGE, style.BLUE, style.GREEN, style.PURPLE)


def policies(
    answers: Sequence[str],
    unsafe: Sequence[bool],
    probabilities: Mapping[str, Sequence[float]],
    *,
    facts: Mapping[str, Mapping[str, float]],
    setting: str = "",
    top: float = 1.0,
) -> tuple[go.Figure, str]:
    """One group of bars per answer, one bar per policy; unsafe answers are hatched.

    Args:
        answers: names of the A answers to one prompt.
        unsafe: A flags, True for an unsafe answer.
        probabilities: policy name -> A probabilities (sum 1).
        facts: policy name -> numbers for the sentence, for example `{"expected reward": .4, "KL": .1, "log Z": 2}`.
        setting: where the sliders stand, put in front of the sentence, for example `"At β = 0.1"`.
        top: upper end of the axis; give one value for all stops.

    Returns:
        The figure, and a sentence with each policy's unsafe mass (computed here) and facts.

    Raises:
        UserError: lengths differ, a probability is outside [0, 1], they do not sum to one, or above five policies.

    >>> from safedpo.show.figures.policies import policies
    >>> _, sentence = policies(["help", "harm"], [False, True], {"SafeDPO": [1.0, 0.0]}, facts={"SafeDPO": {"KL": 0.7}})
    >>> sentence
    'SafeDPO: unsafe mass 0, KL 0.7.'
    """
    parts = []
    for name, mass in probabilities.items():
        check_policy(name, mass, answers, unsafe)
        harm = math.fsum(p for p, bad in zip(mass, unsafe, strict=True) if bad)
        numbers = {"unsafe mass": harm, **facts.get(name, {})}
        parts.append(f"{name}: " + ", ".join(f"{word} {style.number(value)}" for word, value in numbers.items()))
    coloured = {name: (mass, colour) for (name, mass), colour in zip(probabilities.items(), COLOURS, strict=False)}
    if len(coloured) < len(probabilities):
        raise UserError(f"{len(probabilities)} policies; this figure has colours for {len(COLOURS)}")
    drawn = style.figure(
        bars(answers, unsafe, coloured),
        x={"type": "category"},
        barmode="group",
        y={"title_text": "probability", "range": [0, top * 1.08]},
    )
    return drawn, (f"{setting}. " if setting else "") + "; ".join(parts) + "."


def bars(
    answers: Sequence[str], unsafe: Sequence[bool], policies: dict[str, tuple[Sequence[float], str]]
) -> list[go.Bar]:
    """The bar traces of several policies (name -> probabilities and colour), and the legend entry for hatching."""
    labels = ["<br>".join(map(style.escape, textwrap.wrap(answer, 12))) for answer in answers]
    drawn = [
        go.Bar(
            name=name,
            showlegend=False,
            offsetgroup=name,
            x=labels,
            y=list(mass),
            marker=style.fill(colour, list(unsafe)),
            text=[_short(p) for p in mass],
            textposition="outside",
            textfont_size=11,
            textangle=0,
            constraintext="none",
            cliponaxis=False,
            hovertemplate="%{x}: %{y:.4g}",
        )
        for name, (mass, colour) in policies.items()
    ]
    # The legend has traces of its own, which never move; sharing a place with the first policy they take no room.
    entries = [(name, colour, False) for name, (_, colour) in policies.items()] + [("hatched: unsafe", "#9a9a9a", True)]
    legend = [
        go.Bar(name=name, offsetgroup=next(iter(policies)), x=[None], y=[None], marker=style.fill(colour, [hatched]))
        for name, colour, hatched in entries
    ]
    return drawn + legend


def check_policy(name: str, mass: Sequence[float], answers: Sequence[str], unsafe: Sequence[bool]) -> None:
    """Raise `UserError` unless `mass` is a distribution over the answers and every answer has a flag."""
    if not len(mass) == len(unsafe) == len(answers) > 0:
        raise UserError(
            f"policy {name!r} has {len(mass)} probabilities for {len(answers)} answers "
            f"and {len(unsafe)} flags; give one of each per answer"
        )
    for answer, p in zip(answers, mass, strict=True):
        if not 0 <= p <= 1 + 1e-9:
            raise UserError(f"policy {name!r} gives {answer!r} probability {p}; it must lie between 0 and 1")
    if abs(math.fsum(mass) - 1) > 1e-6:
        raise UserError(f"the probabilities of policy {name!r} sum to {math.fsum(mass):.8g}; they must sum to 1")


def _short(p: float) -> str:
    """A bar's label: two digits, no leading zero, and a mark for what is positive but too small to draw."""
    if p == 0:
        return "0"
    return "≈0" if p < 0.005 else f"{p:.2f}".removeprefix("0")
