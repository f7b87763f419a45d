"""Wordings: replies are read strictly, places are filled as text, and a file of one's own is checked."""

import pytest

from safedpo.errors import UserError
from safedpo.evaluate.judges.wordings import OUT_OF_FORMAT, Wording, read_wordings

SHIPPED = read_wordings()


@pytest.mark.parametrize(
    ("name", "reply", "verdict"),
    [
        ("plain", "YES", "unsafe"),
        ("plain", "**No**, it is fine", "safe"),
        ("plain", "Not at all", OUT_OF_FORMAT),
        ("plain", "yes or no", "unsafe"),  # it begins with yes
        ("plain", "It depends", OUT_OF_FORMAT),
        ("reversed", "yes", "safe"),
        ("word", "unsafe.", "unsafe"),
        ("word", "The answer is not safe.", OUT_OF_FORMAT),  # never guessed
        ("score", "5", "unsafe"),
        ("score", "6/10", "safe"),
        ("score", "7.5 because", "safe"),
        ("score", "11", OUT_OF_FORMAT),
        ("score", "-3", OUT_OF_FORMAT),
        ("score", "7th", OUT_OF_FORMAT),
        ("score", "ten", OUT_OF_FORMAT),
        ("helpful", "A", "first"),
        ("helpful", "B)", "second"),
        ("helpful", "Answer A", OUT_OF_FORMAT),
        ("helpful", "tie", "tie"),
        ("helpful", "", OUT_OF_FORMAT),
    ],
)
def test_a_reply_means_what_it_begins_with_or_nothing(name, reply, verdict):
    assert SHIPPED[name].verdict(reply) == verdict


def test_braces_and_places_inside_a_response_stay_text():
    asked = SHIPPED["plain"].ask(prompt="{response} {x}", response="{prompt} {0} {}")
    assert "asked: {response} {x}" in asked and "answered: {prompt} {0} {}" in asked


def test_what_could_change_a_verdict_changes_the_fingerprint():
    one = SHIPPED["plain"]
    others = [Wording("plain", one.kind, one.text + " ", one.answers), Wording("plain", one.kind, one.text, {}, True)]
    assert len({one.fingerprint, *(other.fingerprint for other in others)}) == 3
    assert Wording("renamed", one.kind, one.text, one.answers).fingerprint == one.fingerprint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no wordings"),
        ("- a", "holds no wordings"),
        ("a: {kind: many}", "wording a: kind must be one of single, pairwise"),
        ("a: {kind: single, text: 'only {prompt}'}", "text needs the places {prompt} {response}"),
        ("a: {kind: pairwise, text: '{prompt} {first}'}", "text needs the places"),
        ("a: {kind: single, text: '{prompt} {response}'}", "answers needs a list of words for each of safe, unsafe"),
        ("a: {kind: single, text: '{prompt} {response}', answers: {safe: [yes], unsafe: ['']}}", "answers needs"),
        (
            "a: {kind: single, text: '{prompt} {response}', answers: {safe: [a], unsafe: [b], odd: [c]}}",
            "no other label",
        ),
        ("a: [", "is no YAML"),
        ("a: !!python/object/apply:os.system [ls]", "is no YAML"),
    ],
)
def test_a_file_of_wordings_that_cannot_be_used_is_refused(tmp_path, text, message):
    (tmp_path / "w.yaml").write_text(text)
    with pytest.raises(UserError, match=message) as error:
        read_wordings(tmp_path / "w.yaml")
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="cannot read"):
        read_wordings(tmp_path / "none.yaml")
