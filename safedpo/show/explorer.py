"""The safety margin under a slider: what trained policies said and measured, at every Δ and training budget.

Nothing here runs a model. `explorer` takes what a sweep stored and returns a `Slider` with a reading part: a prompt
chooser, each response beside the reference's with its unsafe sentences marked, and its tokens by log-ratio. A model's
text is untrusted: it reaches the page as JSON and stands there by `textContent`, control characters made visible.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import plotly.graph_objects as go

from safedpo.errors import UserError, visible
from safedpo.show import style
from safedpo.show.dots import Interval, pareto, spread
from safedpo.show.frames import Stops
from safedpo.show.slider import Slider, slider
from safedpo.show.tokens import tokens

METRICS = {"harm": "harm", "helpfulness": "helpfulness", "over_refusal": "over-refusal"}
Measured = Mapping[str, Interval]  # metric -> (value, low, high)
At = tuple[float, int]  # delta, pairs seen


@dataclass(frozen=True)
class Said:
    """A greedy response: its text, ``(start, end)`` of each unsafe sentence, and its tokens with their log-ratios.

    ``log_ratios`` are log π_θ - log π_ref of each of the ``pieces``, in nats; the reference's own response has neither.
    """

    text: str
    unsafe: Sequence[tuple[int, int]] = ()
    pieces: Sequence[str] = field(default=(), repr=False)
    log_ratios: Sequence[float] = field(default=(), repr=False)


def explorer(measured: Mapping[At, Sequence[Measured]], reference: Measured, prompts: Sequence[str],
             said: Mapping[At, Sequence[Said]], reference_said: Sequence[Said], *, beta: float) -> Slider:
    """Sliders for Δ and the training budget over stored runs, with their responses to the chosen prompt.

    Args:
        measured: (delta, pairs seen) -> one mapping a seed from harm, helpfulness and over_refusal to its interval.
        reference: the same of the reference.
        prompts: the prompts whose responses are stored.
        said: (delta, pairs seen) -> a response to each prompt.
        reference_said: the reference's response to each prompt.
        beta: the KL weight of the runs; the implicit reward is beta times the sum of the log-ratios (Eq. 12).

    Raises:
        UserError: a stop of the grid without measurement or responses, a metric that is missing, and what
            `safedpo.show.pareto` and `safedpo.show.tokens` refuse.

    >>> from safedpo.show import Said, explorer
    >>> def numbers(harm):
    ...     return {"harm": (harm, 0, 1), "helpfulness": (.5, 0, 1), "over_refusal": (0, 0, .1)}
    >>> explorer({(0, 200): [numbers(.3)], (10, 200): [numbers(.1)]}, numbers(.4), ["Hello?"],
    ...          {(0, 200): [Said("Hi!", (), ["Hi", "!"], [.5, 1.])], (10, 200): [Said("Ho!", (), ["Ho!"], [2.])]},
    ...          [Said("Hey!")], beta=0.1)  # doctest: +NORMALIZE_WHITESPACE
    Δ = 10 after 200 pairs: harm 0.1 (0.1 to 0.1), helpfulness 0.5 (0.5 to 0.5), over-refusal 0 (0 to 0), mean and
    range of 1 seed. The reference: harm 0.4, helpfulness 0.5, over-refusal 0.
    """
    deltas, budgets = (sorted({at[axis] for at in measured}) for axis in (0, 1))
    stops = [(delta, pairs) for delta in deltas for pairs in budgets]
    _check(stops, measured, reference, prompts, said, reference_said)
    ranges = {metric: _range([run[metric] for runs in [*measured.values(), [reference]] for run in runs])
              for metric in METRICS}
    figure = slider(lambda delta, pairs: _figure(measured, reference, (delta, pairs), deltas, ranges),
                    Stops("safety margin Δ", deltas, start=10 if 10 in deltas else None),
                    Stops("pairs seen in training", budgets, start=budgets[-1]))
    reading = Reading(tuple(prompts), [_shown(one) for one in reference_said], beta, _scale(said))
    reading.responses += [[_shown(one) | reading.heat(one) for one in said[at]] for at in stops]
    return Slider(figure.frames, figure.stops, reading)


def _figure(measured, reference: Measured, at: At, deltas: list, ranges: dict) -> tuple[go.Figure, str]:
    """Helpfulness and over-refusal over harm: every seed of every Δ at this budget, the chosen Δ standing out."""
    groups = {"reference": [reference], **{f"Δ = {delta:g}": measured[delta, at[1]] for delta in deltas}}
    traces = []
    for axis, metric in (("y", "helpfulness"), ("y2", "over_refusal")):
        points = {name: [(run["harm"], run[metric]) for run in runs] for name, runs in groups.items()}
        drawn, _ = pareto(points, highlight=f"Δ = {at[0]:g}", x_title="harm", y_title=METRICS[metric])
        drawn.update_traces(yaxis=axis)
        drawn.data[0].opacity = 1  # the reference is what everything is compared with
        traces += drawn.data if axis == "y" else drawn.data[::2]  # one legend is enough
    panels = [{"title_text": METRICS[metric], "range": ranges[metric]} for metric in ("helpfulness", "over_refusal")]
    runs = measured[at]
    numbers = ", ".join(f"{title} {spread([run[metric][0] for run in runs])}" for metric, title in METRICS.items())
    own = ", ".join(f"{title} {style.number(reference[metric][0])}" for metric, title in METRICS.items())
    return (style.stacked(traces, x={"title_text": "harm", "range": ranges["harm"]}, panels=panels, height=520),
            f"Δ = {at[0]:g} after {at[1]} pairs: {numbers}, mean and range of {len(runs)} seed{'s' * (len(runs) > 1)}. "
            f"The reference: {own}.")


@dataclass
class Reading:
    """The part of the explorer that is text; `responses` holds, stop by stop, what the page shows of each prompt."""

    prompts: tuple[str, ...]
    reference: list[dict]
    beta: float
    scale: float
    responses: list[list[dict]] = field(default_factory=list)

    def heat(self, one: Said) -> dict:
        """The tokens of a response, each with its written number, and the sentence with their sum."""
        if not len(one.pieces):
            return {"tokens": [], "sum": "No tokens: the response is empty."}
        drawn = tokens(one.pieces, one.log_ratios, beta=self.beta, scale=self.scale)
        numbers = [[visible(piece), f"{ratio:+.3f}"] for piece, ratio in zip(one.pieces, one.log_ratios, strict=True)]
        return {"tokens": numbers, "sum": visible(drawn.sentence)}

    def html(self, name: str) -> str:
        """The controls and empty boxes that the page's script fills."""
        options = "".join(f'<option value="{place}">{style.escape(visible(prompt))}</option>'
                          for place, prompt in enumerate(self.prompts))
        lines = max(len("".join(text for text, _ in one["text"])) for row in self.responses for one in row) // 52 + 2
        sides = "".join(f'<div><h4 data-part="{side}-name">{title}</h4><p class="said" data-part="{side}"></p></div>'
                        for side, title in (("reference", "the reference"), ("policy", "")))
        return (
            f'<style>{style.asset("tokens.css")}{style.asset("explorer.css")}</style>'
            f'<div class="reading" style="--lines:{lines}"><div class="control"><label for="{name}-prompt">prompt</label>'
            f'<select id="{name}-prompt" autocomplete="off">{options}</select></div>'
            f'<p class="prompt" data-part="prompt"></p><div class="sides">{sides}</div>'
            '<p class="legend"><b>Its tokens</b>, by log π<sub>θ</sub> − log π<sub>ref</sub>: blue with a solid line is '
            "more likely than under the reference, orange with a dashed line less. Hover or focus for the number.</p>"
            '<div class="safedpo-tokens" data-part="tokens"></div>'
            '<output class="sum" data-part="sum" aria-live="polite"></output></div>'
        )

    def script(self, name: str) -> str:
        """The call of explorer.js; `<` would let a model's text close the script element."""
        read = {"prompts": [visible(prompt) for prompt in self.prompts], "reference": self.reference,
                "responses": self.responses, "scale": self.scale}
        numbers = json.dumps(read, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
        return f'<script>{style.asset("explorer.js").strip()}(document.getElementById("{name}"), {numbers});</script>'


def _shown(one: Said) -> dict:
    """The text cut at the unsafe sentences, in Python: JavaScript counts characters beyond 65,535 twice."""
    segments, place = [], 0
    for start, end in sorted(one.unsafe):
        if not place <= start < end <= len(one.text):
            raise UserError(f"an unsafe part runs from {start} to {end} in a response of {len(one.text)} characters")
        segments += [(one.text[place:start], False), (one.text[start:end], True)]
        place = end
    segments.append((one.text[place:], False))
    return {"text": [[visible(text), unsafe] for text, unsafe in segments if text]}


def _scale(said: Mapping[At, Sequence[Said]]) -> float:
    """One colour scale for all stops, so that they compare: nineteen tokens in twenty lie within it."""
    sizes = [abs(ratio) for responses in said.values() for one in responses for ratio in one.log_ratios]
    return float(f"{np.quantile(sizes, 0.95):.3g}") or 1.0 if sizes else 1.0


def _range(intervals: list[Interval]) -> list[float]:
    low, high = min(one[1] for one in intervals), max(one[2] for one in intervals)
    room = 0.06 * (high - low) or 0.05
    return [round(low - room, 3), round(high + room, 3)]


def _check(stops, measured, reference, prompts, said, reference_said) -> None:
    if not stops or not len(prompts):
        raise UserError("an explorer needs at least one run and one prompt")
    for at in stops:
        where = f"Δ = {at[0]:g} after {at[1]} pairs"
        if not measured.get(at) or at not in said:
            raise UserError(f"nothing is stored for {where}; the sweep is unfinished: run its command again")
        if len(said[at]) != len(prompts):
            raise UserError(f"{len(said[at])} responses for {len(prompts)} prompts at {where}")
    if len(reference_said) != len(prompts):
        raise UserError(f"the reference has {len(reference_said)} responses for {len(prompts)} prompts")
    for run in [reference, *(run for runs in measured.values() for run in runs)]:
        if missing := [metric for metric in METRICS if run.get(metric) is None or run[metric][0] is None]:
            raise UserError(f"{missing[0]} was not measured for some run; measure on more prompts")
