"""The explorer in a real Chromium, as a page from disk with the network off and in JupyterLab.

What stands on the screen after each move is compared with what the made-up sweep holds for the stop shown.
"""

import math
import os
import re
import sys
from pathlib import Path

import nbformat
import pytest
from chromium import SliderOnPage, check_against, chromium, open_lab
from synthetic import BUDGETS, DELTAS, HOSTILE, PROMPTS, point, score, sweep, synthetic_explorer

from safedpo.errors import visible
from safedpo.show import tokens

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


def keep(page, name: str) -> None:
    """A screenshot, where a person asked for one: SAFEDPO_SCREENSHOTS names the folder."""
    if folder := os.environ.get("SAFEDPO_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png")


def text(shown: SliderOnPage, name: str) -> str:
    return shown.figure.locator(f"[data-part={name}]").text_content()


def check_texts(shown: SliderOnPage) -> None:
    """Responses, marks, tokens and their sum are those of the stop and the prompt that the controls show."""
    delta, pairs = DELTAS[shown.places()[0]], BUDGETS[shown.places()[1]]
    prompt = int(shown.figure.locator("select").input_value())
    said, reference = (one["responses"][prompt] for one in (point(GIVEN, delta, pairs), GIVEN["reference"]))
    assert text(shown, "prompt") == visible(PROMPTS[prompt])
    assert text(shown, "policy-name") == f"Δ = {delta}, after {pairs} pairs (safedpo, seed 0)"
    for side, one in (("policy", said), ("reference", reference)):
        assert text(shown, side) == visible(one["greedy"])
        marked = shown.figure.locator(f"[data-part={side}] mark").all_text_contents()
        assert marked == [visible(one["greedy"][h.start:h.end]) for h in score("", one["greedy"]).hazards]
    heat = shown.figure.locator(".token")
    assert [t.replace("↵\n", "\n") for t in heat.all_text_contents()] == [visible(piece) for piece in said["tokens"]]
    numbers = heat.evaluate_all("all => all.map(one => one.dataset.number)")
    assert numbers == [f"{ratio:+.3f}" for ratio in said["log_ratios"]]
    assert text(shown, "sum") == visible(repr(tokens(said["tokens"], said["log_ratios"], beta=0.1)))
    total = float(re.search(r"log-ratio (\S+) in all", text(shown, "sum").replace("−", "-"))[1])
    assert total == pytest.approx(math.fsum(map(float, numbers)), abs=0.0005 * len(numbers) + 0.006 * abs(total))


def move_everything(shown: SliderOnPage, figure) -> None:
    """Both sliders by keyboard and mouse, and the prompt by keyboard; everything shown follows."""
    shown.scroll_to()
    check_against(shown, figure)
    check_texts(shown)
    for number in (0, 1):
        for move, by in ((shown.press, "ArrowLeft"), (shown.press, "ArrowRight"), (shown.drag, 0.0), (shown.drag, 0.9)):
            before = shown.places(), shown.sentence(), text(shown, "policy")
            move(by, number=number)
            assert shown.places()[number] != before[0][number] and shown.places()[1 - number] == before[0][1 - number]
            assert shown.sentence() != before[1] and text(shown, "policy") != before[2]
            check_against(shown, figure)
            check_texts(shown)
    shown.figure.locator("select").focus()
    for prompt in range(1, len(PROMPTS)):
        shown.page.keyboard.press("ArrowDown")
        shown.settle()
        assert shown.figure.locator("select").input_value() == str(prompt)
        check_texts(shown)


def test_keyboard_and_mouse_reach_what_python_stored(page, figure):
    shown = SliderOnPage(page.locator(".safedpo"))
    move_everything(shown, figure)
    assert page.evaluate("window.broken") is None and page.locator("img").count() == 0
    keep(page, "explorer-page")


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

    kinds = {"safety margin": lambda place: shown.press("ArrowLeft" if place % 4 < 2 else "ArrowRight"),
             "training budget": lambda place: shown.press("ArrowLeft" if place % 4 < 2 else "ArrowRight", number=1),
             "prompt": lambda place: change(place % len(PROMPTS))}
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
        print(f"{kind}: {script:.1f} ms of script a move, {everything:.1f} ms with layout and painting", file=sys.stderr)
        assert script < 20, kind


@pytest.mark.slow
def test_in_jupyterlab(tmp_path, figure):
    here = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1] / 'show')!r})"
    hostile = "from safedpo.show import tokens\ntokens(list(HOSTILE.values()), [1.0] * len(HOSTILE), beta=0.1)"
    cells = [here, "from synthetic import HOSTILE, synthetic_explorer\nsynthetic_explorer()", hostile]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, tmp_path / "explorer.ipynb")
    with open_lab(tmp_path / "explorer.ipynb", height=1150) as lab:
        (shown,) = lab.sliders()
        move_everything(shown, figure)
        keep(lab.page, "explorer-lab")
        outputs = lab.page.locator(".jp-OutputArea-output")
        assert outputs.locator("img, a, h1, mjx-container, .MathJax").count() == 0
        read = outputs.last.inner_text()
        assert all(word in read for text in HOSTILE.values() for word in visible(text).split())
        assert lab.page.evaluate("window.broken") is None
        assert lab.page.locator(".jp-CodeCell.jp-mod-selected").count() <= 1  # the keys stayed with the controls
        assert not lab.elsewhere
