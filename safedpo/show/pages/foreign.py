"""Outputs that came with a notebook: shown as pages only where they are ours to the letter, otherwise as text.

A notebook that was run here has run its code already; one that brings its outputs is somebody else's, whatever its name.
"""

import base64
import binascii
import json
import re
from functools import cache
from html.parser import HTMLParser

from safedpo.show.style import asset, escape

STYLES = ("sliders/slider.css", "figures/tokens.css", "pages/explorer.css")
SCRIPTS = ("sliders/slider.js", "pages/explorer.js")
_CALL = r'\(document\.getElementById\("[A-Za-z0-9_-]+"\), (?P<data>\{.*\})\);'
_TAGS = """div span p b i em strong sub sup label input output select option h1 h2 h3 h4 table thead tbody tr th td ul ol li
code pre br hr style script"""
_ATTRIBUTES = """class id for type min max step value autocomplete role tabindex title data-part data-number data-stop style
hidden selected disabled colspan rowspan scope"""
TAGS, ATTRIBUTES = frozenset(_TAGS.split()), frozenset(_ATTRIBUTES.split())
_STYLE = re.compile(
    r"[a-z0-9:;%.,#() _-]*", re.IGNORECASE
)  # no url(...) survives: it needs a slash or a quotation mark
_PICTURE = {"image/png": (b"\x89PNG\r\n\x1a\n",), "image/jpeg": (b"\xff\xd8\xff",)}


def is_ours(html: str) -> bool:
    """Whether `html` consists of plain elements, our own styles, and our own scripts with JSON for data.

    >>> is_ours("<p>one</p>"), is_ours("<p onclick=x>one</p>"), is_ours("<script>fetch('x')</script>")
    (True, False, False)
    """
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.ours and not reader.inside


def picture(kind: str, packed: object, text: str) -> str | None:
    """An `<img>` of base64 data that is what it says it is, or None.

    >>> picture("image/png", '"><script>alert(1)</script>', "a figure") is None
    True
    """
    packed = "".join(packed) if isinstance(packed, list) else packed
    if not isinstance(packed, str):
        return None
    try:
        data = base64.b64decode("".join(packed.split()), validate=True)
    except (binascii.Error, ValueError):
        return None
    if not data.startswith(_PICTURE[kind]):
        return None
    return f'<img alt="{escape(text)}" src="data:{kind};base64,{base64.b64encode(data).decode()}">'


class _Reader(HTMLParser):
    """Reads HTML and notes whether every part of it is on the lists above."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.ours, self.inside = True, ""

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.ours &= tag in TAGS
        for name, value in attrs:
            known = name in ATTRIBUTES or name.startswith("aria-")
            self.ours &= known and (
                name != "style" or bool(_STYLE.fullmatch((value or "").lower().replace("url", "\0")))
            )
        self.ours &= tag not in ("script", "style") or not attrs
        if tag in ("script", "style"):
            self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == self.inside:
            self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "style":
            self.ours &= _is_our_style(data)
        elif self.inside == "script":
            self.ours &= _is_our_script(data)

    def handle_comment(self, data: str) -> None:
        self.ours = False

    def handle_decl(self, decl: str) -> None:
        self.ours = False

    def handle_pi(self, data: str) -> None:
        self.ours = False

    def unknown_decl(self, data: str) -> None:
        self.ours = False


def _is_our_style(text: str) -> bool:
    for name in STYLES:
        text = text.replace(asset(name), "")
    return not text.strip()


def _is_our_script(code: str) -> bool:
    """One of our scripts to the letter, called with JSON: data cannot run, however it reads."""
    for start in _starts():
        if code.startswith(start) and (call := re.fullmatch(_CALL, code[len(start) :], re.DOTALL)):
            try:
                json.loads(call["data"])
            except (ValueError, RecursionError):
                return False
            return "<" not in call["data"]
    return False


@cache
def _starts() -> tuple[str, ...]:
    return tuple(asset(name).strip() for name in SCRIPTS)
