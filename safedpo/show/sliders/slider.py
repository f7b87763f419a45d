"""The one component for everything that is read: a figure, its sliders, and one sentence with the numbers.

Every stop is computed in Python before the first move, so the result needs no kernel and no network: the same HTML
works in JupyterLab, in Colab, on an exported page and in a file opened from disk. It is native
`<input type=range>`: mouse, touch and keyboard. plotly.js travels inside, compressed, with every output: a page
unpacks it once and all figures share it, whichever cell ran first and however often.
"""

import base64
import functools
import gzip
import itertools
import json
import uuid
from collections.abc import Sequence
from pathlib import Path

import plotly.graph_objects as go
import plotly.offline

from safedpo.errors import UserError
from safedpo.files import write_text
from safedpo.show.pages.policy import policy
from safedpo.show.sliders.frames import FigureFunction, Frames, Stops, Switch, read_frames
from safedpo.show.style import NO_MATHS, asset, escape

MOST_STOPS = 2000  # beyond this a page is megabytes and the figure function is probably training


def slider(figure_function: FigureFunction, *stops: Stops) -> "Slider":
    """A figure with one or two sliders, or with switches; display it as a cell's last value, or `.save` it as a page.

    `figure_function` takes one value per slider or `Switch` and returns `(plotly figure, sentence)`; it is called once at
    every stop, now. Raises `UserError` for nothing to move, more than two sliders, a grid above 2,000 stops, and whatever
    `safedpo.show.sliders.frames.read_frames` refuses.

    >>> import plotly.graph_objects as go
    >>> from safedpo.show import Stops, slider
    >>> def bar(height):
    ...     return go.Figure(go.Bar(y=[height]), {"yaxis_range": [0, 2]}), f"The bar is {height} high."
    >>> slider(bar, Stops("height", [1, 2], start=2))
    The bar is 2 high.
    """
    sliders = sum(not isinstance(one, Switch) for one in stops)
    if not stops or sliders > 2 or not all(isinstance(one, Stops) for one in stops):
        raise UserError(f"a figure takes one or two sliders, each a Stops, and any switches; got {len(stops)}")
    count = len(list(itertools.product(*(one.values for one in stops))))
    if count > MOST_STOPS:
        raise UserError(f"{count} stops are more than {MOST_STOPS}; take fewer values per slider")
    return Slider(read_frames(figure_function, stops), stops)


def still(figure: go.Figure, sentence: str) -> "Slider":
    """A figure without a slider, shown and checked like the others.

    >>> import plotly.graph_objects as go
    >>> from safedpo.show import still
    >>> still(go.Figure(go.Bar(y=[1])), "One bar.")
    One bar.
    """
    return Slider(read_frames(lambda: (figure, sentence), ()), ())


class Slider:
    """What `slider` and `still` return: HTML for notebooks and pages, the sentence where there is only text."""

    def __init__(self, frames: Frames, stops: Sequence[Stops], reading=None):
        """`reading`, if any, stands between sliders and figure and follows them: its `.html(name)`, `.script(name)`."""
        self.frames, self.stops, self.reading = frames, tuple(stops), reading

    def __repr__(self) -> str:
        return self.sentence(*(one.start for one in self.stops))

    def sentence(self, *places: int) -> str:
        """The sentence at a stop, given by each slider's place (0 is its first stop)."""
        flat = 0
        for one, place in zip(self.stops, places, strict=True):
            flat = flat * len(one.values) + place
        return self.frames.sentences[flat]

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return {"text/html": plotly_loader() + self.html(f"safedpo-{uuid.uuid4().hex[:12]}"), "text/plain": repr(self)}

    def html(self, name: str) -> str:
        """The figure alone, as an element with the id `name`, for a page that has plotly.js."""
        show = {
            "data": self.frames.data,
            "layout": self.frames.layout,
            "moved": self.frames.moved,
            "values": self.frames.values,
            "sentences": self.frames.sentences,
            "texts": [s.texts for s in self.stops],
        }
        # `<` would let a string in a figure close the script element.
        numbers = json.dumps(show, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
        controls = "".join(_control(f"{name}-{i}", one) for i, one in enumerate(self.stops))
        text, script = (self.reading.html(name), self.reading.script(name)) if self.reading else ("", "")
        return (
            f"<style>{asset('sliders/slider.css')}</style>"
            f'<div class="safedpo {NO_MATHS}" id="{name}"><div class="controls">{controls}</div>{text}'
            f'<div class="plot" role="img" aria-label="{escape(repr(self))}" '
            f'style="height:{self.frames.layout.get("height", 380)}px"></div>'
            f'<output class="sentence" aria-live="polite">{escape(repr(self))}</output></div>'
            f'<script>{asset("sliders/slider.js").strip()}(document.getElementById("{name}"), {numbers});</script>{script}'
        )

    def save(self, path: str | Path, *, title: str = "SafeDPO") -> Path:
        """Write a page that works from disk with the network off (about 2 MB, nearly all of it plotly.js)."""
        path, body = Path(path), f"{plotly_loader()}{self.html('figure')}"
        write_text(
            path,
            f'<!doctype html><html lang="en"><head><meta charset="utf-8">{policy(body, unpacks=True)}'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{escape(title)}</title></head>"
            f'<body style="margin:0 auto;max-width:900px;padding:12px">{body}'
            f"<noscript>Moving the slider needs JavaScript.</noscript></body></html>\n",
        )
        return path


def _control(name: str, stops: Stops) -> str:
    if isinstance(stops, Switch):
        ticked = " checked" if stops.start else ""
        box = f'<input type="checkbox" id="{name}" autocomplete="off"{ticked}>'
        return f'<div class="control switch"><label for="{name}">{box}<span>{escape(stops.label)}</span></label></div>'
    last = len(stops.values) - 1
    shown = range(last + 1) if last <= 6 else sorted({round(last * part / 4) for part in range(5)})
    # Long texts would run into each other: then only the two ends are written.
    if sum(len(stops.texts[i]) for i in shown) > 36:
        shown = sorted({0, last})
    ticks = "".join(f'<span style="left:{100 * i / max(last, 1):.4g}%">{escape(stops.texts[i])}</span>' for i in shown)
    return (
        f'<div class="control"><label for="{name}"><span>{escape(stops.label)}</span>'
        f'<span class="value" aria-hidden="true">{escape(stops.texts[stops.start])}</span></label>'
        f'<input type="range" id="{name}" min="0" max="{last}" step="1" value="{stops.start}" autocomplete="off" '
        f'aria-valuetext="{escape(stops.texts[stops.start])}"><div class="ticks" aria-hidden="true">{ticks}</div></div>'
    )


@functools.cache
def plotly_loader() -> str:
    """A script element that makes `window.safedpoPlotly`, a promise of plotly.js, unless the page has it already."""
    packed = base64.b64encode(gzip.compress(plotly.offline.get_plotlyjs().encode(), 9, mtime=0)).decode()
    return f'<script data-safedpo="plotly">{asset("sliders/loader.js").strip()}("{packed}");</script>'
