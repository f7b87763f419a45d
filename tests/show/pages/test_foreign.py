"""Whose HTML it is: plain elements and our own scripts pass, anything that could run or load does not."""

import base64

import pytest

from safedpo.show.pages.foreign import ATTRIBUTES, TAGS, is_ours, picture
from safedpo.show.style import asset

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
JPEG = b"\xff\xd8\xff" + bytes(20)
SLIDER = asset("sliders/slider.js").strip() + '(document.getElementById("a-1"), {"stops": [1, 2]});'


@pytest.mark.parametrize(
    "html",
    [
        "",
        "text & <b>more</b>",
        '<div class="a" style="color: #333; width: 10%"><input type="range" min="0" aria-label="delta"></div>',
        f"<style>{asset('sliders/slider.css')}</style>",
        f"<script>{SLIDER}</script>",
    ],
)
def test_what_our_pages_are_made_of_is_ours(html):
    assert is_ours(html)


@pytest.mark.parametrize(
    "tag", ["a", "img", "svg", "iframe", "object", "form", "link", "meta", "base", "math", "video", "template"]
)
def test_no_other_element_is(tag):
    assert tag not in TAGS and not is_ours(f"<{tag}>x</{tag}>") and not is_ours(f"<p><{tag.upper()}/></p>")


@pytest.mark.parametrize(
    "attribute", ["href", "src", "onclick", "onload", "srcdoc", "formaction", "xlink:href", "http-equiv"]
)
def test_no_other_attribute_is(attribute):
    assert attribute not in ATTRIBUTES and not is_ours(f'<div {attribute}="x">y</div>')


@pytest.mark.parametrize(
    "style", ["background: url(x)", "background: URL(x)", r"background: u\72l(x)", "width: 1px; /* */", "a: 'b'"]
)
def test_no_style_names_an_address(style):
    assert not is_ours(f'<p style="{style}">x</p>')


@pytest.mark.parametrize(
    "code",
    [
        "alert(1)",
        SLIDER + "alert(1)",
        "alert(1);" + SLIDER,
        SLIDER.replace("[1, 2]", "alert(1)"),
        SLIDER.replace("[1, 2]", '"<b>"'),
        SLIDER.replace('"a-1"', '"a"+"b"'),
        SLIDER.replace("const", "var", 1) if "const" in SLIDER else SLIDER[1:],
    ],
)
def test_a_script_is_ours_to_the_letter_or_not_at_all(code):
    assert not is_ours(f"<script>{code}</script>")


@pytest.mark.parametrize(
    "html",
    ["<!-- x -->", "<!doctype html>", "<?php x ?>", "<script>", '<script src="x"></script>', "<style>p{}</style>"],
)
def test_what_is_open_or_of_another_kind_is_not_ours(html):
    assert not is_ours(html)


@pytest.mark.parametrize(("kind", "data"), [("image/png", PNG), ("image/jpeg", JPEG)])
def test_a_picture_is_what_it_says_it_is(kind, data):
    packed = base64.b64encode(data).decode()
    made = picture(kind, [packed[:9], "\n", packed[9:]], 'a "figure"')
    assert f'src="data:{kind};base64,{packed}"' in made and "&quot;figure&quot;" in made
    for other in (packed[:-3], base64.b64encode(b"<svg onload=alert(1)>").decode(), '"><script>', None, 3):
        assert picture(kind, other, "") is None


def test_a_jpeg_is_no_png():
    assert picture("image/png", base64.b64encode(JPEG).decode(), "") is None
