"""What a run trains on: drawn with the seed, named by its words, never empty in silence."""

import json

import pytest

from safedpo.errors import UserError
from safedpo.lm.rows.tokens import Tokenized
from safedpo.lm.training.data import data_fingerprint, draw, labels_settled, sft_rows, usable
from safedpo.records import Records
from tests.records.test_labels import as_row, contradicted


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


def test_contradictory_labels_are_counted_whatever_the_data_come_as(records, tmp_path, capsys):
    noisy = [*records, contradicted(records[0]), records[1]]
    path = tmp_path / "noisy.jsonl"
    path.write_text("".join(json.dumps(as_row(record)) + "\n" for record in noisy) + "{}\n")
    for data in (noisy, Records("mine", tuple(noisy), ())):
        read, labels = labels_settled(data)
        assert (labels["contradictory"], labels["duplicates"], labels["bad_rows"]) == (1, 1, 0)
        assert read.records == tuple(noisy) and "1 of 2 responses seen again" in capsys.readouterr().out
    with pytest.raises(UserError, match="--skip-bad-rows"):
        labels_settled(path)
    read, labels = labels_settled(path, skip_bad_rows=True, contradictions="drop")
    assert labels["bad_rows"] == 1 and labels["rows_dropped"] == 2 and len(read.records) == len(noisy) - 2
    assert "1 bad rows left out, the first: row 27: prompt is missing" in capsys.readouterr().out
    again, same = labels_settled(read)  # what was settled is not settled, nor told, a second time
    assert again is read and same == labels and not capsys.readouterr().out
    with pytest.raises(UserError, match="contradictions is 'x'"):
        labels_settled(noisy, contradictions="x")
