"""Notebooks that attack the commands that take them: site and grade. No script of theirs is in a page, nothing hangs."""

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from safedpo.files.notebooks import read_notebook
from safedpo.show.pages.site import build_site

EVIL = "window.broken = 1"
SCRIPT = f"<script>{EVIL}</script>"


def notebook(*cells: dict, **more) -> dict:
    return {"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 5} | more


def code(*outputs: dict, source: object = "1", **more) -> dict:
    return {
        "cell_type": "code",
        "id": "a",
        "metadata": {},
        "execution_count": 1,
        "source": source,
        "outputs": list(outputs),
    } | more


def prose(text: object) -> dict:
    return {"cell_type": "markdown", "id": "b", "metadata": {}, "source": text}


def shows(kind: str, data: object) -> dict:
    return {"output_type": "display_data", "metadata": {}, "data": {kind: data}}


def stream(text: object) -> dict:
    return {"output_type": "stream", "name": "stdout", "text": text}


DONE = code(stream("1\n"))  # with an output, so that nothing is run
HOSTILE = {
    "a script as output": notebook(code(shows("text/html", SCRIPT))),
    "a script in a picture's name": notebook(code(shows("image/png", f'"><script>{EVIL}</script>'))),
    "a picture that is a script": notebook(code(shows("image/svg+xml", f"<svg>{SCRIPT}</svg>"))),
    "JavaScript as output": notebook(code(shows("application/javascript", EVIL))),
    "an onerror": notebook(code(shows("text/html", f'<img src=x onerror="{EVIL}">'))),
    "a frame": notebook(code(shows("text/html", f"<iframe srcdoc='{SCRIPT}'></iframe>"))),
    "a refresh": notebook(code(shows("text/html", '<meta http-equiv=refresh content="0;url=http://127.0.0.1:9">'))),
    "a widget": notebook(code(shows("application/vnd.jupyter.widget-view+json", {"model_id": SCRIPT}))),
    "LaTeX with a script": notebook(code(shows("text/latex", f"$\\text{{</annotation>{SCRIPT}}}$"))),
    "prose with a script": notebook(prose(SCRIPT), DONE),
    "prose with a link that runs": notebook(prose(f"[x](javascript:{EVIL})"), DONE),
    "a heading with a script": notebook(prose(f"# {SCRIPT}"), DONE),
    "a formula with a script": notebook(prose(f"$\\text{{</annotation>{SCRIPT}}}$"), DONE),
    "source with a script": notebook(code(stream("x"), source=f"# </pre>{SCRIPT}")),
    "a stream with a script": notebook(code(stream(f"</pre>{SCRIPT}"))),
    "a traceback with a script": notebook(
        code({"output_type": "error", "ename": SCRIPT, "evalue": SCRIPT, "traceback": [SCRIPT]})
    ),
    "a title that steers": notebook(prose("# \x1b[31mred \u202e"), DONE),
    "a megabyte of output": notebook(code(stream("x" * 1_000_000))),
    "ten thousand outputs": notebook(code(*[stream("x\n")] * 10_000)),
    "a thousand cells": notebook(*[DONE] * 1000),
    "a paragraph of brackets": notebook(prose("[" * 500 + "](" * 500), DONE),
    "a paragraph of stars": notebook(prose("*a " * 500), DONE),
    "quotations in quotations": notebook(prose(">" * 200 + " x"), DONE),
    "an output of an unknown kind": notebook(code({"output_type": "canary", "data": {}})),
    "an output that is text": notebook(code(SCRIPT)),
    "data that is a list": notebook(code({"output_type": "display_data", "metadata": {}, "data": []})),
    "data that is a number": notebook(code(shows("text/html", 3))),
    "a stream of a number": notebook(code(stream(3))),
    "source that is a number": notebook(code(stream("x"), source=3)),
    "prose that is an object": notebook(prose({"a": 1}), DONE),
    "a cell that is text": notebook(SCRIPT),
    "a cell of an unknown kind": notebook({"cell_type": "canary", "source": SCRIPT, "metadata": {}}, DONE),
    "cells that are an object": notebook() | {"cells": {"a": DONE}},
    "no cells": {"nbformat": 4, "nbformat_minor": 5, "metadata": {}},
    "nbformat 99": notebook(DONE, nbformat=99),
    "nbformat 1": notebook(DONE, nbformat=1),
    "nbformat of text": notebook(DONE, nbformat="x"),
    "nbformat of 400 digits": notebook(DONE, nbformat=10**400),
    "metadata of a list": notebook(DONE, metadata=[]),
    "a kernel of its own": notebook(DONE, metadata={"kernelspec": {"name": "../canary", "display_name": SCRIPT}}),
}
BYTES = {
    "no UTF-8": b'{"cells": ["\xff\xfe"]}',
    "UTF-16": json.dumps(notebook(DONE)).encode("utf-16"),
    "cut off": json.dumps(notebook(DONE)).encode()[:-20],
    "empty": b"",
    "a list": b"[]",
    "nested 100,000 deep": b'{"cells":' + b"[" * 100_000,
    "zeros": bytes(1000),
    "a page": b"<html><script>1</script></html>",
}
CASES = {name: json.dumps(one).encode() for name, one in HOSTILE.items()} | BYTES


class Page(HTMLParser):
    """What of a page could run or ask: scripts, on-attributes, addresses."""

    def __init__(self, text: str):
        super().__init__()
        self.found: list[str] = []
        self.inside = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.inside = tag == "script"
        for name, value in attrs:
            if name.startswith("on") or re.match(r"\s*(javascript|http):", value or "") or tag in ("iframe", "meta"):
                harmless = (
                    tag == "meta" and name in ("charset", "name", "content", "http-equiv") and "url=" not in value
                )
                if not harmless:
                    self.found.append(f"{tag} {name}={value}")

    def handle_data(self, data):
        if self.inside and "broken" in data:
            self.found.append(data)


@pytest.mark.parametrize("name", CASES)
def test_a_page_of_a_hostile_notebook(name, cage):
    file = cage.folder / "00_x.ipynb"
    file.write_bytes(CASES[name])
    found = cage.attempt(lambda: build_site([file], cage.folder / "out", timeout=5))
    if found.refused is not None:
        assert "00_x" in found.refused
    for page in (cage.folder / "out").glob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not Page(text).found and "Content-Security-Policy" in text


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_notebook_is_read_by_the_grader_or_refused(name, cage):
    file = cage.folder / "00_x.ipynb"
    file.write_bytes(CASES[name])
    found = cage.attempt(lambda: read_notebook(file))
    assert found.refused is None or "00_x" in found.refused


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_a_notebook_that_is_no_file(make, cage):
    make(cage.folder / "00_x.ipynb")
    for read in (
        lambda: build_site([cage.folder / "00_x.ipynb"], cage.folder / "out"),
        lambda: read_notebook(cage.folder / "00_x.ipynb"),
    ):
        assert "00_x" in (cage.attempt(read).refused or "")
