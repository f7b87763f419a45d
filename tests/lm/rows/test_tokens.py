import os
from pathlib import Path

import pytest

from safedpo.errors import UserError
from safedpo.lm.models.tiny import tiny_tokenizer
from safedpo.lm.rows.tokens import (
    RowError,
    TokenPair,
    prompt_text,
    prompt_token_ids,
    tokenize_examples,
    tokenize_pairs,
    tokenize_response,
)
from safedpo.records import Record, read_records
from tests.lm.rows.templates import merging_tokenizer

EOS = 1


@pytest.mark.parametrize("template", ["chat", "plain"])
def test_a_response_ends_with_exactly_one_eos_and_decodes_to_its_text(tokenizer, template):
    prompt, response, cut = tokenize_response(tokenizer, "hi", "hello", max_length=200, template=template)
    assert response.count(EOS) == 1 and response[-1] == EOS and not cut
    assert tokenizer.decode(response[:-1]).strip() == "hello"
    assert tokenizer.decode(prompt) == prompt_text(tokenizer, "hi", template)
    assert prompt == prompt_token_ids(tokenizer, "hi", template)


def test_the_templates_are_as_documented(tokenizer):
    assert prompt_text(tokenizer, "hi") == "<s>user\nhi</s>\n<s>assistant\n"
    assert prompt_text(tiny_tokenizer(chat=False), "hi") == "BEGINNING OF CONVERSATION: USER: hi ASSISTANT:"
    with pytest.raises(UserError, match="no chat template"):
        prompt_text(tiny_tokenizer(chat=False), "hi", "chat")
    with pytest.raises(UserError, match="known templates"):
        prompt_text(tokenizer, "hi", "fancy")


def test_a_row_whose_prompt_is_no_token_prefix_is_refused_by_number_and_the_others_go_on():
    """A newline in front melts into the newline that ends a chat prompt: one row's trouble, not the run's."""
    tokenizer = merging_tokenizer(("Ċ", "Ċ"))
    done = tokenize_examples([("hi", "\n\nhello", 4), ("hi", "hello", 5)], tokenizer)
    assert [item.id for item in done.items] == [5]
    assert done.refused[0][0] == 4 and "share a token with the end of the prompt" in done.refused[0][1]


def test_half_a_character_and_a_missing_end_of_text_are_said(tokenizer):
    done = tokenize_examples([("hi", "a\ud800b", 4), ("h\udfffi", "a", 5), ("hi", "hello", 6)], tokenizer)
    assert [row for row, _ in done.refused] == [4, 5] and "lone surrogate" in done.refused[0][1]
    tokenizer.eos_token = None
    for template in ("plain", "chat"):
        tokenizer.chat_template = template == "chat" and "{% for m in messages %}{{ m.content }} {% endfor %}" or None
        with pytest.raises(UserError, match="no end-of-text token"):
            tokenize_response(tokenizer, "hi", "hello", max_length=99, template=template)


def test_a_long_response_is_cut_at_its_end_and_counted(tokenizer, records):
    room = len(prompt_token_ids(tokenizer, "hi", "plain"))
    whole = tokenize_response(tokenizer, "hi", "abcdef", max_length=999, template="plain")[1]
    _, response, cut = tokenize_response(tokenizer, "hi", "abcdef", max_length=room + 3, template="plain")
    assert cut and response == whole[:3]
    exact = tokenize_response(tokenizer, "hi", "abcdef", max_length=room + len(whole), template="plain")
    assert exact == (prompt_token_ids(tokenizer, "hi", "plain"), whole, False)


def test_a_prompt_without_room_and_an_inner_eos_are_refused_rows(tokenizer):
    with pytest.raises(RowError, match="leaves no room"):
        tokenize_response(tokenizer, "hi" * 100, "hello", max_length=50)
    with pytest.raises(RowError, match="end-of-text"):
        tokenize_response(tokenizer, "hi", "one</s>two", max_length=500)
    done = tokenize_examples([("hi" * 100, "a", 7), ("hi", "b", 8)], tokenizer, max_length=60)
    assert [row for row, _ in done.refused] == [7] and [item.id for item in done.items] == [8]
    assert done.counts() == {"rows": 2, "used": 1, "dropped": 0, "equal": 0, "refused": 1, "truncated": 0}


def test_pairs_follow_t_and_everything_is_counted(tokenizer, records):
    done = tokenize_pairs(records, tokenizer)
    assert done.counts() == {
        "rows": 24,
        "used": 18,
        "dropped": 6,
        "equal": 0,
        "refused": 0,
        "truncated": 0,
        "SS": 6,
        "SU": 6,
        "US": 6,
    }
    for pair in done.items:
        record = records[pair.id - 1]
        chosen = tokenizer.decode(pair.chosen_ids[:-1])
        assert chosen == record.responses[1 if pair.group == "US" else 0]
        assert (pair.chosen_unsafe, pair.rejected_unsafe) == (False, pair.group != "SS")


def test_the_helpful_rule_keeps_all_pairs_in_their_order(tokenizer, records):
    done = tokenize_pairs(records, tokenizer, rule="helpful")
    assert len(done.items) == 24
    assert {(p.group, p.chosen_unsafe, p.rejected_unsafe) for p in done.items} == {
        ("SS", False, False),
        ("SU", False, True),
        ("US", True, False),
        ("UU", True, True),
    }


def test_responses_that_are_equal_after_truncation_are_dropped_and_counted(tokenizer):
    record = Record("hi", ("same start, then a", "same start, then b"), (False, False), 0, 0, row=3)
    room = len(prompt_token_ids(tokenizer, "hi"))
    done = tokenize_pairs([record], tokenizer, max_length=room + 5)
    assert done.items == [] and done.equal == 1


def test_an_unknown_rule_is_named(tokenizer, records):
    with pytest.raises(UserError, match="known rules are safedpo"):
        tokenize_pairs(records, tokenizer, rule="safest")


def test_real_rows_keep_their_counts(tokenizer):
    folder = os.environ.get("SAFEDPO_REAL_DATA")
    if not folder:
        pytest.skip("SAFEDPO_REAL_DATA is not set: no real rows here")
    for name, used in {"pku_saferlhf_500.jsonl": 247, "pku_saferlhf_32.json": 16}.items():
        for template in ("chat", "plain"):
            done = tokenize_pairs(
                read_records(Path(folder) / name).records, tokenizer, max_length=9999, template=template
            )
            assert (len(done.items), done.refused) == (used, [])
            assert all(isinstance(pair, TokenPair) and pair.chosen_ids[-1] == EOS for pair in done.items)
