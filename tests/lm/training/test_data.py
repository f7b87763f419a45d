"""What a run trains on: drawn with the seed, named by its words, never empty in silence."""

import pytest

from safedpo.errors import UserError
from safedpo.lm.rows.tokens import Tokenized
from safedpo.lm.training.data import data_fingerprint, draw, records_of, sft_rows, usable


def test_a_draw_keeps_the_order_and_depends_on_the_seed():
    items = list(range(50))
    few = draw(items, 10, seed=0)
    assert few == sorted(few) == draw(items, 10, seed=0) and len(set(few)) == 10
    assert few != draw(items, 10, seed=1)
    assert draw(items, None, 0) == draw(items, 50, 0) == items
    with pytest.raises(UserError, match="0 items"):
        draw(items, 0, 0)


def test_the_fingerprint_changes_with_a_label(records):
    from dataclasses import replace

    relabelled = [replace(records[0], better=1 - records[0].better), *records[1:]]
    assert data_fingerprint(records) == data_fingerprint(list(records))
    assert data_fingerprint(relabelled) != data_fingerprint(records) != data_fingerprint(records[::-1])


def test_responses_are_chosen_by_label(records):
    both, safe, better = (sft_rows(records, which) for which in ("both", "safe", "better"))
    assert len(both) == 48 and len(safe) == 24 and len(better) == 24
    with pytest.raises(UserError, match="choose both, better, safe"):
        sft_rows(records, "worse")


def test_nothing_to_train_on_is_an_error_with_the_counts():
    with pytest.raises(UserError, match=r"leaves no pair .*'rows': 3"):
        usable(Tokenized(rows=3), "pairs.jsonl", "pair", "the rule safedpo")


def test_records_come_from_a_sequence_too(records):
    assert records_of(records) == (records, "records")
