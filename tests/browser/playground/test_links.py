"""The address holds the whole state; one that was tampered with does no harm, and neither does hostile text."""

import pytest

from tests.browser.playground.against_python import check_run
from tests.browser.playground.driver import Playground, opened
from tests.browser.playground.worlds import PAYLOADS, SIX, WORLDS, link, slow, some

pytestmark = pytest.mark.browser


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
