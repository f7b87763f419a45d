"""A saved page, opened from disk in a real Chromium with the network off."""

import pytest

from safedpo.show import Slider, Stops
from tests.browser.chromium import SliderOnPage, check_against, chromium

pytestmark = pytest.mark.browser

# Every path and text of the picture as the screen has it, without the order and the random names of its parts.
PICTURE = """
plot => [...plot.querySelectorAll('.cartesianlayer path, .cartesianlayer text, .infolayer path, .infolayer text')]
  .filter(part => !part.closest('defs')).map(part => {
    const look = getComputedStyle(part);
    return [part.getAttribute('d') || part.textContent, part.getAttribute('transform'), look.stroke, look.strokeWidth,
            look.strokeDasharray, look.fill.replace(/url.*/, 'hatch'), look.opacity, look.display].join('|');
  }).sort()
"""


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport={"width": 800, "height": 800}, offline=True)
    page = context.new_page()
    asked, failed = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: failed.append(str(error)))
    yield page
    context.close()
    assert not failed and all(url.startswith(("file:", "blob:", "data:")) for url in asked), (failed, asked)


def open_page(page, figure, folder) -> SliderOnPage:
    page.goto(figure.save(folder / "figure.html").as_uri())
    return SliderOnPage(page.locator(".safedpo"))


@pytest.mark.parametrize("name", ["policies", "penalty", "loss", "path", "pareto", "curves"])
def test_keyboard_and_mouse_reach_what_python_computed(name, page, tmp_path, sliders):
    figure = sliders[name]
    shown = open_page(page, figure, tmp_path)
    check_against(shown, figure)
    for number, stops in enumerate(figure.stops):
        last = len(stops.values) - 1
        shown.press("Home", number=number)
        assert shown.places()[number] == 0
        shown.press("ArrowRight", 2, number=number)
        assert shown.places()[number] == 2
        check_against(shown, figure)
        shown.drag(1.0, number=number)
        assert shown.places()[number] == last
        check_against(shown, figure)
        shown.drag(1 / last, number=number)
        assert shown.places()[number] == 1
        check_against(shown, figure)


@pytest.mark.parametrize("name", ["policies", "penalty", "loss", "path", "pareto", "curves"])
def test_a_picture_reached_by_moving_is_the_picture_drawn_afresh(name, page, tmp_path, sliders):
    figure = sliders[name]
    shown = open_page(page, figure, tmp_path)
    for number in range(len(figure.stops)):
        shown.press("End", number=number)
        shown.press("ArrowLeft", number=number)
    moved, places = shown.figure.locator(".plot").evaluate(PICTURE), shown.places()
    starts = [Stops(s.label, s.values, start=s.values[place]) for s, place in zip(figure.stops, places, strict=True)]
    afresh = open_page(page, Slider(figure.frames, starts), tmp_path)
    assert afresh.places() == places
    assert afresh.figure.locator(".plot").evaluate(PICTURE) == moved


def test_the_page_says_what_it_shows_to_those_who_do_not_see_it(page, tmp_path, sliders):
    figure = sliders["policies"]
    shown = open_page(page, figure, tmp_path)
    slider = page.get_by_role("slider", name="β")
    shown.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") == shown.shown()[0]
    assert shown.figure.locator(".plot").get_attribute("aria-label") == shown.sentence()
    assert shown.figure.locator("output").get_attribute("aria-live") == "polite"


def test_nothing_is_wider_than_a_phone(browser, tmp_path, sliders):
    context = browser.new_context(viewport={"width": 360, "height": 740}, offline=True, has_touch=True)
    page = context.new_page()
    for figure in sliders.values():
        open_page(page, figure, tmp_path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
    context.close()


def test_two_outputs_share_one_library_and_require_js_does_not_swallow_it(page, tmp_path, sliders):
    outputs = [sliders[name]._repr_mimebundle_()["text/html"] for name in ("policies", "path")]
    file = tmp_path / "page.html"
    taken = "<script>window.taken = 0; window.define = () => taken++; define.amd = true; var module = {};</script>"
    file.write_text('<!doctype html><meta charset="utf-8">' + taken + "".join(outputs), encoding="utf-8")
    page.goto(file.as_uri())
    for number, name in enumerate(("policies", "path")):
        shown = SliderOnPage(page.locator(".safedpo").nth(number))
        shown.press("ArrowRight")
        check_against(shown, sliders[name])
    assert page.evaluate("taken") == 0
    assert page.evaluate("[...document.scripts].filter(s => s.text.startsWith('(function (define')).length") == 1


@pytest.mark.alone
def test_a_move_costs_the_page_under_20_ms(page, tmp_path, sliders):
    """Processor time of the page's own thread (script, layout and painting): waiting does not count, but two threads that
    share a core are each slower. The best round counts, for other work only adds: six rounds, and up to thirty if none is good."""
    for name in ("policies", "loss", "penalty", "path"):
        shown = open_page(page, sliders[name], tmp_path)
        shown.press("Home")
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})

        def spent(session=session) -> float:
            metrics = session.send("Performance.getMetrics")["metrics"]
            return next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration")

        shown.press("ArrowRight", 5)  # the page's compiler has seen each line
        shown.press("Home")
        before, rounds = spent(), []
        while len(rounds) < 6 or (len(rounds) < 30 and min(rounds) >= 0.020):
            costs = []
            for key in ["ArrowRight"] * 3 + ["ArrowLeft"] * 3:
                shown.press(key)
                costs.append(spent() - before)
                before += costs[-1]
            rounds.append(sorted(costs)[3])
        median = min(rounds)
        print(f"{name}: {1000 * median:.1f} ms a move")
        assert median < 0.020


def test_boxes_are_ticked_by_mouse_and_keyboard(page, tmp_path):
    from safedpo.labs.lessons import hand

    figure = hand.toggled(1)
    shown = open_page(page, figure, tmp_path)
    check_against(shown, figure)
    assert shown.places() == [0, 0, 1, 1, 0]
    for number, places in ((4, [0, 0, 1, 1, 1]), (2, [0, 0, 0, 1, 1]), (4, [0, 0, 0, 1, 0])):
        shown.input(number).click()
        shown.settle()
        assert shown.places() == places
        check_against(shown, figure)
    shown.press("Space", number=0)
    assert shown.places() == [1, 0, 0, 1, 0]
    check_against(shown, figure)
