"""The tiny model and its tokenizer are what other tests take them for: small, seeded, one byte a token."""

import pytest
import torch

from safedpo.lm.models.tiny import tiny_model, tiny_tokenizer


@pytest.mark.parametrize("text", ["plain", "hé! ü ß", "日本 🧨", "tabs\tand\nlines  ", "\u202eright to left"])
def test_a_token_is_a_byte_and_comes_back(text):
    tokenizer = tiny_tokenizer()
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert len(ids) == len(text.encode()) and max(ids) < 258 and min(ids) >= 2
    assert tokenizer.decode(ids) == text


def test_the_template_marks_turns_and_can_be_left_out():
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]
    written = tiny_tokenizer().apply_chat_template(turns, tokenize=False)
    assert written == "<s>user\nhi</s>\n<s>assistant\nyes</s>\n"
    assert tiny_tokenizer(chat=False).chat_template is None


def test_weights_depend_on_the_seed_alone_and_nothing_else_is_drawn():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, same, other = tiny_model(), tiny_model(), tiny_model(seed=1)
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.model.embed_tokens.weight, other.model.embed_tokens.weight)


def test_tied_and_untied_heads():
    tied, untied = tiny_model(), tiny_model(tied=False)
    assert tied.lm_head.weight is tied.model.embed_tokens.weight
    assert untied.lm_head.weight is not untied.model.embed_tokens.weight
    assert tiny_model(dtype=torch.bfloat16).dtype == torch.bfloat16 and not tied.training
