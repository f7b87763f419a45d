"""The live page as a test sees it: its folder, a static server of its own, and a reader who types, clicks and waits."""

import contextlib
import functools
import http.server
import json
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from safedpo.errors import UserError
from safedpo.files import shipped, write_json
from safedpo.household.portable import portable_scorer
from safedpo.show.pages.live_model import assemble, parts
from safedpo.show.pages.live_model.assemble import assemble_live_model

RESULTS = shipped("data") / "results" / "household"
ISOLATED = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}


def page_without_model(out: Path) -> Path:
    """The page's own files with what is stored, but no model to load: needs no network."""
    adapters = parts.sweep_adapters(shipped("data") / "adapters" / "sweep")
    assemble.copy_page(out)
    write_json(out / "household.json", portable_scorer())
    stored = assemble.stored_measurements(RESULTS, next(iter(adapters.values())))
    manifest = {
        "version": "0",
        "home": "../index.html",
        "engine": "none",
        "files": {},
        "plan": {},
        "shape": {},
        "deltas": list(adapters),
    }
    limits = {"promptTokens": 256, "responseTokens": 64}
    fingerprints = {"base": "0", "reference": "0"}
    write_json(out / "manifest.json", manifest | {"limits": limits, "fingerprints": fingerprints} | stored)
    return out


@contextlib.contextmanager
def whole_page() -> Iterator[Path]:
    """The assembled folder; the test is skipped where its parts are not to be had."""
    if folder := os.environ.get("SAFEDPO_LIVE_PAGE"):
        yield Path(folder)
        return
    pytest.importorskip("onnx", reason="the package onnx is not installed")
    with tempfile.TemporaryDirectory() as home:
        try:
            assemble_live_model(Path(home))
        except UserError as missing:
            pytest.skip(f"the live page cannot be assembled here: {missing}")
        yield Path(home)


class _Handler(http.server.SimpleHTTPRequestHandler):
    extensions_map = http.server.SimpleHTTPRequestHandler.extensions_map | {".mjs": "text/javascript"}
    extra: dict[str, str] = {}

    def end_headers(self) -> None:
        for name, value in self.extra.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *args) -> None:
        pass


@contextlib.contextmanager
def served(folder: Path, *, headers: dict[str, str] | None = None) -> Iterator[str]:
    """A static server of `folder` on this machine; gives its address."""
    handler = functools.partial(type("Handler", (_Handler,), {"extra": headers or {}}), directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class LivePage:
    """The page in a browser. `elsewhere`: addresses asked for that are not the server's; `errors`: uncaught ones."""

    def __init__(self, page, address: str):
        self.page, self.address, self.elsewhere, self.errors = page, address, [], []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("dialog", lambda dialog: self.errors.append(dialog.message))
        page.route("**/*", self._only_here)

    def _only_here(self, route) -> None:
        if route.request.url.startswith((self.address, "data:", "blob:")):
            return route.continue_()
        self.elsewhere.append(route.request.url)
        return route.abort()

    def open(self, fragment: str = "") -> None:
        self.page.goto(f"{self.address}/index.html{fragment}")
        self.page.locator("#loading:visible, #problem:visible").first.wait_for()

    def load(self, timeout: float = 180) -> dict:
        """Press Load and wait; gives what the page says of the engine, as strings."""
        self.page.locator("#load").click()
        self.page.locator("body[data-ready], #problem:visible").first.wait_for(timeout=1000 * timeout)
        assert not self.page.locator("#problem").is_visible(), self.page.locator("#problem").inner_text()
        return self.page.evaluate("({...document.body.dataset})")

    def move(self, delta: float, strength: float = 1) -> None:
        """Put the sliders there, as a pointer would."""
        stops = self.stops()
        for name, value in (("delta", stops.index(delta)), ("strength", strength)):
            self.page.locator(f"#{name}").evaluate(
                "(slider, value) => { if (Number(slider.value) === value) return; slider.value = value; "
                "slider.dispatchEvent(new Event('input', {bubbles: true})); }",
                value,
            )

    def stops(self) -> list[float]:
        return self.module("page/settings.js", "marginStops", json.loads(self._manifest())["deltas"])

    def _manifest(self) -> str:
        return self.page.evaluate("fetch('manifest.json').then((answer) => answer.text())")

    def module(self, path: str, name: str, *values):
        """Call an exported function of one of the page's modules."""
        return self.page.evaluate(
            "([path, name, values]) => import(path).then((module) => module[name](...values))",
            [f"{self.address}/{path}", name, list(values)],
        )

    def ask(self, prompt: str) -> None:
        """Type a request and press Enter's button."""
        self.page.locator("#request").fill(prompt)
        self.page.locator("#answer").click()

    def wait(self, timeout: float = 120) -> None:
        """Until both answers are there."""
        self.page.locator("#answers[data-done]:not([data-done=''])").wait_for(timeout=1000 * timeout)

    def said(self, side: str) -> str:
        return self.page.locator(f"#{side}-said").text_content()

    def tokens(self, timeout: float = 300) -> list[dict]:
        """Each token of the policy's answer with its log-probabilities, once they are there."""
        self.page.locator(".token").first.wait_for(timeout=1000 * timeout)
        return self.page.locator(".token").evaluate_all(
            "all => all.map(({ dataset: d }) => ({ id: +d.id, policy: +d.policy, reference: +d.reference }))"
        )


@contextlib.contextmanager
def live_page(browser, folder: Path, *, headers: dict[str, str] | None = None, **context) -> Iterator[LivePage]:
    """A fresh context of the browser on the served folder; further arguments go to the context."""
    with served(folder, headers=headers) as address:
        opened = browser.new_context(**context)
        shown = LivePage(opened.new_page(), address)
        yield shown
        opened.close()
        assert not shown.errors and not shown.elsewhere, (shown.errors, shown.elsewhere)
