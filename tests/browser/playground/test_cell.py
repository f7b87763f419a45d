"""The Python cell that the page gives, executed: its numbers are those of the page."""

import contextlib
import io
import math

import pytest

from tests.browser.playground.worlds import PAYLOADS, SIX, WORLDS, link, some

pytestmark = pytest.mark.browser


def run_cell(text: str) -> dict:
    names: dict = {}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(text, "cell", "exec"), names)  # noqa: S102
    assert "unsafe mass" in printed.getvalue()
    return names


CELLS = {
    "exact": link(SIX, delta=2, penalty=3, step=1000),
    "drawn": link(SIX, data="drawn", n=77, seed=3, noise=0.1, delta=4, compare="yes", step=250),
    "ipo": link(WORLDS["twelve"], loss="ipo", rule="helpful", lr=0.01, step=100),
    "cdpo": link(WORLDS["five"], loss="cdpo", rule="safebetter", beta=1e-2, lr=5, step=64),
    "start": link(SIX),
    "not normalised": link(WORLDS["not normalised"], step=20),
    "all zero": link(WORLDS["all zero"], step=5),
    "all unsafe": link(WORLDS["all unsafe"]),
    "infeasible, with pairs": link(WORLDS["safe but never said"], step=10),
    "hostile": link(
        [(*one, PAYLOADS[i]) for i, one in enumerate(SIX)], prompt='""" \\ \'\u2028 \U0001f600 {x}', step=3
    ),
}


@pytest.mark.parametrize("name", some(CELLS, "drawn", "hostile"))
def test_the_python_cell_computes_the_same_numbers(playground, name):
    playground.open(CELLS[name])
    playground.page.locator("#cell").click()
    names = run_cell(playground.page.locator("#dialog-text").input_value())
    found, state = playground.numbers(), playground.state()
    assert list(names["world"].labels) == [one["text"] for one in state["answers"]]
    keys = {"reference": "reference", "penalty": "pi_C", "best": "pi*", "trained": "trained"}
    for page, python in keys.items():
        logps = found["logps"][page]
        if python not in names["policies"]:
            assert logps is None or (page == "trained" and found["counts"]["kept"] == 0)
            continue
        here = names["policies"][python][0].exp().tolist()
        there = [0.0 if one is None else math.exp(one) for one in logps]
        assert there == pytest.approx(here, abs=1e-6 if page == "trained" else 1e-9)
    if state["compare"] == "yes":
        beside = [math.exp(one) for one in found["beside"]]
        assert beside == pytest.approx(names["policies"]["trained, delta 0"][0].exp().tolist(), abs=1e-6)
