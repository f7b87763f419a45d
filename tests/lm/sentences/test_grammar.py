"""The grammar is counted, listed and refused rightly; its tokenizer knows every word and no other."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safedpo.errors import UserError
from safedpo.lm.sentences.advice import GRAMMAR
from safedpo.lm.sentences.grammar import ANSWER, END, Grammar
from safedpo.lm.sentences.reference import kitchen_tokenizer


@given(st.lists(st.integers(1, 4), min_size=1, max_size=6))
def test_count_of_a_chain_is_the_product(sizes):
    slots = [tuple(f"w{depth}-{i}" for i in range(size)) for depth, size in enumerate(sizes)] + [(END,)]
    follows = {ANSWER: slots[0]} | {
        word: after for words, after in zip(slots, slots[1:], strict=False) for word in words
    }
    chain, product = Grammar(follows), 1
    for size in sizes:
        product *= size
    assert chain.count == product == len(set(chain.sentences))


def test_too_large_is_refused_with_its_size_and_without_listing():
    slots = [tuple(f"w{depth}-{i}" for i in range(10)) for depth in range(30)] + [(END,)]
    follows = {ANSWER: slots[0]} | {
        word: after for words, after in zip(slots, slots[1:], strict=False) for word in words
    }
    started = time.process_time()
    with pytest.raises(UserError, match=f"{10**30:,} sentences"):
        Grammar(follows)
    assert time.process_time() - started < 1
    with pytest.raises(UserError, match="3 sentences.*at most 2"):
        Grammar({ANSWER: ("a", "b", "c"), **dict.fromkeys("abc", (END,))}, largest=2)


def test_endless_and_dead_ends_are_refused_by_word():
    with pytest.raises(UserError, match="'and' can come again|'salt' can come again"):
        Grammar({ANSWER: ("salt",), "salt": ("and", END), "and": ("salt",)})
    with pytest.raises(UserError, match="nothing may follow 'salt'"):
        Grammar({ANSWER: ("salt",)})


def test_a_word_without_a_token_is_refused_by_name():
    tokenizer = kitchen_tokenizer()
    with pytest.raises(UserError, match="no token for 'petrol'"):
        tokenizer("pour petrol over soda")
    with pytest.raises(UserError, match="no token for 'Pour'"):
        tokenizer(["rub soap", "Pour soap"])


@settings(max_examples=50)
@given(st.sampled_from(GRAMMAR.sentences))
def test_words_are_tokens_and_back(sentence):
    tokenizer = kitchen_tokenizer()
    ids = tokenizer(sentence)["input_ids"]
    assert len(ids) == len(sentence.split()) and tokenizer.decode(ids) == sentence
    assert tokenizer.eos_token_id == tokenizer.pad_token_id == 0 not in ids
