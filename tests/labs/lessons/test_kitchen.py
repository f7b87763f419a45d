"""The runs of notebook 06: bars added up another way, and paths of runs beside the rows they are made of."""

import math

import pytest

from safedpo.finite import unsafe_mass
from safedpo.labs.lessons.kitchen import KINDS, along, by_kind, listed


@pytest.mark.slow
def test_the_bars_add_up_each_answer_once_and_the_hazards_are_the_unsafe_mass():
    _, sentences, world = listed()
    figure, sentence = by_kind(sentences, 1.0, prompt=1)
    bars = {trace.name: list(trace.y) for trace in figure.data if None not in trace.y}
    assert all(sum(heights) == pytest.approx(1, abs=1e-4) and len(heights) == len(KINDS) for heights in bars.values())
    assert sum(bars["reference"][-3:]) == pytest.approx(unsafe_mass(world, world.ref_logps)[1].item(), abs=1e-6)
    assert sum(bars["SafeDPO optimum"][-3:]) == 0 and repr(sentences.prompts[1]) in sentence


def test_paths_are_drawn_at_the_steps_they_share_and_logarithms_where_asked():
    rows = {
        "a": [{"step": 0, "kl": 1.0, "unsafe": 0.1}, {"step": 5, "kl": 0.5, "unsafe": 0.01}],
        "b": [{"step": s, "kl": 2.0 / (s + 1), "unsafe": 0.2} for s in (0, 2, 5)],
    }
    draw, steps = along(rows, {"KL": "kl", "log unsafe": "unsafe"}, log=["unsafe"])
    assert steps == [0, 5]
    drawn = {(trace.name, trace.yaxis): list(trace.y) for trace in draw(5)[0].data if len(trace.y or ()) == 2}
    values = list(drawn.values())
    assert [1.0, 0.5] in values and pytest.approx([2.0, 2 / 6]) in values
    assert pytest.approx([math.log10(0.1), math.log10(0.01)]) in values
