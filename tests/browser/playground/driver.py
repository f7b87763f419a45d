"""The playground as a person uses it."""

import contextlib
import json

DESKTOP = {"width": 1280, "height": 900}


class Playground:
    """The page open in a browser."""

    def __init__(self, page, path):
        self.page, self.address = page, path.as_uri()

    def open(self, fragment: str = "") -> "Playground":
        """The page anew, with a fragment; back when the run stands at the step that it names."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.address}#{fragment}" if fragment else self.address)
        self.page.wait_for_function(
            "() => window.safedpoPlayground && safedpoPlayground.numbers().step === safedpoPlayground.state().step",
            timeout=30_000,
        )
        return self

    def state(self) -> dict:
        return json.loads(self.page.evaluate("JSON.stringify(safedpoPlayground.state())"))

    def numbers(self) -> dict:
        """Every number of the page; what is not finite comes as None."""
        return json.loads(self.page.evaluate("JSON.stringify(safedpoPlayground.numbers())"))

    def story(self, number: int) -> None:
        self.page.locator("#stories button").nth(number).click()

    def row(self, number: int):
        return self.page.locator("#answers > li").nth(number)

    def settle(self) -> None:
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def play_until(self, step: int) -> None:
        self.page.locator("#play").click()
        self.page.wait_for_function(f"() => safedpoPlayground.numbers().step >= {step}", timeout=60_000)
        self.page.locator("#play").click()

    def measures(self) -> dict[str, list[str]]:
        """The table of measures as it is written, by the name of the row."""
        rows = self.page.locator(".measure:not(.top)").evaluate_all(
            "r => r.map(one => [...one.children].map(c => c.innerText))"
        )
        return {row[0]: row[1:] for row in rows}

    def notices(self) -> str:
        return "\n".join(self.page.locator("#notices p").all_inner_texts())


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
