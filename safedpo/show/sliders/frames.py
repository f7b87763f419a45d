"""From a pure figure function and its slider stops to what changes from stop to stop.

A figure function takes one value per slider and returns `(plotly figure, sentence)`. Everything that moves must be
a trace with the axes fixed, so that the eye compares like with like and the page redraws only what changed.
"""

import base64
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import plotly.graph_objects as go

from safedpo.errors import UserError
from safedpo.show.style import number

FigureFunction = Callable[..., tuple[go.Figure, str]]
Path = tuple[int, str]  # trace number, attribute, for example (0, "marker.color")


class Stops:
    """One slider: its label, the values it stops at, where it starts, and how a value is written.

    Raises `UserError` for no stops, a repeated stop, or a start that is not a stop.

    >>> from safedpo.show.sliders.frames import Stops
    >>> stops = Stops("penalty C", [0, 1.5, float("inf")], start=1.5)
    >>> stops.texts, stops.start
    (['0', '1.5', '∞'], 1)
    """

    def __init__(self, label: str, values: Sequence, *, start=None, text: Callable[[Any], str] | None = None):
        self.label, self.values = label, list(values)
        if not self.values:
            raise UserError(f"slider {label!r} has no stops; give at least one value")
        write = text or (lambda value: number(float(value)) if isinstance(value, Real) else str(value))
        self.texts = [write(value) for value in self.values]
        if len(set(self.texts)) < len(self.texts):
            twice = next(shown for shown in self.texts if self.texts.count(shown) > 1)
            raise UserError(f"slider {label!r} shows {twice} at two stops; drop one, or give `text` more digits")
        if start is not None and start not in self.values:
            raise UserError(f"slider {label!r} starts at {start!r}, which is not one of its {len(self.values)} stops")
        self.start = 0 if start is None else self.values.index(start)


class Switch(Stops):
    """A box to tick in place of a slider: off (False) or on (True).

    >>> Switch("answer 1 is unsafe", start=True).start
    1
    """

    def __init__(self, label: str, *, start: bool = False):
        super().__init__(label, [False, True], start=start, text=lambda on: "yes" if on else "no")


@dataclass(frozen=True)
class Frames:
    """A figure at its first stop, and for every stop the values of the attributes that differ between stops."""

    data: list[dict]
    layout: dict
    moved: list[Path]
    values: list[list]
    sentences: list[str]


def read_frames(figure_function: FigureFunction, stops: Sequence[Stops]) -> Frames:
    """Call the figure function at every stop (last slider fastest) and keep what differs.

    Raises `UserError`, naming the stop, for anything but `(figure, sentence)`, an empty sentence, another number of
    traces, a layout or a legend that moves, an axis that would rescale, and a NaN or infinite number.

    >>> import plotly.graph_objects as go
    >>> from safedpo.show.sliders.frames import Stops, read_frames
    >>> def bar(height):
    ...     return go.Figure(go.Bar(y=[height]), {"yaxis_range": [0, 2]}), f"The bar is {height} high."
    >>> frames = read_frames(bar, [Stops("height", [1, 2])])
    >>> frames.moved, frames.values, frames.sentences[1]
    ([(0, 'y')], [[[1]], [[2]]], 'The bar is 2 high.')
    """
    drawn = []
    for choice in itertools.product(*(range(len(slider.values)) for slider in stops)):
        at = describe(stops, choice)
        drawn.append((at, *read_one(figure_function, [s.values[i] for s, i in zip(stops, choice, strict=True)], at)))
    first_at, data, layout, _ = drawn[0]
    flat = [[dict(flatten(trace)) for trace in traces] for _, traces, _, _ in drawn]
    for at, traces, other_layout, _ in drawn:
        if len(traces) != len(data):
            raise UserError(
                f"the figure has {len(data)} traces at {first_at} but {len(traces)} at {at}; "
                "draw every trace at every stop, empty where there is nothing to show"
            )
        if other_layout != layout:
            raise UserError(
                f"the layout at {at} differs from the one at {first_at}; "
                "fix axes and labels, and make whatever moves a trace"
            )
    moved = [
        (index, path)
        for index in range(len(data))
        for path in sorted({path for traces in flat for path in traces[index]})
        if any(traces[index].get(path) != flat[0][index].get(path) for traces in flat)
    ]
    _check_fixed(moved, data, layout)
    values = [[traces[index].get(path) for index, path in moved] for traces in flat]
    return Frames(data, layout, moved, values, [sentence for *_, sentence in drawn])


def read_one(figure_function: FigureFunction, values: Sequence, at: str) -> tuple[list[dict], dict, str]:
    """The figure function at one stop: its traces and layout as plain JSON values, and its sentence; checked."""
    result = figure_function(*values)
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], go.Figure)):
        raise UserError(
            f"the figure function returned {type(result).__name__} at {at}; return (plotly figure, sentence)"
        )
    drawn, sentence = result
    if not isinstance(sentence, str) or not sentence.strip():
        raise UserError(f"no sentence at {at}: a figure needs one sentence with its numbers")
    parts = drawn.to_plotly_json()
    data = [_plain(trace, f"trace {index} at {at}") for index, trace in enumerate(parts["data"])]
    return data, _plain(parts["layout"], f"the layout at {at}"), sentence


def describe(stops: Sequence[Stops], choice: Sequence[int]) -> str:
    """A stop in words, for messages: `β = 0.1, step = 20`."""
    words = [f"{slider.label} = {slider.texts[i]}" for slider, i in zip(stops, choice, strict=True)]
    return ", ".join(words) or "its only stop"


def flatten(trace: dict, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Attributes of a trace with dotted names, as plotly's restyle wants them."""
    for key, value in trace.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _plain(value, where: str):
    """Numbers, strings and lists for JSON; a number keeps seven digits, far more than a screen has pixels."""
    if isinstance(value, dict) and {"bdata", "dtype"} <= value.keys():  # plotly packs arrays of numbers
        packed = np.frombuffer(base64.b64decode(value["bdata"]), value["dtype"])
        value = packed.reshape([int(n) for n in value["shape"].split(",")]) if "shape" in value else packed
    if isinstance(value, dict):
        return {key: _plain(item, f"{key} of {where}") for key, item in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}, position {index}") for index, item in enumerate(value)]
    if isinstance(value, bool | str) or value is None:
        return value
    if isinstance(value, np.generic):
        value = value.item()
    if not math.isfinite(value):
        raise UserError(f"{value} in {where}; a figure draws finite numbers, so leave the point out (None)")
    return value if isinstance(value, int) else float(f"{value:.7g}")


def _check_fixed(moved: list[Path], data: list[dict], layout: dict) -> None:
    for index, path in moved:
        if path.startswith(("marker", "line", "name", "opacity")) and data[index].get("showlegend", True):
            raise UserError(
                f"trace {index} moves its {path} but stands in the legend, which stays as it is; "
                "give it showlegend=False, and the legend a trace of its own that does not move"
            )
        if path not in ("x", "y"):
            continue
        axis = path + "axis" + data[index].get(f"{path}axis", path)[1:]
        if "range" not in layout.get(axis, {}):
            raise UserError(f"trace {index} moves along {axis}, which has no fixed range; set layout.{axis}.range")
