"""Reading a figure function: what moves, and every way in which a figure can be wrong."""

import json
import math

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safedpo.errors import UserError
from safedpo.show import Stops, live, slider, still
from safedpo.show.sliders.frames import read_frames
from tests.show.gallery import gallery

FIXED = {"xaxis_range": [0, 9], "yaxis_range": [0, 9]}


def bar(height, **layout):
    return go.Figure(go.Bar(x=[1], y=[height]), FIXED | layout), f"The bar is {height} high."


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


def test_sentences_differ_wherever_the_reader_should_see_a_difference(sliders):
    for figure in sliders.values():
        assert len(set(figure.frames.sentences)) == len(figure.frames.sentences)


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


def test_too_many_sliders_or_stops_raise():
    with pytest.raises(UserError, match="one or two sliders.*got 0"):
        slider(bar)
    with pytest.raises(UserError, match="2500 stops"):
        slider(lambda a, b: bar(a), Stops("a", range(50)), Stops("b", range(50)))
    with pytest.raises(UserError, match="at least one slider"):
        live(bar)


@given(st.lists(st.floats(-1e12, 1e12, allow_nan=False), min_size=1, max_size=5))
def test_numbers_keep_seven_digits(values):
    frames = read_frames(lambda: (go.Figure(go.Bar(y=values)), "s"), ())
    assert frames.data[0]["y"] == [float(f"{v:.7g}") for v in values]


def test_html_escapes_what_it_is_given_and_keeps_the_library_out_of_the_figure():
    sly = "</script><script>alert(1)</script>"
    figure = slider(lambda h: (bar(h)[0], sly + str(h)), Stops('a"<b>', [1, 2]))
    html = figure.html("f")
    assert sly not in html and html.count("</script>") == 1 and "a&quot;&lt;b&gt;" in html
    assert len(html) < 20_000


def test_the_text_form_is_the_sentence_of_the_starting_stop():
    figure = slider(bar, Stops("h", [1, 2, 3], start=2))
    assert figure._repr_mimebundle_()["text/plain"] == "The bar is 2 high."
    assert still(*bar(3))._repr_mimebundle_()["text/plain"] == "The bar is 3 high."


def test_a_saved_page_is_small_and_names_no_other_address(tmp_path, sliders):
    for name, figure in sliders.items():
        page = figure.save(tmp_path / f"{name}.html").read_text()
        assert len(page) < 6e6
        assert "http" not in page.replace(
            page[page.index('<script data-safedpo="plotly">') : page.index("</script>")], ""
        )
