"""What a file or a model says cannot steer the terminal: it is shown as text."""

import json
from types import SimpleNamespace

import pytest

import safedpo.evaluate
import safedpo.lm.models.gate.check
import safedpo.lm.models.load
from safedpo.evaluate import Responses

HOSTILE = "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b2J [bold]not bold[/bold] \u202eback <script>"
VISIBLE = r"\x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b2J [bold]not bold[/bold] \u202eback <script>"
STEERING = ("\x1b", "\x07", "\x9b", "\u202e")


@pytest.fixture
def safedpo_prints(safedpo):
    return lambda *arguments: "".join(safedpo(*arguments)[1:])


def check(printed: str) -> None:
    assert VISIBLE in printed and not any(sign in printed for sign in STEERING)


def test_generate(safedpo_prints, monkeypatch):
    loaded = SimpleNamespace(model=None, tokenizer=None)
    monkeypatch.setattr(safedpo.lm.models.load, "load_model", lambda *_, **__: loaded)
    monkeypatch.setattr(safedpo.lm.models.gate.check, "gate_prompts", lambda *_, **__: None)
    said = Responses(HOSTILE, HOSTILE, (HOSTILE,))
    monkeypatch.setattr(safedpo.evaluate, "generate", lambda *_, **__: [said])
    printed = safedpo_prints("generate", "a prompt")
    check(printed)
    assert printed.count(VISIBLE) == 3  # the prompt, the greedy response, the sampled one


def test_data(safedpo_prints, tmp_path):
    row = {
        "prompt": "p",
        "response_0": "a",
        "response_1": "b",
        "is_response_0_safe": HOSTILE,
        "is_response_1_safe": True,
        "better_response_id": 0,
        "safer_response_id": 0,
    }
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(row) + "\n")
    printed = safedpo_prints("data", file)
    assert "row 1" in printed and "red" in printed and not any(sign in printed for sign in STEERING)


def test_a_mistake_that_quotes_a_file(safedpo_prints, tmp_path):
    printed = safedpo_prints("data", tmp_path / "none\x1b[31m.jsonl")
    assert "safedpo: " in printed and "\x1b" not in printed
