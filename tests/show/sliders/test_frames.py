"""Reading a figure function: what moves, and every way in which a figure can be wrong."""

import json
import math

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safedpo.errors import UserError
from safedpo.show import Stops, slider
from safedpo.show.sliders.frames import read_frames
from tests.show.bar import FIXED, bar
from tests.show.gallery import gallery


@pytest.mark.parametrize("name", gallery())
def test_a_slider_holds_at_every_stop_what_its_figure_function_draws(name):
    function, stops = gallery()[name]
    frames = read_frames(function, stops)
    places = [[]]
    for one in stops:
        places = [[*before, i] for before in places for i in range(len(one.values))]
    assert len(places) == len(frames.values) == len(frames.sentences)
    for flat, place in enumerate(places):
        figure, sentence = function(*(one.values[i] for one, i in zip(stops, place, strict=True)))
        data = json.loads(json.dumps(frames.data))
        for (index, path), value in zip(frames.moved, frames.values[flat], strict=True):
            *parents, last = path.split(".")
            part = data[index]
            for key in parents:
                part = part.setdefault(key, {})
            part[last] = value
        rebuilt = go.Figure(data, frames.layout)
        for shown, drawn in zip(rebuilt.data, figure.data, strict=True):
            for axis in "xy":
                a, b = getattr(shown, axis), getattr(drawn, axis)
                assert len(a) == len(b) and all(
                    p == q or math.isclose(p, q, rel_tol=1e-6) for p, q in zip(a, b, strict=True)
                )
            assert shown.marker == drawn.marker
        assert sentence == frames.sentences[flat]


@pytest.mark.parametrize(
    "stops, words",
    [
        (lambda: Stops("β", []), "no stops"),
        (lambda: Stops("β", [1, 2], start=3), "starts at 3"),
        (lambda: Stops("β", [1, 1.0001]), "shows 1 at two stops"),
    ],
)
def test_wrong_stops_raise(stops, words):
    with pytest.raises(UserError, match=words):
        stops()


def two_traces_at_two(height):
    return go.Figure([go.Bar(y=[1])] * height, FIXED), "s"


@pytest.mark.parametrize(
    "function, words",
    [
        (two_traces_at_two, "1 traces at h = 1 but 2 at h = 2"),
        (lambda h: bar(math.nan if h == 2 else h), "nan in y of trace 0 at h = 2, position 0"),
        (lambda h: bar(math.inf), "inf in y"),
        (
            lambda h: (go.Figure(go.Bar(y=np.array([1, np.nan])), FIXED), "s"),
            "nan in y of trace 0 at h = 1, position 1",
        ),
        (lambda h: (bar(h)[0], " "), "no sentence at h = 1"),
        (lambda h: (bar(h)[0], None), "no sentence"),
        (lambda h: bar(h)[0], "returned Figure"),
        (lambda h: ("figure", "s"), "return .plotly figure, sentence"),
        (lambda h: bar(h, title_text=f"now {h}"), "layout at h = 2 differs"),
        (lambda h: (go.Figure(go.Bar(x=[1], y=[h])), "s"), "no fixed range; set layout.yaxis.range"),
        (lambda h: (go.Figure(go.Bar(x=[1], y=[1], marker={"opacity": 1 / h}), FIXED), "s"), "stands in the legend"),
    ],
)
def test_wrong_figures_raise_and_name_the_stop(function, words):
    with pytest.raises(UserError, match=words):
        slider(function, Stops("h", [1, 2]))


@given(st.lists(st.floats(-1e12, 1e12, allow_nan=False), min_size=1, max_size=5))
def test_numbers_keep_seven_digits(values):
    frames = read_frames(lambda: (go.Figure(go.Bar(y=values)), "s"), ())
    assert frames.data[0]["y"] == [float(f"{v:.7g}") for v in values]
