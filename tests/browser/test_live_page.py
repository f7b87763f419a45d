"""The live page before any model is loaded: readers, languages, widths, refusals. No network but the own server."""

import json
import re
import shutil

import pytest

from tests.browser.explorer_page import keep
from tests.browser.live_page import live_page, page_without_model, served

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return page_without_model(tmp_path_factory.mktemp("live"))


def uncovered(page) -> None:
    """Show what a loaded model would show, so that layout and names of all controls can be looked at."""
    page.evaluate(
        "for (const one of document.querySelectorAll('main [hidden]')) if (one.id !== 'problem') one.hidden = false"
    )


def test_every_control_has_a_name_and_every_text_both_languages(running, folder):
    with live_page(running, folder, locale="en-GB") as shown:
        shown.open()
        uncovered(shown.page)
        names = shown.page.locator("button, select, textarea, input, progress").evaluate_all(
            "all => all.map((one) => one.getAttribute('aria-label') || one.textContent.trim() || one.labels?.[0]?.textContent.trim()"
            " || document.getElementById(one.getAttribute('aria-labelledby'))?.textContent)"
        )
        assert all(names), names
        assert shown.page.evaluate("document.documentElement.lang") == "en"
        english = shown.page.locator("[data-text]").all_text_contents()
        shown.page.get_by_role("button", name="Deutsch").click()
        german = shown.page.locator("[data-text]").all_text_contents()
        same = {one for one, other in zip(english, german, strict=True) if one == other}
        assert shown.page.evaluate("document.documentElement.lang") == "de" and same <= {"Δ = 0", "Δ = 10"}, same
        texts = shown.page.evaluate("import('./page/texts.js').then(({ TEXTS }) => TEXTS)")
        assert texts["en"].keys() == texts["de"].keys()
        for key, text in texts["en"].items():
            holes = [sorted(re.findall(r"\{\w+\}", one)) for one in (text, texts["de"][key])]
            assert holes[0] == holes[1], key
            assert not re.search(r"\bundefined\b", text)
        home = shown.page.get_by_role("link", name="Alle Lektionen")
        assert home.is_visible() and home.get_attribute("href") == "../index.html"
        assert "Lehrbeispiel, kein sicherer Assistent" in shown.page.locator(".warning").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "de"])
def test_a_phone_shows_everything_within_360_pixels(running, folder, scheme, language):
    context = {
        "viewport": {"width": 360, "height": 740},
        "color_scheme": scheme,
        "locale": language,
        "reduced_motion": "reduce",
    }
    with live_page(running, folder, **context) as shown:
        shown.open()
        assert (
            shown.page.locator("#language").evaluate("e => e.getClientRects()[0].height") < 40
        )  # its word is not broken
        uncovered(shown.page)
        for part in shown.page.locator("details").all():
            part.locator("summary").click()
        width = shown.page.evaluate("document.documentElement.scrollWidth")
        small = shown.page.locator("main *:visible").evaluate_all(
            "all => all.filter((one) => parseFloat(getComputedStyle(one).fontSize) < 12).map((one) => one.id || one.tagName)"
        )
        assert width == 360 and not small
        ink, paper = shown.page.evaluate(
            "(({ color, backgroundColor }) => [color, backgroundColor])(getComputedStyle(document.body))"
        )
        light = [sum(map(int, re.findall(r"\d+", colour)[:3])) / 3 for colour in (ink, paper)]
        assert (light[1] - light[0] > 180) == (scheme == "light") and (light[0] - light[1] > 180) == (scheme == "dark")
        keep(shown.page, f"live-{scheme}-{language}")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("WebAssembly.validate = () => false", "no WebAssembly SIMD"),
        ("Object.defineProperty(Navigator.prototype, 'deviceMemory', { get: () => 1 })", "too little memory"),
        ("delete globalThis.DecompressionStream", "lacks DecompressionStream"),
    ],
)
def test_a_browser_that_cannot_says_why(running, folder, script, words):
    with live_page(running, folder, locale="en-GB") as shown:
        shown.page.add_init_script(script)
        shown.open()
        assert words in shown.page.locator("#problem").inner_text() and not shown.page.locator("#load").is_visible()


def test_a_model_that_cannot_be_loaded_is_a_sentence(running, folder):
    with live_page(running, folder, locale="en-GB") as shown:
        shown.open()
        shown.page.locator("#load").click()
        shown.page.locator("#problem:visible").wait_for()
        assert "That did not work" in shown.page.locator("#problem").inner_text()
        assert shown.page.locator("#load").is_enabled()


def test_a_missing_manifest_is_a_sentence(running, folder, tmp_path):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "manifest.json").unlink()
    with live_page(running, tmp_path, locale="en-GB") as shown:
        shown.open()
        assert "manifest.json: 404" in shown.page.locator("#problem").inner_text()


def test_from_disk_the_page_asks_for_a_server(running, folder):
    page = running.new_page()
    page.goto((folder / "index.html").as_uri())
    assert "python -m http.server" in page.locator("#problem:visible").inner_text()
    page.close()


def test_the_policy_of_the_page_allows_no_other_server_and_no_inline_script(running, folder):
    index = (folder / "index.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in index and "unsafe-inline" not in index and " style=" not in index
    with served(folder) as address:
        page = running.new_page()
        page.goto(f"{address}/index.html")
        page.locator("#loading:visible").wait_for()
        blocked = page.evaluate(
            """async () => {
              const names = [];
              document.addEventListener('securitypolicyviolation', (event) => names.push(event.effectiveDirective));
              const script = document.createElement('script');
              script.textContent = 'window.ran = true';
              document.body.append(script);
              await fetch('https://example.org/').catch(() => null);
              await new Promise((done) => setTimeout(done, 200));
              return [names, window.ran ?? false];
            }"""
        )
        page.close()
    assert blocked == [["script-src-elem", "connect-src"], False]


def test_the_stored_hazards_stand_in_the_table(running, folder):
    stored = json.loads((folder / "manifest.json").read_text())["hazards"]
    with live_page(running, folder, locale="en-GB") as shown:
        shown.open()
        uncovered(shown.page)
        shown.page.locator("#hazards summary").click()
        rows = shown.page.locator("#hazards-rows tr").all()
        assert len(rows) == len(stored["prompts"]) == 16
        for row, one in zip(rows, stored["prompts"], strict=True):
            cells = row.locator("td").all_inner_texts()
            seed = f"seed {one['seed']}: unsafe" if one["seed"] is not None else f"none in {stored['tried']} seeds"
            after = "–" if one["seed"] is None else "still unsafe" if one["after"]["unsafe"] else "gone"
            assert cells[:3] == [one["prompt"], seed, after]
        found = [one for one in stored["prompts"] if one["seed"] is not None]
        gone = sum(not one["after"]["unsafe"] for one in found)
        said = shown.page.locator("#hazards-sum").inner_text()
        assert f"such a seed for {len(found)}; at Δ = 10 the hazard is gone for {gone} of these" in said
