"""Curves in training: the moving average against its weights written out, and a widget that shows the log."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safedpo.labs.live.curves import PANELS, SMOOTH, LiveCurves, smooth


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=12))
def test_the_average_is_the_sum_of_its_weights(values):
    n = len(values) - 1
    weights = [SMOOTH**n, *((1 - SMOOTH) * SMOOTH ** (n - k) for k in range(1, n + 1))]
    assert sum(weights) == pytest.approx(1)
    assert smooth(values)[-1] == pytest.approx(sum(w * v for w, v in zip(weights, values, strict=True)), abs=1e-9)


@given(st.lists(st.none() | st.floats(-50, 50), max_size=12))
def test_gaps_stay_gaps_and_change_nothing_else(values):
    found = smooth(values)
    assert [v is None for v in found] == [v is None for v in values]
    assert [v for v in found if v is not None] == smooth([v for v in values if v is not None])


def log(steps):
    names = [name for lines in PANELS.values() for name in lines.values()]
    return [{"step": s, "loss": 0.5, **{name: s + k for k, name in enumerate(names)}} for s in range(1, steps + 1)]


def test_the_widget_draws_the_log_and_leaves_out_what_is_no_step():
    live, rows = LiveCurves(), log(4)
    live.draw([*rows, {"step": 4, "train_runtime": 1.0}])
    assert len(live.lines) == sum(map(len, PANELS.values()))
    for trace, name in live.lines:
        assert list(trace.x) == [1, 2, 3, 4]
        assert list(trace.y) == pytest.approx(smooth([row[name] for row in rows]))
    assert {axis.range for axis in live.widget.select_xaxes()} == {(0, 4)}


def test_at_most_one_redraw_a_second_and_the_last_step_is_always_shown():
    live = LiveCurves()
    for steps in (1, 2, 3):
        live.on_log(None, SimpleNamespace(log_history=log(steps)), None, logs={"loss": 0.5})
    assert list(live.lines[0][0].x) == [1]
    live.on_train_end(None, SimpleNamespace(log_history=log(3)), None)
    assert list(live.lines[0][0].x) == [1, 2, 3]


def test_an_empty_log_draws_nothing():
    live = LiveCurves()
    before = list(live.lines[0][0].x)
    live.draw([])
    assert list(live.lines[0][0].x) == before
