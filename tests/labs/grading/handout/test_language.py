"""The handout in German: titles, goals, predictions, exercises and messages are; code, formulas and points stay."""

import json

import pytest

from safedpo.errors import UserError
from safedpo.labs.grading.handout.language import blocks, catalogue, texts_of, translated_notebook
from safedpo.labs.grading.handout.seal import sealed_sources
from tests.labs.grading.class_of_five import FOLDER

GERMAN = catalogue(FOLDER, "de")
STUDENTS = [next((FOLDER / "student").glob(f"{number}_*.ipynb")) for number in ("01", "02")]


def cells(text: str, kind: str) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == kind]


@pytest.mark.parametrize("path", STUDENTS, ids=lambda path: path.stem)
def test_what_was_promised_is_in_german_and_the_rest_is_as_it_was(path):
    english = path.read_text(encoding="utf-8")
    german = translated_notebook(english, GERMAN)
    assert cells(german, "code") == cells(english, "code")
    title = cells(german, "markdown")[0]
    assert "**Danach kannst du**" in title and title != cells(english, "markdown")[0]
    text = "\n\n".join(cells(german, "markdown"))
    assert text.count("**Sag voraus.**") >= 4 and "**Predict.**" not in text
    assert text.count("**Aufgabe ") >= 3
    formulas = [
        [one for cell in cells(whole, "markdown") for one in blocks(cell) if one[:2] == "$$"]
        for whole in (english, german)
    ]
    assert formulas[0] == formulas[1] and formulas[0]


def test_questions_and_messages_of_both_notebooks_are_german():
    from safedpo.labs.predictions import find

    for name in (
        "add_a_hundred",
        "beta_up",
        "beta_to_zero",
        "who_pulls",
        "average_is_fine",
        "ratio_of_safe",
        "support_price",
    ):
        assert {*find(name).options, find(name).why} <= GERMAN.keys()
    sealed = "\n".join(sealed_sources(FOLDER.parent / "safedpo", GERMAN).values())
    for english in ("Beta is missing in front: C/β is what the exponent sees.", "pairs it orders wrongly"):
        assert english in GERMAN and english not in sealed and GERMAN[english] in sealed


def test_a_translation_keeps_formulas_and_code_of_its_text():
    import re

    for english, german in GERMAN.items():
        for pattern in (r"\$[^$]+\$", r"`[^`]+`", r"\w+_\w+(?:_\w+)+"):
            assert sorted(re.findall(pattern, english)) == sorted(re.findall(pattern, german)), english


def test_most_of_the_catalogue_is_in_use():
    """Texts change; what is no longer found in English is listed by `safedpo texts de FILE`."""
    pieces = 25  # of messages, which `texts_of` does not list
    assert sum(one in set(texts_of(STUDENTS)) for one in GERMAN) >= 0.8 * (len(GERMAN) - pieces)


def test_an_unknown_language_is_refused():
    with pytest.raises(UserError, match="languages here: de"):
        catalogue(FOLDER, "xx")
