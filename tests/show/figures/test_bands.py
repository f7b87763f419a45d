"""The figures of notebooks 04 and 05: right numbers at every slider stop, fixed axes, and what they refuse."""

import numpy as np
import pytest

from safedpo.errors import UserError
from safedpo.show import Stops, slider
from safedpo.show.figures.bands import bands, mean_interval
from safedpo.show.figures.frontier import FLOOR, dual, frontier
from safedpo.show.figures.intervals import intervals

SETTINGS = [1, 3, 10]
PANELS = {
    "unsafe mass": {
        "SafeDPO": [(0.3, 0.2, 0.4), (0.1, 0.0, 0.2), (0.0, 0.0, 0.0)],
        "DPO": [(0.5, 0.4, 0.6), (0.6, 0.5, 0.7), (0.7, 0.6, 0.8)],
    },
    "TV": {"SafeDPO": [(0.3, 0.2, 0.4)] * 3, "DPO": [(0.9, 0.8, 1.0)] * 3},
}


def test_intervals_are_those_of_students_t():
    for count, quantile in ((3, 4.302653), (20, 2.093024), (40, 2.022691)):  # from a printed table, 97.5 %
        draws = np.random.default_rng(0).normal(2, 3, count)
        half = quantile * draws.std(ddof=1) / count**0.5
        assert mean_interval(list(draws)) == pytest.approx((draws.mean(), draws.mean() - half, draws.mean() + half))
    assert mean_interval([0.0] * 19 + [1.0], low=0.0)[1] == 0.0
    with pytest.raises(UserError, match="1 seeds; an interval over seeds needs at least two"):
        mean_interval([1])


@pytest.mark.parametrize("at", SETTINGS)
@pytest.mark.parametrize("log_x", [True, False])
def test_bands_draw_and_say_their_numbers_at_every_stop(at, log_x):
    drawn, sentence = bands(SETTINGS, PANELS, at=at, x_title="pairs a prompt", log_x=log_x)
    place = SETTINGS.index(at)
    lines = {(t.name, t.yaxis): t for t in drawn.data if t.error_y.array is not None}
    for panel, (title, methods) in zip(("y", "y2"), PANELS.items(), strict=True):
        assert title in sentence
        for name, values in methods.items():
            line = lines[name, panel]
            assert line.y[place] == values[place][0]
            assert line.y[place] + line.error_y.array[place] == pytest.approx(values[place][2])
            assert line.y[place] - line.error_y.arrayminus[place] == pytest.approx(values[place][1])
            assert f"{name} {values[place][0]:g} [{values[place][1]:g}, {values[place][2]:g}]" in sentence
    rules = [t for t in drawn.data if not t.showlegend and t.error_y.array is None]
    assert [tuple(t.x) for t in rules] == [(at, at)] * 2


def test_bands_on_a_slider_and_bad_input():
    shown = slider(lambda at: bands(SETTINGS, PANELS, at=at, x_title="pairs", log_x=True), Stops("pairs", SETTINGS))
    assert "pairs = 10" in shown.sentence(2)
    with pytest.raises(UserError, match="was not run"):
        bands(SETTINGS, PANELS, at=2, x_title="pairs")
    with pytest.raises(UserError, match="has 1 values for 3"):
        bands(SETTINGS, {"TV": {"DPO": [(1, 1, 1)]}}, at=1, x_title="pairs")
    with pytest.raises(UserError, match="outside its own interval"):
        bands(SETTINGS, {"TV": {"DPO": [(3, 1, 2)] * 3}}, at=1, x_title="pairs")


CURVES = {
    "SACPO": [(0.1, 0.5, 1.2, 0.5), (1.0, 0.1, 1.0, 0.2), (9.0, 1e-9, 0.8, 0.1)],
    "SafeDPO": [(0.0, 0.0, 0.75, 0.0)] * 3,
}
NAMES = {"SACPO": "λ", "SafeDPO": ""}


@pytest.mark.parametrize("method", CURVES)
@pytest.mark.parametrize("place", range(3))
def test_frontier_marks_the_stop_and_says_it(method, place):
    drawn, sentence = frontier(CURVES, NAMES, method=method, place=place, optimum=(0.0, 0.75))
    parameter, mass, reward, _ = CURVES[method][place]
    here = next(t for t in drawn.data if t.name == "here")
    assert (here.x[0], here.y[0]) == (max(mass, FLOOR), reward)
    assert sentence.startswith(f"{method} at λ = {parameter:g}:" if method == "SACPO" else "SafeDPO: unsafe mass 0,")
    strong = [t.name for t in drawn.data if t.opacity == 1]
    assert strong == [method]
    star = next(t for t in drawn.data if t.name == "π*")
    assert (star.x[0], star.y[0]) == (FLOOR, 0.75)


def test_frontier_on_two_sliders_and_bad_input():
    shown = slider(
        lambda m, p: frontier(CURVES, NAMES, method=m, place=p, optimum=(0, 0.75)),
        Stops("method", list(CURVES)),
        Stops("parameter", [0, 1, 2]),
    )
    assert "λ = 9" in shown.sentence(0, 2)
    for wrong in ({"method": "DPO", "place": 0}, {"method": "SACPO", "place": 3}):
        with pytest.raises(UserError, match="no place"):
            frontier(CURVES, NAMES, optimum=(0, 0), **wrong)
    with pytest.raises(UserError, match="outside"):
        frontier({"SACPO": [(1, 1.5, 0, 0)]}, {"SACPO": "λ"}, method="SACPO", place=0, optimum=(0, 0))


@pytest.mark.parametrize("place", range(5))
def test_dual_draws_a_tangent_at_every_stop(place):
    lams = [0.0, 0.5, 1.0, 1.5, 2.0]
    values, slopes = [(lam - 1) ** 2 for lam in lams], [2 * (lam - 1) for lam in lams]
    drawn, sentence = dual(lams, values, slopes, place=place, best=1.0)
    tangent = drawn.data[1]
    assert (tangent.y[1] - tangent.y[0]) / (tangent.x[1] - tangent.x[0]) == pytest.approx(slopes[place])
    assert sum(tangent.y) / 2 == pytest.approx(values[place])
    assert ("must rise" in sentence) == (lams[place] < 1)
    shown = slider(lambda at: dual(lams, values, slopes, place=at, best=1.0), Stops("λ", list(range(5))))
    assert shown.sentence(place) == sentence


def test_dual_refuses_lists_of_different_lengths():
    with pytest.raises(UserError, match="2 multipliers"):
        dual([0, 1], [1], [1, 2], place=0, best=0)


def test_intervals_that_are_not_known_draw_no_bars_and_are_said():
    unknown = {"harm": {"SafeDPO": [(0.3, None, None), (0.1, 0.0, 0.2)]}}
    drawn, sentence = bands([1, 3], unknown, at=1, x_title="pairs")
    assert sentence == "pairs = 1: harm: SafeDPO 0.3 [not known]."
    assert list(drawn.data[0].error_y.array) == [None, pytest.approx(0.1)]
    rows, said = intervals({"SafeDPO": {"harm": (0.3, None, None)}})
    assert list(rows.data[0].error_x.arrayminus) == [None] and said == "SafeDPO: harm 0.3 [not known] (95% intervals)."
    with pytest.raises(UserError, match="half an interval"):
        intervals({"SafeDPO": {"harm": (0.3, None, 0.4)}})
    with pytest.raises(UserError, match="a share lies between"):
        intervals({"SafeDPO": {"harm": (1.3, None, None)}})
