"""The walker's figures: every premise is a stop, its numbers are those of the stored walk."""

import pytest

from safedpo.errors import UserError
from safedpo.finite.walker import read_walks
from safedpo.show.figures.field.counterexample import counterexample
from safedpo.show.pages.walker import drawn, walker
from safedpo.show.style import number


def test_every_premise_is_a_stop_of_its_statement():
    figures = walker()
    for walk in read_walks():
        stops = figures[walk.statement].stops[0]
        sentence = figures[walk.statement].sentence(stops.values.index(walk.name))
        assert walk.name in sentence and (walk.world is None or number(walk.left) in sentence)


@pytest.mark.parametrize("walk", read_walks(), ids=lambda walk: f"{walk.statement}-{walk.name}")
def test_the_bars_are_the_world_and_the_sides(walk):
    figure, _ = drawn(walk)
    if walk.world is None:
        assert not any(any(trace.y) for trace in figure.data)
        return
    count = walk.world.answers
    for prompt in range(walk.world.prompts):
        assert figure.data[prompt].y[:count] == pytest.approx(walk.world.ref_logps[prompt].exp().tolist())
        shapes = figure.data[prompt].marker.pattern.shape[:count]
        assert [shape != "" for shape in shapes] == walk.world.unsafe[prompt].tolist()
    assert figure.data[2].y == pytest.approx((walk.left, walk.right))


def test_what_cannot_be_drawn_is_named():
    with pytest.raises(UserError, match="at most 2"):
        counterexample([[0.2] * 5], [[0] * 5], [[False] * 5], left=("a", 0), right=("b", 0), setting="")
    with pytest.raises(UserError, match="'a' is 9"):
        counterexample([], [], [], left=("a", 9), right=("b", 0), setting="")
