"""Every number of the page against `safedpo.finite`, in a real Chromium."""

import itertools
import math

import pytest
import torch

from safedpo.transform import order_pairs
from tests.browser.playground.against_python import check_optima, check_run, close, python_pairs, python_world
from tests.browser.playground.worlds import SIX, WORLDS, link, slow, some

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("name", some(WORLDS, "two", "not normalised", "safe but never said"))
def test_optima_and_measures_are_pythons(playground, name):
    for beta, penalty in [(0.01, 0), (0.37, 2.5), (20, 50)]:
        playground.open(link(WORLDS[name], beta=beta, penalty=penalty))
        check_optima(playground)


@pytest.mark.parametrize("rule", some(["safedpo", "helpful", "safebetter"], "safedpo"))
@pytest.mark.parametrize("data", some(["exact", "drawn"], "drawn"))
def test_a_thousand_steps_are_pythons(playground, rule, data):
    for loss, noise in itertools.product(["safedpo", "ipo", "cdpo"], [0, 0.15]):
        delta = 3.5 if loss == "safedpo" else 0
        compare = "yes" if loss == "safedpo" else "no"
        settings = {"rule": rule, "data": data, "loss": loss, "noise": noise, "delta": delta, "compare": compare}
        lr = 0.02 if loss == "ipo" else 0.7
        playground.open(link(SIX, **settings, beta=0.4, lr=lr, n=137, seed=11, step=1000))
        assert playground.numbers()["step"] == 1000
        check_run(playground)


@slow
def test_a_thousand_steps_of_twelve_answers_are_pythons(playground):
    for beta, delta, lr in [(0.05, 20, 5), (2.0, 5, 0.05)]:
        playground.open(link(WORLDS["twelve"], beta=beta, delta=delta, lr=lr, noise=0.05, step=1000))
        check_run(playground)


@slow
@pytest.mark.parametrize("seed", [0, 1, 4711, 999_999])
def test_a_seed_draws_the_same_pairs_as_in_python(playground, seed):
    for n in (2, 640, 10_000):
        playground.open(link(WORLDS["five"], data="drawn", n=n, seed=seed))
        check_run(playground)


@slow
def test_the_stories_are_true(playground):
    def ends(number, steps=2000):
        playground.story(number)
        page = playground.page
        page.locator("#speed-field").fill("100")
        page.locator("#speed-field").press("Tab")
        playground.play_until(steps)
        check_run(playground)
        return playground.numbers()

    def masses(found):
        return {
            name: round(one["unsafeMass"], 2)
            for name, one in found["measures"].items()
            if one["unsafeMass"] is not None
        }

    hazard = ends(0)
    assert masses(hazard) == {"reference": 0.36, "penalty": 0.78, "best": 0, "trained": 0.78}
    rule = ends(1)["measures"]["trained"]
    assert 0 < rule["unsafeMass"] < 1e-5 and rule["tvOptimum"] < 5e-3
    margin = ends(2)
    beside = sum(math.exp(one) for one in margin["beside"][4:])
    assert (
        margin["measures"]["trained"]["unsafeMass"] < 1e-6 * beside
        and margin["measures"]["trained"]["tvOptimum"] < 5e-3
    )
    noise = ends(3)
    unsafe = noise["path"]["unsafe"]
    assert unsafe[-1] > 1e-5 and unsafe[-1] == pytest.approx(unsafe[-500], rel=1e-2)  # it levels off
    assert noise["measures"]["trained"]["tvOptimum"] > 0.02
    assert sum(math.exp(one) for one in noise["beside"][4:]) > 10 * unsafe[-1]
    alone = ends(5)
    assert masses(alone)["trained"] == masses(alone)["penalty"] == 0.06
    assert torch.allclose(torch.tensor(alone["logps"]["trained"]), torch.tensor(alone["logps"]["penalty"]), atol=1e-4)


def test_a_prompt_without_support_shows_what_infeasible_means(playground):
    playground.story(4)
    assert "Infeasible" in playground.notices()
    assert playground.numbers()["logps"]["best"] is None
    assert playground.measures()["unsafe mass"][2] == "–"
    check_run(playground)
    playground.row(2).locator("input[type=range]").nth(1).press("ArrowRight")
    assert "Infeasible" not in playground.notices()
    assert playground.numbers()["logps"]["best"][2] == pytest.approx(0.0)
    assert playground.row(2).locator(".best .value").inner_text() == "1"
    check_run(playground)


def test_what_is_written_is_what_was_computed(playground):
    playground.open(link(SIX, delta=2, noise=0.1, step=37))
    found, written = playground.numbers(), playground.measures()
    names = {"unsafe mass": "unsafeMass", "expected reward": "expectedReward", "KL to the reference": "klReference"}
    for title, name in (names | {"TV to π*": "tvOptimum", "KL from π*": "klOptimum"}).items():
        for text, column in zip(written[title], ("reference", "penalty", "best", "trained"), strict=True):
            assert close(float(text.replace("−", "-")), found["measures"][column][name], 0.00051), (title, column)
    for place in range(6):
        for column in ("penalty", "best", "trained"):
            text = playground.row(place).locator(f".{column} .value").inner_text()
            share = math.exp(found["logps"][column][place] if found["logps"][column][place] is not None else -math.inf)
            assert close(float(text.replace("−", "-")), share, 0.00051)
            rest = playground.row(place).locator(f".{column} i").evaluate("i => getComputedStyle(i).clipPath")
            assert float(rest.split()[1].rstrip("%")) == pytest.approx(100 * (1 - share), abs=0.01)
    percents = playground.page.locator(".group .value").all_inner_texts()
    total = found["counts"]["total"]
    for text, group in zip(percents, ("SS", "SU", "US", "UU"), strict=True):
        assert float(text.split()[0]) == pytest.approx(100 * found["counts"][group] / total, abs=0.051)
    fates = playground.page.locator(".fate").all_inner_texts()
    assert [fate.split()[1] for fate in fates] == ["kept", "kept", "swapped", "dropped"]
    assert playground.page.locator(".margin").all_inner_texts() == ["margin +Δ"] * 2
    playground.page.locator("#rule-choice").select_option("helpful")
    assert playground.page.locator(".margin").all_inner_texts() == ["margin +Δ", "margin −Δ"]


@slow
def test_the_curves_end_where_the_numbers_stand(playground):
    playground.open(link(SIX, delta=2, step=80, compare="yes"))
    found = playground.numbers()
    places = playground.page.locator("#distances circle").evaluate_all(
        "c => c.map(one => [+one.getAttribute('cx'), +one.getAttribute('cy')])"
    )
    ticks = playground.page.locator("#distances .axes text").evaluate_all(
        "t => t.map(one => [one.textContent, +one.getAttribute('y') - 4])"
    )
    heights = dict(ticks)
    decade = (heights["0.001"] - heights["1"]) / 3
    for (_, y), name in zip(places, ("tv", "unsafe"), strict=True):
        assert y == pytest.approx(heights["1"] - decade * math.log10(found["path"][name][-1]), abs=0.2)


@slow
def test_the_learning_rate_that_overshoots_is_two_over_the_largest_curvature(playground):
    for rows, settings in (
        (SIX, {}),
        (WORLDS["twelve"], {"data": "drawn", "n": 5, "beta": 1.5}),
        (SIX, {"noise": 0.2, "loss": "cdpo", "rule": "helpful"}),
        (SIX, {"loss": "ipo", "rule": "safebetter"}),
    ):
        playground.open(link(rows, **settings))
        state = playground.state()
        pairs = python_pairs(state, python_world(state)).transform(state["rule"])
        ends = torch.nn.functional.one_hot(torch.stack([pairs.chosen, pairs.rejected]), len(rows)).double()
        gaps = ends[0] - ends[1]  # (N, A)
        graph = gaps.mT @ (pairs.weight[:, None] * gaps)
        curvature = 2.0 if state["loss"] == "ipo" else state["beta"] ** 2 / 4
        most = 2 / (curvature * torch.linalg.eigvalsh(graph)[-1].item())
        for share, said in ((0.99, False), (1.01, True)):
            playground.open(link(rows, **settings, lr=share * most))
            assert ("may overshoot" in playground.notices()) == said


def test_every_pair_is_drawn_with_its_weight_and_its_fate(playground):
    playground.open(link(SIX, data="drawn", n=40, seed=2, noise=0.1))
    state = playground.state()
    pairs = python_pairs(state, python_world(state))
    column, keep = order_pairs(
        torch.zeros_like(pairs.prompt), torch.stack([pairs.chosen_unsafe, pairs.rejected_unsafe], -1), state["rule"]
    )
    fates = {"kept": keep & (column == 0), "swapped": keep & (column == 1), "dropped": ~keep}
    drawn = playground.page.locator(".meeting").evaluate_all(
        "all => all.map(m => [parseFloat(m.firstChild.style.getPropertyValue('--side')),"
        " Object.fromEntries([...m.firstChild.children].map(b => [b.className, +b.style.flexGrow]))])"
    )
    weights = torch.zeros(6, 6, dtype=torch.float64).index_put((pairs.chosen, pairs.rejected), pairs.weight, True)
    for (side, shares), (i, k) in zip(drawn, itertools.permutations(range(6), 2), strict=True):
        total = weights[i, k].item()
        assert side == pytest.approx(100 * math.sqrt(total / weights.max().item()), abs=0.06), (i, k)
        here = (pairs.chosen == i) & (pairs.rejected == k)
        python = {fate: pairs.weight[here & mask].sum().item() for fate, mask in fates.items()}
        assert shares == pytest.approx({fate: value / total for fate, value in python.items() if value > 0}, abs=1e-5)
