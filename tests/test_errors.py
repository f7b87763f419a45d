"""What a message may show: every character that could steer a terminal becomes visible, and no other changes."""

import codecs
import time
import unicodedata

import pytest

from safedpo.errors import UserError, refuse_web_page, spell_out, visible
from tests.files.web_pages import WEB_PAGES
from tests.test_package import PACKAGE


def test_a_user_s_mistake_is_a_value_error():
    with pytest.raises(ValueError, match="beta is -1"):
        raise UserError("beta is -1; it must be greater than 0")


def test_control_and_direction_characters_become_escapes_and_others_stay():
    for code in (*range(0x3100), *range(0xD7F0, 0xE010), *range(0xFE00, 0x10000), 0x1F600, 0xE0001):
        char, shown = chr(code), visible(chr(code))
        if char == "\n" or unicodedata.category(char)[0] not in "CZ" or unicodedata.category(char) in ("Cn", "Zs"):
            assert shown == char
        else:
            assert shown.isascii() and shown.isprintable() and shown.startswith("\\")


def test_the_escape_says_which_character_it_was():
    assert visible("a\u202eb\x1b[2J").encode().decode("unicode_escape") == "a\u202eb\x1b[2J"


codecs.register_error("spelled", spell_out)


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("∇L = −β σ(−m) ∂f/∂log π", b"grad L = -beta sigma(-m) d f/d log pi"),
        ("e^{−Δ}/(2β²η)", b"e^{-Delta}/(2 beta^2 eta)"),
        ("√2 10⁻⁷ pσ KL(π‖π_ref) xᵀ a₁ ½", b"sqrt 2 10^-7 p sigma KL(pi||pi_ref) x^T a_1 1/2"),
        ("é ü 日 \ud800 \u200b", rb"\xe9 \xfc \u65e5 \ud800 \u200b"),
    ],
)
def test_formulas_can_be_read_where_only_ascii_can_be_shown(text, typed):
    assert text.encode("ascii", "spelled") == typed


def test_every_sign_of_the_package_can_be_read_in_ascii():
    """A letter with an accent, and signs of other scripts, become escapes: they stand in no sentence of ours."""
    signs = {char for path in PACKAGE.rglob("*.py") for char in path.read_text(encoding="utf-8") if not char.isascii()}
    assert len(signs) > 40
    assert {char for char in signs if b"\\" in char.encode("ascii", "spelled")} <= set("éĈ")


def test_a_page_has_what_it_can_show_and_only_the_rest_is_typed():
    assert "β²η → é".encode("latin-1", "spelled").decode("latin-1") == "beta² eta -> é"
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("ascii", "spelled")


@pytest.mark.alone
def test_a_long_text_takes_time_in_proportion():
    start = time.process_time()
    ("βé日x" * 50_000).encode("ascii", "spelled")
    assert time.process_time() - start < 3


@pytest.mark.parametrize("page", WEB_PAGES)
def test_a_web_page_is_told_from_every_file_of_ours(tmp_path, page):
    (tmp_path / "file").write_bytes(page)
    with pytest.raises(UserError, match="file is a web page.*proxy.*fetch it again"):
        refuse_web_page(tmp_path / "file")


@pytest.mark.parametrize(
    "text", [b"", b'{"prompt": "<html>"}', b"prompt,response_0\n", b"PAR1", b"<", b"<htmlish>;b\n", b"\xff\xfe<"]
)
def test_what_is_none_passes(tmp_path, text):
    (tmp_path / "file").write_bytes(text)
    assert refuse_web_page(tmp_path / "file") is None
