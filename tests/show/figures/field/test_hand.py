"""The figures of notebook 10 that a hand moves: what they draw is what they were given, and bad input is named."""

import pytest
import torch

from safedpo.errors import UserError
from safedpo.finite.hand import fates
from safedpo.show import Stops, slider
from safedpo.show.figures.field.transformation import transformation
from safedpo.show.figures.lines import lines


def test_the_bars_are_the_fates_and_the_sums():
    done = fates(torch.tensor([1.0, 0.0, 2.0]), torch.tensor([False, True, True]))
    shares = {"kept": done.kept, "swapped": done.swapped, "dropped": done.dropped}
    figure, sentence = transformation(done.pairs, shares, (done.intractable, done.tractable), setting="S U U", top=3.0)
    assert [trace.y for trace in figure.data[:3]] == [done.kept, done.swapped, done.dropped]
    assert figure.data[3].y == (done.intractable, done.tractable) and sentence.endswith(": equal.")
    _, sentence = transformation(done.pairs, shares, (1.0, 1.1), setting="S U U", top=3.0)
    assert sentence.endswith("not equal.")
    with pytest.raises(UserError, match="must add up to 1"):
        transformation(done.pairs, shares | {"kept": [0.5] * 3}, (1.0, 1.0), setting="", top=1.0)


def test_the_marker_stands_on_its_curve_at_every_stop():
    x, panels = [0, 1, 2], {"loss": {"a": [1, 2, 3], "b": [3, 2, 1]}, "slope": {"a": [0, 0, 1], "b": [1, 1, 0]}}
    ranges = {"loss": (0, 4), "slope": (0, 1)}
    shown = slider(lambda at: lines(x, panels, at=at, title="m", ranges=ranges), Stops("m", [0, 1, 2]))
    assert [shown.sentence(at) for at in range(3)][2] == "At m = 2: loss a 3, loss b 1, slope a 1, slope b 0."
    for at in range(3):
        figure, _ = lines(x, panels, at=at, title="m", ranges=ranges)
        for curve, marker in zip(figure.data[::2], figure.data[1::2], strict=True):
            assert marker.y[0] == curve.y[at] and marker.x[0] == x[at]


def test_bad_curves_are_named():
    with pytest.raises(UserError, match="one value for each of the 2 places"):
        lines([0, 1], {"p": {"c": [1]}}, at=0, title="x", ranges={"p": (0, 1)})
    with pytest.raises(UserError, match="at is 5"):
        lines([0, 1], {"p": {"c": [1, 2]}}, at=5, title="x", ranges={"p": (0, 1)})
