"""Predict-questions: work without a front-end, keep the answer in memory, tell the reason after committing."""

import json

import pytest

from safedpo.errors import UserError
from safedpo.labs import predictions as module
from safedpo.labs.checks import modules
from safedpo.labs.predictions import find, predict, score, shown_order, widget

QUESTIONS = [name for m in modules() for name in m.QUESTIONS]


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    monkeypatch.setattr(module, "_committed", {})
    monkeypatch.setattr(module, "_kept", None)


def test_it_displays_without_a_front_end(capsys):
    assert predict(QUESTIONS[0]) is None
    assert "VBox" in capsys.readouterr().out


def test_nothing_is_chosen_or_told_before_committing():
    radio, button, told = widget(QUESTIONS[0]).children
    assert radio.value is None and button.disabled and told.value == ""


@pytest.mark.parametrize("name", QUESTIONS)
def test_committing_shows_why_and_closes_the_question(name):
    question = find(name)
    assert 0 <= question.right < len(question.options) >= 2
    for chosen in range(len(question.options)):
        module._committed.clear()
        radio, button, told = widget(name).children
        radio.value = chosen
        assert not button.disabled
        button.click()
        assert radio.disabled and button.disabled
        assert told.value.count("Not this time") == (chosen != question.right)
        assert score([name]) == (1, int(chosen == question.right))
        again = widget(name).children  # running the cell again
        assert again[2].value == told.value and again[0].disabled


def test_the_answer_is_not_in_what_a_notebook_would_store():
    assert not any(
        find(name).why[:20] in json.dumps(w.get_state(), default=str)
        for name in QUESTIONS
        for w in (widget(name), *widget(name).children)
    )


def test_unknown_question():
    with pytest.raises(UserError, match="no question is called 'x'"):
        predict("x")


def test_the_right_option_stands_in_no_place_more_often_than_in_half_of_the_questions():
    places = [shown_order(name).index(find(name).right) for name in QUESTIONS]
    assert max(places.count(place) for place in set(places)) <= len(QUESTIONS) / 2
    for name in QUESTIONS:  # and the order is what the reader sees
        shown = widget(name).children[0].options
        assert [place for _, place in shown] == shown_order(name)
        assert [text for text, _ in shown] == [find(name).options[place] for place in shown_order(name)]


def test_answers_outlive_the_session_if_the_reader_wants_it(tmp_path, monkeypatch):
    file = tmp_path / "mine.json"
    module.keep_predictions(file)
    radio, button, _ = widget("beta_up").children
    radio.value = 0
    button.click()
    monkeypatch.setattr(module, "_committed", {})  # another session
    monkeypatch.setattr(module, "_kept", None)
    module.keep_predictions(file)
    assert module.committed() == {"beta_up": 0}
    assert widget("beta_up").children[0].disabled


@pytest.mark.parametrize("text", ["[1]", "no json", '{"beta_up": 7}', '{"beta_up": "0"}', '{"nobody": 0}'])
def test_a_file_of_something_else_is_refused(tmp_path, text):
    file = tmp_path / "other.json"
    file.write_text(text)
    with pytest.raises(UserError):
        module.keep_predictions(file)
    assert file.read_text() == text
