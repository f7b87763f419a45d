"""The computing slider: after each move it holds what a figure drawn afresh would, and only what changed was sent."""

import plotly.graph_objects as go
import pytest

from safedpo.show import Stops, live
from safedpo.show.figures.policies import policies
from safedpo.show.sliders.frames import read_one
from tests.show.gallery import gallery

# plotly's FigureWidget, and the events of ipywidgets' sliders, warn about what their own next versions change.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def drawn(figure) -> list:
    traces = read_one(lambda: (go.Figure(figure.to_dict()), "s"), (), "here")[0]
    return [{key: value for key, value in trace.items() if key != "uid"} for trace in traces]


@pytest.mark.parametrize("name", ["policies", "penalty", "path"])
def test_moving_gives_the_figure_drawn_afresh(name):
    function, stops = gallery()[name]
    controls, figure, sentence = live(function, *stops).children
    for place in (2, 3, 0, 2):
        controls.children[0].index = place
        values = [one.values[slider.index] for one, slider in zip(stops, controls.children, strict=True)]
        traces, _, words = read_one(function, values, "here")
        assert drawn(figure) == traces
        assert words.split(":")[0] in sentence.value


def two(height):
    return go.Figure([go.Bar(y=[height]), go.Bar(y=[1])], {"yaxis_range": [0, 2]}), f"The bar is {height} high."


def test_only_what_changed_is_sent(monkeypatch):
    controls, figure, _ = live(two, Stops("height", [1, 2, 3])).children
    sent = []
    monkeypatch.setattr(
        figure, "_send_update_msg", lambda restyle_data, *rest, **more: sent.append((restyle_data, rest, more))
    )
    for place in (1, 2):
        controls.children[0].index = place
    restyled = [{key: [list(one) for one in value] for key, value in change.items()} for change, *_ in sent]
    assert restyled == [{"y": [[2]]}, {"y": [[3]]}]
    assert [more["trace_indexes"] for *_, more in sent] == [[0], [0]]


def test_a_stop_that_fails_says_so_and_the_next_one_works():
    def fails_at_two(height):
        if height == 2:
            raise ValueError("no bar of 2")
        return two(height)

    controls, figure, sentence = live(fails_at_two, Stops("height", [1, 2, 3])).children
    before = drawn(figure)
    with pytest.raises(ValueError, match="no bar of 2"):
        controls.children[0].index = 1
    assert "ValueError: no bar of 2" in sentence.value and drawn(figure) == before
    controls.children[0].index = 2
    assert "The bar is 3 high." in sentence.value and figure.data[0].y == (3,)


def test_a_bar_says_its_value_in_two_digits():
    figure, _ = policies(list("abcd"), [False] * 4, {"p": [0.991, 0.0051, 0.0039, 0.0]}, facts={})
    assert list(figure.data[0].text) == [".99", ".01", "≈0", "0"]
