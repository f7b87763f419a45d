import pytest
import torch

from safedpo.errors import UserError
from safedpo.evaluate.generation import Decoding, generate, stop_ids
from safedpo.lm.models.tiny import tiny_model, tiny_tokenizer
from safedpo.lm.rows.tokens import prompt_text, prompt_token_ids, tokenize_examples, tokenize_response, turn_end
from safedpo.lm.rows.turns import RowError, template_date, with_template_args, written_response
from tests.lm.rows.templates import HEADER, INST, OPENED, STYLES, THINKING, TRIMMED, merging_tokenizer, tokenizer_with

names = pytest.mark.parametrize("name", STYLES)


@names
def test_the_turn_is_the_one_that_the_template_writes(name):
    """Ids of prompt + response are those of the rendered conversation, up to and with its end of turn."""
    template, before, end = STYLES[name]
    tokenizer = tokenizer_with(template)
    prompt, response, cut = tokenize_response(tokenizer, "hi", "Yes, do.", max_length=999)
    assert tokenizer.decode(prompt) == before and not cut
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Yes, do."}]
    rendered = tokenizer.apply_chat_template(turns, tokenize=False)
    if name != "headers and a date":
        whole = tokenizer(rendered, add_special_tokens=False)["input_ids"]
        known = len(prompt + response) - (name == "no end of its own")
        assert list(prompt + response)[:known] == whole[:known]
    assert tokenizer.decode(response).endswith("Yes, do." + end)
    assert tokenizer.convert_ids_to_tokens(turn_end(tokenizer)) == end.strip()
    assert response.count(response[-1]) == 1


@names
def test_training_and_generation_begin_a_response_after_the_same_tokens(name, monkeypatch):
    tokenizer, model = tokenizer_with(STYLES[name][0]), tiny_model()
    model.resize_token_embeddings(len(tokenizer))
    model.generation_config.eos_token_id = None
    prompt, _, _ = tokenize_response(tokenizer, "hi", "Yes.", max_length=999)
    seen = []
    inner = model.forward
    monkeypatch.setattr(model, "forward", lambda *a, **k: seen.append(k["input_ids"]) or inner(*a, **k))
    generate(model, tokenizer, ["hi"], Decoding(samples=0, max_new_tokens=2), progress=False)
    assert tuple(seen[0][0].tolist()) == prompt == prompt_token_ids(tokenizer, "hi")
    assert turn_end(tokenizer) in stop_ids(model, tokenizer).tolist()


def test_a_space_before_the_answer_is_part_of_its_first_token():
    tokenizer = merging_tokenizer(("Ġ", "y"), template=INST)
    prompt, response, _ = tokenize_response(tokenizer, "hi", "yes", max_length=99)
    assert tokenizer.convert_ids_to_tokens(response[0]) == "Ġy" and tokenizer.decode(prompt).endswith("[/INST]")


def test_a_template_that_trims_is_followed_and_one_that_changes_words_refuses_the_row():
    assert written_response(tokenizer_with(TRIMMED), "hi", " yes \n") == "yes"
    assert written_response(tokenizer_with(INST), "hi", " yes") == " yes"
    with pytest.raises(RowError, match="word for word"):
        written_response(tokenizer_with(OPENED), "hi", "<think>a</think>b")
    done = tokenize_examples([("hi", "a</think>b", 3), ("hi", "b", 4)], tokenizer_with(OPENED))
    assert [row for row, _ in done.refused] == [3] and len(done.items) == 1


def test_an_end_of_turn_inside_a_response_refuses_the_row():
    tokenizer = tokenizer_with(TRIMMED)
    with pytest.raises(RowError, match="contains the special token '<end_of_turn>'"):
        tokenize_response(tokenizer, "hi", "one<end_of_turn>two", max_length=99)


@pytest.mark.parametrize(
    "template",
    [
        "{{ raise_exception('a system turn must come first') }}",
        "{% for m in messages %}{{ m.content.parts[0] }}{% endfor %}",
        "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}",
    ],
)
def test_a_template_that_takes_no_answer_is_one_sentence(template):
    with pytest.raises(UserError, match="use template plain") as refused:
        tokenize_response(tokenizer_with(template), "hi", "yes", max_length=99)
    assert "\n" not in str(refused.value)


def test_template_arguments_reach_training_and_generation():
    tokenizer = with_template_args(tokenizer_with(THINKING), {"no_block": True})
    assert "<think>" not in prompt_text(tokenizer, "hi") and "<think>" in prompt_text(tokenizer_with(THINKING), "hi")
    once = tokenizer.chat_template
    assert with_template_args(tokenizer, {"no_block": True}).chat_template == once
    with pytest.raises(UserError, match="no single chat template"):
        with_template_args(tiny_tokenizer(chat=False), {"a": 1})
    with pytest.raises(UserError, match="no name of a template variable"):
        with_template_args(tokenizer, {"a b": 1})


def test_todays_date_is_fixed_and_can_be_given():
    tokenizer = tokenizer_with(HEADER)
    assert template_date(tokenizer) == "2026-01-01" and template_date(tokenizer_with(INST)) is None
    assert "Today: 01 Jan 2026" in prompt_text(tokenizer, "hi")
    with_template_args(tokenizer, {"date": "2025-05-09"})
    assert "Today: 09 May 2025" in prompt_text(tokenizer, "hi") and template_date(tokenizer) == "2025-05-09"


def test_there_are_twelve_styles():
    assert len(STYLES) >= 12 and len({before for _, before, _ in STYLES.values()}) >= 11
    assert torch.tensor([turn_end(tokenizer_with(t)) for t, _, _ in STYLES.values()]).unique().numel() >= 5
