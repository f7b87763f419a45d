"""Notebook 02 as a reader meets it: in JupyterLab, and as a page from disk with the network off.

What stands on the screen after each move is compared with the finite world, recomputed here for the stop that the
slider shows: the bars in the plot's data and in pixels, the unsafe mass, and the sentence.
"""

import math
import os
import re
from pathlib import Path

import pytest
from scipy.optimize import brentq

from safedpo.finite import expectation, expected_reward, optimal_policy, six_answers, tv, unsafe_mass
from safedpo.show.pages.site import build_site
from tests.browser.chromium import SliderOnPage, chromium, open_lab

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "02_the_safe_optimum.ipynb"
AXIS_TOP = 1.08  # the probability axis of both figures runs from 0 to here
WORLD = six_answers()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return build_site([NOTEBOOK], tmp_path_factory.mktemp("site"))[1]


def keep(page, name: str) -> None:
    """A screenshot, where a person asked for one: SAFEDPO_SCREENSHOTS names the folder."""
    if folder := os.environ.get("SAFEDPO_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png")


def stop(shown: SliderOnPage) -> list[float]:
    return [math.inf if text == "∞" else float(text) for text in shown.shown()]


def numbers(sentence: str) -> list[float]:
    text = sentence.replace("−", "-").replace("∞", "inf")
    return [float(found) for found in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?|\binf\b", text)]


def check_bars(shown: SliderOnPage, policies: list) -> None:
    """The first traces hold these policies, and their bars have these heights on the screen."""
    drawn = shown.data()[: len(policies)]
    pixels = shown.bar_heights()
    whole = shown.figure.locator(".plot").evaluate("p => p._fullLayout.yaxis._length")
    for place, (trace, policy) in enumerate(zip(drawn, policies, strict=True)):
        mass = policy[0].exp().tolist()
        assert trace["y"] == pytest.approx(mass, rel=1e-6, abs=1e-300), (trace["name"], shown.shown())
        heights = pixels[place * len(mass) : (place + 1) * len(mass)]
        assert heights == pytest.approx([p * whole / AXIS_TOP for p in mass], abs=1.5), (trace["name"], shown.shown())


def check_penalty(shown: SliderOnPage) -> None:
    beta, c = stop(shown)
    finite, hard = optimal_policy(WORLD, beta, penalty=c), optimal_policy(WORLD, beta)
    check_bars(shown, [finite, hard])
    support = 1 - unsafe_mass(WORLD, WORLD.ref_logps).item()
    expected = [c, support, unsafe_mass(WORLD, finite).item(), tv(finite, hard).item()]
    assert numbers(shown.sentence()) == pytest.approx(expected, rel=6e-3), shown.sentence()


def check_budget(shown: SliderOnPage) -> None:
    """The multiplier is SciPy's here; the notebook halves an interval."""
    (beta,) = stop(shown)

    def tilted(lam):
        return (WORLD.ref_logps + (WORLD.reward - lam * WORLD.cost) / beta).log_softmax(-1)

    budget = tilted(brentq(lambda lam: expectation(tilted(lam), WORLD.cost).item(), 0, 50, xtol=1e-15, rtol=1e-15))
    hard = optimal_policy(WORLD, beta)
    check_bars(shown, [budget, hard])
    found = [f(WORLD, p).item() for p in (budget, hard) for f in (unsafe_mass, expected_reward)]
    said = numbers(shown.sentence().replace("cost ≤ 0", "cost"))
    assert said == pytest.approx([beta, *found], rel=6e-3, abs=1e-12), shown.sentence()


def move_both(shown: SliderOnPage) -> None:
    """β and C, each by keyboard and by mouse; after each move everything shown has changed to the new stop's."""
    shown.scroll_to()
    check_penalty(shown)
    for number, label in enumerate(("β", "penalty C")):
        assert shown.figure.locator("label").nth(number).inner_text().startswith(label)
        for move, by in (
            (shown.press, "ArrowRight"),
            (shown.press, "ArrowLeft"),
            (shown.drag, 0.75),
            (shown.drag, 0.4),
        ):
            before = shown.places(), shown.sentence(), shown.bar_heights()
            move(by, number=number)
            assert shown.places()[number] != before[0][number] and shown.places()[1 - number] == before[0][1 - number]
            assert shown.sentence() != before[1] and shown.bar_heights() != before[2]
            check_penalty(shown)
    shown.press("End", number=1)  # C = ∞ is the hard constraint itself
    check_penalty(shown)
    assert "unsafe mass 0," in shown.sentence()


def test_in_jupyterlab():
    with open_lab(NOTEBOOK) as lab:
        figures = lab.sliders()
        assert [len(one.places()) for one in figures] == [1, 2, 1]
        keep(lab.page, "lab-02-end")
        figures[0].scroll_to()
        for key in ("ArrowLeft", "ArrowRight", "Home", "End"):
            figures[0].press(key)
            check_budget(figures[0])
        keep(lab.page, "lab-02-budget")
        move_both(figures[1])
        figures[1].drag(0.3, number=1)
        keep(lab.page, "lab-02-penalty")
        assert lab.page.locator(".jp-CodeCell.jp-mod-selected").count() <= 1  # the keys stayed with the sliders
        assert all(mark.isdigit() for mark in lab.marks())
        assert not lab.elsewhere


def test_as_a_page_from_disk_with_the_network_off(site):
    with chromium() as browser:
        page = browser.new_context(viewport={"width": 1000, "height": 900}, offline=True).new_page()
        asked, failed = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: failed.append(str(error)))
        page.goto(site.as_uri())
        budget, both, _ = (SliderOnPage(figure) for figure in page.locator(".safedpo").all())
        for key in ("ArrowLeft", "ArrowRight", "Home", "End"):
            budget.press(key)
            check_budget(budget)
        keep(page, "page-02-budget")
        move_both(both)
        both.drag(0.3, number=1)
        keep(page, "page-02-penalty")
        assert not failed
        assert asked and all(url.startswith(("file:", "blob:", "data:")) for url in asked), asked


def test_the_page_stays_under_6_mb_with_its_library(site):
    assert sum(file.stat().st_size for file in site.parent.iterdir()) < 6e6
