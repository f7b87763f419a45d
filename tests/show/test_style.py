"""The style: numbers that can be read back, hatching where unsafe, panels that do not overlap, text that stays text."""

import html

import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safedpo.show import style


@given(st.floats(1e-9, 1e9) | st.floats(-1e9, -1e-9))
def test_a_number_read_back_is_itself_to_three_digits(value):
    assert float(style.number(value).replace("−", "-")) == pytest.approx(value, rel=5.1e-3)


def test_infinity_and_nothing_have_their_own_signs():
    assert [style.number(x) for x in (float("inf"), float("-inf"), 0, -0.5)] == ["∞", "−∞", "0", "−0.5"]


def test_bars_are_hatched_exactly_where_unsafe():
    unsafe = [True, False, False, True]
    assert [bool(shape) for shape in style.fill(style.BLUE, unsafe)["pattern"]["shape"]] == unsafe


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_panels_lie_one_above_the_other_and_share_the_height(count):
    layout = style.stacked([], x={}, panels=[{"range": [0, 1]} for _ in range(count)]).layout
    domains = [layout[f"yaxis{k + 1 if k else ''}"].domain or (0.0, 1.0) for k in range(count)]
    assert domains[0][1] == pytest.approx(1) and domains[-1][0] == pytest.approx(0)
    assert all(upper[0] > lower[1] for upper, lower in zip(domains, domains[1:], strict=False))
    heights = [high - low for low, high in domains]
    assert heights == pytest.approx([heights[0]] * count)


def test_the_eight_series_differ_and_no_text_is_smaller_than_twelve():
    assert len(set(style.SERIES)) == len(style.SERIES) == 8 and len(set(style.DASHES)) == len(style.DASHES)
    drawn = style.figure([go.Bar(y=[1])], x={}, y={})
    assert drawn.layout.template.layout.font.size >= 12 and drawn.layout.dragmode is False


@given(st.text(max_size=30))
def test_escaped_text_comes_back_and_opens_nothing(text):
    escaped = style.escape(text)
    assert html.unescape(escaped) == text and not set(escaped) & set("<>\"'")


def test_an_asset_is_the_file_of_the_package():
    assert style.asset("sliders/slider.css").count("{") == style.asset("sliders/slider.css").count("}") > 0
