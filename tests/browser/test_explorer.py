"""The explorer in a real Chromium, as a page from disk with the network off.

What stands on the screen after each move is compared with what the sweep holds for the stop shown: a made-up sweep, and
the shipped one.
"""

import json
import sys

import pytest

from safedpo import household
from safedpo.errors import visible
from safedpo.show import explorer
from tests.browser.chromium import SliderOnPage, chromium
from tests.browser.explorer_page import SHIPPED, keep, move_everything, needs_the_shipped_sweep
from tests.show.synthetic import HOSTILE, PROMPTS, score, sweep, synthetic_explorer

pytestmark = pytest.mark.browser
GIVEN = sweep()
SIZE = {"width": 1000, "height": 1150}


@pytest.fixture(scope="module")
def figure():
    return synthetic_explorer()


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture
def page(browser, figure, tmp_path):
    context = browser.new_context(viewport=SIZE, offline=True)
    page = context.new_page()
    asked, failed = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: failed.append(str(error)))
    page.goto(figure.save(tmp_path / "explorer.html").as_uri())
    yield page
    context.close()
    assert not failed and all(url.startswith(("file:", "blob:", "data:")) for url in asked), (failed, asked)


def test_keyboard_and_mouse_reach_what_python_stored(page, figure):
    shown = SliderOnPage(page.locator(".safedpo"))
    move_everything(shown, figure, GIVEN, score)
    assert page.evaluate("window.broken") is None and page.locator("img").count() == 0
    keep(page, "explorer-page")


@needs_the_shipped_sweep
def test_the_shipped_sweep_is_what_its_page_shows(page, tmp_path):
    content = json.loads(SHIPPED.read_text(encoding="utf-8"))
    figure = explorer(content, household.score)
    page.goto(figure.save(tmp_path / "shipped.html").as_uri())
    shown = SliderOnPage(page.locator(".safedpo"))
    before = shown.places()
    move_everything(shown, figure, content, household.score)  # compares what is shown after every move
    assert shown.places() != before
    keep(page, "explorer-shipped")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_plain_text(name, page):
    shown = SliderOnPage(page.locator(".safedpo"))
    shown.figure.locator("select").select_option(str(1 + list(HOSTILE).index(name)))
    shown.press("Home")
    read = page.locator(".reading").inner_text()
    for word in visible(HOSTILE[name]).split():
        assert word in read
    # Neither pictures, links, headings of its own nor formulas were made of it, and no script ran.
    made = page.locator(".reading").evaluate("r => [...r.querySelectorAll('*')].map(e => e.localName)")
    assert set(made) <= {"style", "div", "label", "select", "option", "p", "h4", "span", "mark", "b", "sub", "output"}
    assert page.evaluate("window.broken") is None
    keep(page, f"explorer-{name}")


def test_a_token_tells_its_number_to_the_keyboard_and_to_a_screen_reader(page):
    shown = SliderOnPage(page.locator(".safedpo"))
    shown.figure.locator("select").focus()
    page.keyboard.press("Tab")
    one = page.locator(".token").first
    assert one.evaluate("t => t === document.activeElement")
    number = one.get_attribute("data-number")
    assert number in one.get_attribute("aria-label")
    assert number in one.evaluate("t => getComputedStyle(t, '::after').content")


def test_what_is_unsafe_is_marked_by_shape_and_word_too(page):
    shown = SliderOnPage(page.locator(".safedpo"))
    shown.press("Home")
    mark = page.locator("[data-part=policy] mark").first
    assert "unsafe" in mark.evaluate("m => getComputedStyle(m, '::before').content")
    assert "wavy" in mark.evaluate("m => getComputedStyle(m).textDecorationStyle")
    live = page.locator(".safedpo output").evaluate_all("all => all.map(one => one.getAttribute('aria-live'))")
    assert live == ["polite", "polite"]
    assert page.get_by_role("combobox", name="prompt").count() == 1


def test_it_is_not_wider_than_a_phone(browser, figure, tmp_path):
    context = browser.new_context(viewport={"width": 360, "height": 740}, offline=True, has_touch=True)
    page = context.new_page()
    page.goto(figure.save(tmp_path / "explorer.html").as_uri())
    shown = SliderOnPage(page.locator(".safedpo"))
    for prompt in range(len(PROMPTS)):
        shown.figure.locator("select").select_option(str(prompt))
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
    keep(page, "explorer-phone")
    context.close()


def test_a_move_costs_the_page_under_20_ms_of_script(page):
    """Processor time of the page's own thread, so that a busy machine does not count; layout and painting beside it."""
    shown = SliderOnPage(page.locator(".safedpo"))
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def spent() -> tuple[float, float]:
        found = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
        return found["ScriptDuration"], found["TaskDuration"]

    def change(prompt):
        shown.figure.locator("select").select_option(str(prompt))
        shown.settle()

    kinds = {
        "safety margin": lambda place: shown.press("ArrowLeft" if place % 4 < 2 else "ArrowRight"),
        "training budget": lambda place: shown.press("ArrowLeft" if place % 4 < 2 else "ArrowRight", number=1),
        "prompt": lambda place: change(place % len(PROMPTS)),
    }
    for kind, move in kinds.items():
        for place in range(8):  # the page's compiler has seen each line
            move(place)
        costs, before = [], spent()
        for place in range(20):
            move(place)
            now = spent()
            costs.append([after - then for after, then in zip(now, before, strict=True)])
            before = now
        script, everything = (sorted(column)[10] * 1000 for column in zip(*costs, strict=True))
        print(
            f"{kind}: {script:.1f} ms of script a move, {everything:.1f} ms with layout and painting", file=sys.stderr
        )
        assert script < 20, kind
