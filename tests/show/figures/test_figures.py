"""The figures' own numbers against arithmetic done another way, and the inputs they refuse."""

import math
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from safedpo.errors import UserError
from safedpo.finite import optimal_policy, six_answers, tv, unsafe_mass
from safedpo.losses import safedpo_loss
from safedpo.show import curves, intervals, loss, pareto, path, penalty, policies, tokens
from safedpo.show.style import number

TWO = (["help", "harm"], [False, True])
FACTS = {"facts": {}}


def test_the_loss_figure_draws_the_package_s_loss_and_its_slope():
    figure, _ = loss({"SS": [0.3], "SU": [1.0]}, delta=3.0)
    for trace, slope, unsafe in ((0, 1, False), (3, 4, True)):
        m = torch.tensor(figure.data[trace].x, dtype=torch.float64, requires_grad=True)
        zero, flag = torch.zeros_like(m), torch.full(m.shape, unsafe)
        expected = safedpo_loss(m / 0.1, zero, zero, zero, torch.zeros_like(flag), flag, beta=0.1, delta=3.0)
        expected.sum().backward()
        assert figure.data[trace].y == pytest.approx(expected.tolist(), abs=1e-12)
        assert figure.data[slope].y == pytest.approx((-m.grad).tolist(), abs=1e-12)


@given(st.lists(st.floats(-20, 40), min_size=1, max_size=20), st.floats(0, 20))
def test_the_share_that_still_learns_counts_pairs(margins, delta):
    _, sentence = loss({"SU": margins}, delta=delta)
    edge = delta + math.log(19)  # sigmoid(delta - m) = 0.05
    close = sum(abs(m - edge) < 1e-9 for m in margins)
    counted = int(re.search(r"(\d+) of \d+ SU", sentence)[1])
    assert abs(counted - sum(m < edge for m in margins)) <= close


@pytest.mark.parametrize("c", [0.0, 0.2, 1.0, math.inf])
def test_the_penalty_sentence_has_the_distances_of_the_exact_world(c):
    world = six_answers()
    finite, hard = optimal_policy(world, 0.5, penalty=c), optimal_policy(world, 0.5)
    _, sentence = penalty(
        world.labels,
        world.unsafe[0].tolist(),
        finite[0].exp().tolist(),
        hard[0].exp().tolist(),
        c=c,
        safe_support=0.64,
        curve=([0, 1], [1, 0.1]),
    )
    assert f"unsafe mass {number(float(unsafe_mass(world, finite)[0]))}," in sentence
    assert f"constraint {number(float(tv(finite, hard)[0]))}." in sentence


def test_bars_are_hatched_exactly_where_unsafe_and_labelled():
    figure, sentence = policies(["a <i>b</i>", "c", "d"], [False, True, False], {"p": [0.5, 0.004, 0.496]}, **FACTS)
    assert figure.data[0].marker.pattern.shape == ("", "/", "") and figure.data[0].text == (".50", "≈0", ".50")
    assert "&lt;i&gt;" in figure.data[0].x[0] and sentence == "p: unsafe mass 0.004."


def test_the_path_marks_the_stop_and_keeps_tiny_masses_in_the_sentence():
    figure, sentence = path([1, 10], {0.0: [0.5, 1e-236]}, {0.0: [0.3, 0.1]}, step=10, delta=0.0)
    dots = [trace for trace in figure.data if trace.mode == "markers"]
    assert [dot.x for dot in dots] == [(10,), (10,)] and dots[1].y == (0.1,)
    assert "unsafe mass 1e−236" in sentence or "unsafe mass 1e-236" in sentence


def test_the_tokens_sum_and_show_each_number_once():
    shown = tokens(["a", "<b>", "\n"], [0.25, -1.5, 0.0], beta=0.2)
    assert repr(shown).startswith("3 tokens: log-ratio −1.25 in all, implicit reward −0.25 at beta 0.2")
    assert re.findall(r'data-number="(.*?)"', shown.html) == ["+0.250", "-1.500", "+0.000"]
    assert "&lt;b&gt;" in shown.html and "<b>" not in shown.html
    assert re.findall(r'class="token (\w+)"', shown.html) == ["more", "less", "same"]


@pytest.mark.parametrize(
    "draw, words",
    [
        (lambda: policies(*TWO, {"p": [0.5, 0.6]}, **FACTS), "sum to 1.1"),
        (lambda: policies(*TWO, {"p": [1.5, -0.5]}, **FACTS), "probability 1.5"),
        (lambda: policies(*TWO, {"p": [math.nan, 1.0]}, **FACTS), "probability nan"),
        (lambda: policies(*TWO, {"p": [1.0]}, **FACTS), "1 probabilities for 2 answers"),
        (lambda: policies(["help", "harm"], [True], {"p": [0.5, 0.5]}, **FACTS), "1 flags"),
        (lambda: policies(*TWO, {str(i): [0.5, 0.5] for i in range(6)}, **FACTS), "6 policies"),
        (lambda: penalty(*TWO, [0.5, 0.5], [0.9, 0.1], c=1, safe_support=1, curve=([0, 1], [1, 1])), "unsafe mass 0.1"),
        (lambda: loss({"SS": [1.0]}, delta=-1), "delta is -1"),
        (lambda: loss({"SS": [1.0]}, delta=math.nan), "delta is nan"),
        (lambda: loss({"XX": [1.0]}, delta=1), "by group"),
        (lambda: loss({"SS": []}, delta=1), "at least one pair"),
        (lambda: path([1, 2], {0.0: [1, 1]}, {0.0: [1, 1]}, step=3, delta=0.0), "step 3 .* was not recorded"),
        (lambda: path([0, 2], {0.0: [1, 1]}, {0.0: [1, 1]}, step=2, delta=0.0), "start at 0"),
        (lambda: path([1, 2], {0.0: [1]}, {0.0: [1, 1]}, step=2, delta=0.0), "1 values for 2 steps"),
        (lambda: intervals({}), "at least one policy"),
        (lambda: intervals({"p": {"harm": (0.5, 0.6, 0.7)}}), "outside its own interval"),
        (lambda: intervals({"p": {"harm": (0.5, 0.4, 1.7)}}), "between 0 and 1"),
        (lambda: intervals({"p": {"harm": (0, 0, 0)}, "q": {"help": (0, 0, 0)}}), "has measures"),
        (lambda: pareto({"g": []}, highlight="g"), "no runs for 'g'"),
        (lambda: pareto({"g": [((1, 0, 0.5), (1, 1, 1))]}, highlight="g"), "outside its own interval"),
        (lambda: curves([], {}), "was not logged"),
        (lambda: curves([1], {"p": {"a": [1, 2]}}), "2 values for 1 steps"),
        (lambda: curves([1], {"p": {"a": [None]}}), "no value at any step"),
        (lambda: tokens([], [], beta=1), "0 tokens"),
        (lambda: tokens(["a"], [math.inf], beta=1), "token 0 .* inf"),
        (lambda: tokens(["a"], [1.0], beta=0), "beta is 0"),
    ],
)
def test_wrong_inputs_raise(draw, words):
    with pytest.raises(UserError, match=words):
        draw()
