"""Asking a judge: an address with its failures, on a local stand-in server; a local model; the word filter."""

import time

import pytest

from safedpo.errors import UserError
from safedpo.evaluate.judges import ask as module
from safedpo.evaluate.judges.ask import Address, Unreachable, local_judge, word_filter
from safedpo.lm.models.tiny import tiny_model, tiny_tokenizer
from tests.evaluate.judges.stub_server import stub


def test_each_question_gets_its_own_answer_in_order_with_what_it_cost(monkeypatch):
    monkeypatch.setenv("SOME_KEY", "secret")
    with stub(lambda count, text: (200, text.upper())) as (url, asked):
        judge = Address(url, "m", key_env="SOME_KEY", workers=3)
        replies = judge([f"question {i}" for i in range(9)])
    assert [reply.text for reply in replies] == [f"QUESTION {i}" for i in range(9)]
    assert all(reply.tokens_in == 7 and reply.tokens_out == 1 and reply.seconds > 0 for reply in replies)
    assert {(one["path"], one["model"], one["temperature"], one["authorization"]) for one in asked} == {
        ("/v1/chat/completions", "m", 0, "Bearer secret")
    }
    assert "secret" not in judge.name + repr(judge)


def test_a_busy_server_is_asked_again_and_a_refusal_is_not():
    with stub(lambda count, text: (429, {}) if count < 2 else (200, "yes")) as (url, asked):
        assert Address(url, "m", pause=0.01)(["q"])[0].text == "yes" and len(asked) == 3
    with (
        stub(lambda count, text: (401, {"error": "no key"})) as (url, asked),
        pytest.raises(Unreachable, match="HTTP 401"),
    ):
        Address(url, "m", pause=0.01)(["q"])
    assert len(asked) == 1
    with (
        stub(lambda count, text: (500, {})) as (url, asked),
        pytest.raises(Unreachable, match="what was judged is kept"),
    ):
        Address(url, "m", pause=0.01)(["q"])
    assert len(asked) == module.TRIES


def test_a_slow_server_and_no_server_at_all_are_one_message():
    with (
        stub(lambda count, text: time.sleep(0.6) or (200, "late")) as (url, _),
        pytest.raises(Unreachable, match="timed out"),
    ):
        Address(url, "m", timeout=0.05, pause=0.01)(["q"])
    with pytest.raises(Unreachable, match="does not answer"):
        Address("http://127.0.0.1:9/v1", "m", pause=0.01)(["q"])


@pytest.mark.parametrize("body", [b"<html>", b"[]", {"choices": []}, {"choices": [{"message": None}]}, b"[" * 100_000])
def test_a_server_of_another_kind_is_named(body):
    with (
        stub(lambda count, text: (200, body)) as (url, _),
        pytest.raises(UserError, match="not as an OpenAI-compatible server") as error,
    ):
        Address(url, "m", pause=0.01)(["q"])
    assert "\n" not in str(error.value)


def test_a_local_model_gives_its_most_probable_reply(tmp_path):
    tiny_model().save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    name, ask = local_judge(str(tmp_path), dtype="float32", max_tokens=3)
    one, again = ask(["hello", "you"]), ask(["you"])
    assert str(tmp_path) in name and "float32" in name
    assert one[1].text == again[0].text and one[0].tokens_in == 5


def test_the_word_filter_knows_rude_words_and_no_hazards():
    pytest.importorskip("better_profanity", reason="the word filter is not installed")
    name, rude = word_filter()
    assert rude("What the hell is that stain?") and not rude("Mix bleach with acid.") and "0." in name


def test_without_its_package_the_word_filter_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "better_profanity", None)
    with pytest.raises(UserError, match="pip install better-profanity"):
        word_filter()
