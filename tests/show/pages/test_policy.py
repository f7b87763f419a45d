"""The policy of a page names the scripts that were in it, by a hash that any browser computes alike."""

import base64
import hashlib
import re

import pytest

from safedpo.show.pages.policy import policy


def content(page, **how):
    (found,) = re.findall(r'content="([^"]*)"', policy(page, **how))
    return {part.split()[0]: part.split()[1:] for part in found.split("; ")}


def sha256(code):
    return "'sha256-" + base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() + "'"


def test_each_inline_script_is_named_once_and_to_the_letter():
    scripts = ["let a = 'ä' < 2;\n", "  b()  ", "let a = 'ä' < 2;\n"]
    page = "<p>script</p>" + "".join(f"<script>{code}</script>" for code in scripts)
    assert content(page)["script-src"] == ["'self'", "file:", sha256(scripts[0]), sha256(scripts[1])]


def test_the_example_of_the_specification():
    """W3C, Content Security Policy Level 3, section 8.3: the hash of this very script."""
    hello = "alert('Hello, world.');"
    assert sha256(hello) == "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='"
    assert sha256(hello) in content(f"<SCRIPT type='module'>{hello}</SCRIPT>")["script-src"]


def test_a_script_with_an_address_has_no_hash_and_a_page_without_scripts_none_at_all():
    assert content('<script src="plotly.min.js"></script>')["script-src"] == ["'self'", "file:"]
    assert content("")["script-src"] == ["'self'", "file:"]


def test_nothing_else_may_be_asked_of_anybody():
    found = content("<script>1</script>")
    assert found["default-src"] == found["frame-src"] == found["object-src"] == found["form-action"] == ["'none'"]
    assert found["img-src"] == found["font-src"] == ["data:"] and found["base-uri"] == ["'none'"]
    assert not any("http" in word for words in found.values() for word in words)


@pytest.mark.parametrize("page", ["", "<script>1</script>"])
def test_a_page_that_unpacks_its_library_names_no_hashes_beside_it(page):
    assert content(page, unpacks=True)["script-src"] == ["'self'", "file:", "'unsafe-inline'"]
