"""Every reader: both languages, a phone, light and dark, less motion, a screen reader; no colour alone."""

import pytest

from tests.browser.playground.against_python import check_run
from tests.browser.playground.driver import opened
from tests.browser.playground.worlds import SIX, WORLDS, link, slow, some

pytestmark = pytest.mark.browser


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
  const linear = c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = colour => colour.slice(0, 3).reduce((sum, c, i) => sum + linear(c / 255) * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = e => {
    for (; e; e = e.parentElement) {
      const colour = rgb(getComputedStyle(e).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
  };
  const hasText = e => e.matches('input[type=text], select')
    || [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
  return [...document.querySelectorAll('body *')]
    .filter(e => e.checkVisibility() && !e.closest(':disabled, svg, script, style, noscript') && hasText(e))
    .map(e => {
      const [a, b] = [light(rgb(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
      return [(a + 0.05) / (b + 0.05), e.outerHTML.slice(0, 90)];
    })
    .filter(([ratio]) => ratio < 4.5);
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
