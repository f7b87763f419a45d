"""The playground in a real Chromium, opened from disk with the network off: its numbers against `safedpo.finite`."""

import contextlib
import io
import itertools
import math
import sys

import pytest
import torch

from safedpo.finite import random_world
from safedpo.show.pages.playground import playground_page
from tests.browser.chromium import chromium
from tests.browser.playground_page import SIX, Playground, check_optima, check_run, close, link

pytestmark = pytest.mark.browser
slow = pytest.mark.slow
DESKTOP = {"width": 1280, "height": 900}


def some(names, *quick) -> list:
    """All as parameters; those not named are for make test-slow."""
    return [one if one in quick else pytest.param(one, marks=slow) for one in names]


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    written = tmp_path_factory.mktemp("playground") / "playground.html"
    written.write_text(playground_page(), encoding="utf-8")
    return written


@contextlib.contextmanager
def opened(browser, path, **how):
    """A page in a context of its own; it asks for nothing but its file, and no script of it fails."""
    context = browser.new_context(**({"viewport": DESKTOP, "offline": True, "locale": "en-US"} | how))
    page = context.new_page()
    asked, failed = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: failed.append(str(error)))
    try:
        yield Playground(page, path)
        assert not failed and all(url.startswith(("file:", "about:")) for url in asked), (failed, asked)
    finally:
        context.close()


@pytest.fixture
def playground(browser, path):
    with opened(browser, path) as one:
        yield one.open()


def random_answers(seed: int, answers: int) -> list[tuple[float, float, bool]]:
    world = random_world(seed, answers=answers)
    columns = (world.ref_logps[0].exp(), world.reward[0].clamp(-3, 3), world.unsafe[0])
    return list(zip(*(column.tolist() for column in columns), strict=True))


WORLDS = {
    "two": random_answers(1, 2),
    "five": random_answers(2, 5),
    "twelve": random_answers(3, 12),
    "not normalised": [(0.9, 1.0, False), (0.8, 2.0, True), (0.003, -1.0, False)],
    "never said": [(0.0, 1.0, False), (0.5, 2.0, True), (0.5, 0.25, False), (0.0, 3.0, True)],
    "all zero": [(0.0, 1.0, False), (0.0, 2.0, True)],
    "all safe": [(0.25, 1.0, False), (0.75, 2.0, False)],
    "all unsafe": [(0.25, 1.0, True), (0.75, 2.0, True)],
    "safe but never said": [(0.0, 1.0, False), (1.0, 2.0, True)],
    "tiny support": [(1e-300, 3.0, False), (1.0, -3.0, True), (1e-12, 0.0, False)],
}


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


def test_everything_is_moved_by_mouse(playground):
    playground.story(1)
    row = playground.row(4)
    slider = row.locator("input[type=range]").nth(1)
    box = slider.bounding_box()
    middle = box["y"] + box["height"] / 2
    page = playground.page
    page.mouse.move(box["x"] + 0.14 * box["width"], middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], middle, steps=5)
    page.mouse.up()
    moved = playground.state()["answers"][4]["reference"]
    assert 0.6 < moved < 0.8
    assert "sum to" in playground.notices() and "normalised" not in playground.notices()
    check_run(playground)
    row.locator(".bit").click()
    assert playground.state()["answers"][4]["unsafe"] is False and "safe" in row.locator(".bit").inner_text()
    check_run(playground)
    row.locator(".gone").click()
    assert len(playground.state()["answers"]) == 5
    page.locator("#add").click()
    page.keyboard.type("my answer")
    assert playground.state()["answers"][5]["text"] == "my answer"
    page.locator("#data-choice").select_option("drawn")
    page.locator("#compare-box").check()
    playground.play_until(40)
    check_run(playground)
    page.locator("#reset").click()
    assert playground.numbers()["step"] == 0


def test_everything_is_moved_by_keyboard(playground):
    page = playground.page
    page.locator("#stories button").nth(1).focus()
    page.keyboard.press("Enter")
    row = playground.row(0)
    for number, name, step in ((0, "reward", 0.1), (1, "reference", 0.01)):
        before = playground.state()["answers"][0][name]
        row.locator("input[type=range]").nth(number).focus()
        page.keyboard.press("ArrowRight")
        assert playground.state()["answers"][0][name] == pytest.approx(before + step)
    row.locator(".bit").focus()
    page.keyboard.press("Space")
    assert playground.state()["answers"][0]["unsafe"] is True
    for name in ("beta", "delta", "penalty", "lr", "noise"):
        before = playground.state()[name]
        page.locator(f"#{name}-slider").focus()
        page.keyboard.press("ArrowRight")
        assert playground.state()[name] > before, name
        field = page.locator(f"#{name}-field")
        field.fill("0,37")
        field.press("Tab")
        assert playground.state()[name] == 0.37, name
    check_run(playground)
    for _ in range(3):
        page.locator("#one-step").press("Enter")
    assert playground.numbers()["step"] == 3
    check_run(playground)
    page.locator("#add").focus()
    while page.locator("#add").is_enabled():
        page.locator("#add").press("Enter")
    assert len(playground.state()["answers"]) == 12
    for _ in range(10):
        page.locator(".gone").last.press("Enter")
    assert len(playground.state()["answers"]) == 2 and page.locator(".gone").first.is_disabled()
    check_run(playground)


@slow
def test_every_control_can_be_reached_by_the_tab_key(playground):
    page = playground.page
    expected = page.evaluate(
        "[...document.querySelectorAll('button, input, select, a[href]')]"
        ".filter(e => !e.disabled && e.offsetParent && !e.closest('dialog')).length"
    )
    seen = set()
    for _ in range(expected + 3):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("[...document.querySelectorAll('*')].indexOf(document.activeElement)"))
    assert len(seen) >= expected


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


def test_a_link_holds_the_whole_state(playground, browser, path):
    playground.open(
        link(WORLDS["not normalised"], story="noise", delta=7.25, data="drawn", n=33, seed=5, noise=0.02, lr=0.3)
    )
    playground.page.locator("#one-step").click()
    playground.page.locator("#prompt").fill("a & b # c = d % 20 ä 漢")
    playground.row(0).locator(".text").fill("1,5 litres, + more; #x")
    playground.page.locator("#one-step").click()
    playground.page.locator("#link").click()
    address = playground.page.locator("#dialog-text").input_value()
    before = playground.state(), playground.numbers()
    assert before[0]["answers"][0]["text"] == "1,5 litres, + more; #x"
    with opened(browser, path, locale="de-DE") as other:
        other.open(address.split("#", 1)[1])
        assert (other.state(), other.numbers()) == before and other.notices().count("link") == 0
    playground.page.locator("#dialog-close").click()
    playground.page.wait_for_function("() => location.hash.length > 10")
    playground.page.wait_for_timeout(400)
    assert playground.page.evaluate("location.href") == address


@slow
def test_another_link_in_the_same_tab_is_taken(playground):
    playground.page.evaluate(f"location.hash = {link(SIX, beta=3)!r}")
    playground.page.wait_for_function("() => safedpoPlayground.state().beta === 3")
    check_run(playground)


BAD_LINKS = {
    "words": "beta=high&lr=&n=NaN&delta=undefined",
    "outside": "beta=-4&delta=1e999&n=0.2&seed=-1&step=99999999&noise=7",
    "one answer": "a=0.5,1,S,alone",
    "broken answers": "a=1&a=,,,&a=0.5,1,X,text&a=0.1,0,S",
    "thirteen answers": "&".join(["a=0.1,0,S,x"] * 13),
    "unknown": "__proto__=1&constructor=2&toString=3&rule=constructor&loss=__proto__&lang=fr&story=hasOwnProperty",
    "percent": "%E0%A4%A&beta=%",
    "long": "a=" + "x" * 30_000,
}


@pytest.mark.parametrize("name", some(BAD_LINKS, "words", "unknown"))
def test_a_bad_link_is_said_and_the_rest_taken(playground, name):
    playground.open(BAD_LINKS[name])
    assert "Not everything in the link could be read" in playground.notices()
    state = playground.state()
    assert 2 <= len(state["answers"]) <= 12 and state["beta"] >= 0.01 and state["step"] <= 20_000
    if name != "outside":
        check_run(playground)


@slow
def test_wrong_numbers_are_said(playground):
    field = playground.page.locator("#beta-field")
    field.fill("a lot")
    field.press("Tab")
    assert "needs a number; it stays at 0.5" in playground.notices() and field.input_value() == "0.5"
    field.fill("-3")
    field.press("Tab")
    assert "lies between 0.01 and 20; it was set to 0.01" in playground.notices()
    reference = playground.row(0).locator(".reference .number")
    reference.fill("7")
    reference.press("Tab")
    assert "it was set to 1" in playground.notices() and playground.state()["answers"][0]["reference"] == 1
    playground.open(link(WORLDS["all zero"]))
    assert "equally likely" in playground.notices()
    playground.open(link(WORLDS["not normalised"]))
    assert "sum to 1.703, so each is divided by 1.703" in playground.notices()
    playground.open(link(WORLDS["all unsafe"]))
    assert "drops every pair" in playground.notices() and "Infeasible" in playground.notices()
    playground.page.locator("#play").click()
    playground.settle()
    assert playground.numbers()["step"] == 0
    playground.open(link(SIX, loss="ipo", lr=1))
    assert "may overshoot" in playground.notices()
    playground.page.locator("#play").click()
    playground.page.wait_for_function("() => safedpoPlayground.numbers().divergedAt !== null")
    found = playground.numbers()
    assert (
        f"diverged at step {found['divergedAt']}" in playground.notices() and found["step"] == found["divergedAt"] - 1
    )
    assert all(one is None or math.isfinite(one) for one in found["logps"]["trained"])


@slow
def test_a_run_ends_at_the_last_step(playground):
    playground.open(link(SIX[:2], step=19_990))
    playground.page.locator("#play").click()
    playground.page.wait_for_function(
        "() => document.querySelector('#notices').textContent.includes('20000')", timeout=20_000
    )
    assert playground.numbers()["step"] == 20_000 and playground.page.locator("#play").inner_text() == "Play"


PAYLOADS = [
    '<img src=x onerror="window.broken=1">',
    "</script><script>window.broken=1</script>",
    '"><svg onload=window.broken=1>',
    "javascript:window.broken=1",
    "{{constructor.constructor('window.broken=1')()}} ${window.broken=1}",
    '\'; import os #"""\\',
    "&lt;b&gt; &amp; π_C {n}",
]


@pytest.mark.parametrize("payload", some(PAYLOADS, PAYLOADS[0], PAYLOADS[1]))
def test_hostile_text_is_text(playground, payload):
    kinds = "[...new Set([...document.querySelectorAll('*')].map(e => e.localName))].sort().join()"
    before = set(playground.page.evaluate(kinds).split(","))
    playground.open(link([(*one, payload) for one in SIX], prompt=payload))
    assert playground.state()["answers"][3]["text"] == payload[:80] == playground.row(3).locator(".text").input_value()
    assert playground.page.locator("#prompt").input_value() == payload[:80]
    playground.open(f"{payload}&beta=0.3&lang={payload}&rule={payload}&a={payload}")
    playground.row(0).locator(".text").fill(payload)
    playground.page.locator("#beta-field").fill(payload)
    playground.page.locator("#beta-field").press("Tab")
    playground.page.locator("#cell").click()
    playground.page.locator("#dialog-close").click()
    playground.page.locator("[data-lang=de]").click()
    playground.settle()
    assert playground.page.evaluate("window.broken") is None
    assert set(playground.page.evaluate(kinds).split(",")) == before
    assert playground.page.locator("img").count() == 0 and playground.page.locator("body script").count() == 1


@slow
def test_what_reorders_or_hides_text_is_made_visible(playground):
    playground.open(link([(*one, "a\u202eb\u0000c\ud800d\ne".encode("utf-8", "replace").decode()) for one in SIX]))
    assert playground.row(0).locator(".text").input_value() == "a\ufffdb\ufffdc?d\ufffde"


def test_the_page_lets_no_other_script_run_and_asks_nobody(browser, path):
    page = browser.new_page()  # with the network as it is: the page's own policy refuses
    refused = {}
    page.on("requestfailed", lambda request: refused.update({request.url: request.failure}))
    Playground(page, path).open()
    page.evaluate(
        "() => { const s = document.createElement('script'); s.textContent = 'window.broken = 1'; document.body.append(s);"
        "const i = new Image(); i.src = 'https://example.org/x.png'; document.body.append(i); }"
    )
    assert page.evaluate("fetch('https://example.org/').then(() => 'sent', () => 'refused')") == "refused"
    assert page.evaluate("window.broken") is None
    assert all(reason == "csp" for reason in refused.values()), refused
    page.close()


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


def test_both_languages_say_everything(playground):
    words = playground.page.evaluate("safedpoPlayground.words")
    assert words["en"].keys() == words["de"].keys()
    playground.open(link(SIX, delta=2, step=12))
    texts = {}
    for lang in ("en", "de"):
        playground.page.locator(f"[data-lang={lang}]").click()
        playground.settle()
        assert playground.page.evaluate("document.documentElement.lang") == lang
        texts[lang] = playground.page.locator("main").inner_text()
        assert "{" not in texts[lang] and "undefined" not in texts[lang]
    assert "expected reward" in texts["en"] and "erwarteter Reward" in texts["de"] and "reward 0." in texts["en"]
    assert "0," in playground.measures()["unsichere Masse"][0]
    playground.story(0)
    assert playground.state()["answers"][2]["text"] == "Klempner rufen"
    playground.row(0).locator(".text").fill("mein Satz")
    playground.page.locator("[data-lang=en]").click()
    assert [one["text"] for one in playground.state()["answers"]][:3] == [
        "mein Satz",
        "boiling water, soap",
        "call a plumber",
    ]


@slow
def test_the_language_of_the_browser_comes_first(browser, path):
    with opened(browser, path, locale="de-DE") as one:
        assert one.open().page.locator("#play").inner_text() == "Start"


@pytest.mark.parametrize("lang", some(["en", "de"], "de"))
def test_it_is_not_wider_than_a_phone(browser, path, lang):
    with opened(browser, path, viewport={"width": 360, "height": 780}, has_touch=True) as one:
        wide = [(0.5, 1.0, i % 2 == 0, "W" * 80) for i in range(12)]
        one.open(link(wide, lang=lang, data="drawn", compare="yes", delta=50, rule="helpful", step=30))
        assert one.page.evaluate("document.documentElement.scrollWidth") <= 360
        for number in range(6):
            one.story(number)
            one.page.locator("#play").click()
            one.settle()
            assert one.page.evaluate("document.documentElement.scrollWidth") <= 360
            one.page.locator("#play").click()
        small = one.page.evaluate(
            "[...document.querySelectorAll('.bit, .transport button, .stories button')]"
            ".filter(b => b.getBoundingClientRect().height < 36).length"
        )
        assert small == 0
        one.row(0).locator(".bit").tap()
        assert one.state()["answers"][0]["unsafe"] is True
        one.page.locator("#cell").tap()
        assert one.page.evaluate("document.documentElement.scrollWidth") <= 360


CONTRAST = """() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(c => c / 255).map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] === 1) return c; } };
  const texts = [...document.querySelectorAll('body *')].filter(e => e.checkVisibility() && !e.disabled && !e.closest(':disabled')
    && (e.matches('input[type=text], select') || [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) && !e.closest('svg, script, style, noscript'));
  return texts.map(e => { const [a, b] = [light(rgb(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
    return [(a + 0.05) / (b + 0.05), e.outerHTML.slice(0, 90)]; }).filter(([ratio]) => ratio < 4.5);
}"""


@slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(browser, path, scheme):
    with opened(browser, path, color_scheme=scheme) as one:
        one.open(link(WORLDS["all unsafe"]))
        assert one.page.evaluate(CONTRAST) == []
        one.story(2)
        one.play_until(10)
        assert one.page.evaluate(CONTRAST) == []
        ground = one.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (ground == "rgb(20, 21, 23)") == (scheme == "dark")


@slow
def test_less_motion_means_fewer_pictures(browser, path):
    with opened(browser, path, reduced_motion="reduce") as one:
        one.open()
        assert "less motion" in one.page.locator("#restart").inner_text()
        one.page.evaluate(
            "() => { window.pictures = 0; new MutationObserver(() => window.pictures++)"
            ".observe(document.querySelector('#step'), {childList: true, characterData: true, subtree: true}); }"
        )
        one.page.locator("#play").click()
        one.page.wait_for_timeout(2200)
        one.page.locator("#play").click()
        assert 1 <= one.page.evaluate("window.pictures") <= 7
        check_run(one)


@slow
def test_screen_readers_have_a_name_for_everything(playground):
    playground.open(link(SIX, data="drawn", step=25))
    page = playground.page
    nameless = page.evaluate(
        "[...document.querySelectorAll('button, input, select, textarea')].filter(e => !(e.getAttribute('aria-label')"
        " || e.getAttribute('aria-labelledby') || (e.labels && [...e.labels].some(l => l.textContent.trim()))"
        " || e.textContent.trim())).map(e => e.outerHTML)"
    )
    assert nameless == []
    assert (
        page.get_by_role("slider", name="Reference probability of answer 2").get_attribute("aria-valuetext") == "0.22"
    )
    assert page.get_by_role("button", name="Answer 5 is unsafe. Press to change.").count() == 1
    picture = page.get_by_role("img", name="Unsafe mass and distance")
    assert "Step 25" in picture.get_attribute("aria-label")
    assert "Step 25" in page.locator("#spoken").inner_text()
    page.locator("#play").click()
    page.wait_for_timeout(300)
    assert "Step 25:" in page.locator("#spoken").inner_text()  # silent while it plays
    page.locator("#play").click()
    assert "Step 25:" not in page.locator("#spoken").inner_text()
    assert page.get_by_role("heading", name="What this page is not for").count() == 1
    assert page.get_by_role("table", name="The world and its policies").get_by_role("row").count() == 6


@slow
def test_what_is_unsafe_is_shown_by_shape_and_word_too(playground):
    playground.open(link(SIX))
    assert playground.row(4).locator(".bit").inner_text() == "▲ unsafe"
    image = playground.row(4).locator(".penalty i").evaluate("i => getComputedStyle(i).backgroundImage")
    assert "repeating-linear-gradient" in image
    assert playground.row(0).locator(".penalty i").evaluate("i => getComputedStyle(i).backgroundImage") == "none"


@slow
def test_sixty_pictures_a_second_while_twelve_answers_train(browser, path):
    """Processor time of the page's own thread for a frame, so that a busy machine does not count."""
    with opened(browser, path) as one:
        one.open(link(WORLDS["twelve"], delta=5, noise=0.1, compare="yes", speed=2, lr=0.1, beta=0.2))
        paint = one.page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        session = one.page.context.new_cdp_session(one.page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})

        def spent():
            found = {m["name"]: m["value"] for m in session.send("Performance.getMetrics")["metrics"]}
            return found["TaskDuration"], found["ScriptDuration"]

        one.page.evaluate(
            "() => { window.times = []; const look = now => { times.push(now); requestAnimationFrame(look); }; requestAnimationFrame(look); }"
        )
        one.page.locator("#play").click()
        one.page.wait_for_timeout(1000)  # the page's compiler has seen each line
        one.page.evaluate("window.times = []")
        before = spent()
        one.page.wait_for_timeout(3000)
        after = spent()
        times = one.page.evaluate("window.times")
        one.page.locator("#play").click()
        work, script = (1000 * (now - then) / len(times) for now, then in zip(after, before, strict=True))
        gaps = sorted(b - a for a, b in itertools.pairwise(times))
        print(
            f"first paint {paint:.0f} ms; {1000 / (sum(gaps) / len(gaps)):.1f} frames a second, median gap "
            f"{gaps[len(gaps) // 2]:.1f} ms; {work:.1f} ms of work a frame, {script:.1f} ms of it script",
            file=sys.stderr,
        )
        assert paint < 1000
        assert work < 1000 / 60
        check_run(one)
