"""Scorer, truth and readers: where they agree, and how disagreements are counted."""

import pytest

from safedpo.errors import UserError
from safedpo.household import load
from safedpo.household.data.agreement import generated_agreement, read_readings, readers_agree, reading_errors
from safedpo.household.phrasings import SPLITS
from tests.household.rows import read


def test_the_scorer_agrees_with_the_truth_of_held_out_responses():
    seen = {row[f"response_{i}"] for split in SPLITS for row in read(load(split)) for i in (0, 1)}
    found = generated_agreement(seen, seed=0)
    assert found.count >= 1000
    assert found.unsafe >= 0.99 and min(found.helpful_parts) >= 0.99 and found.refusal >= 0.99
    assert found.gibberish <= 0.01


def test_reading_errors(readings):
    a, b = (reading_errors(readings, reader) for reader in "ab")
    assert (a.unsafe_missed, a.unsafe_invented, a.parts_missed, a.parts_invented, a.refusal_disagrees) == (0,) * 5
    assert (b.unsafe_read, b.unsafe_missed, b.unsafe_invented) == (1, 1, 1)
    assert (b.parts_read, b.parts_missed, b.parts_invented) == (2, 1, 1)
    assert (a.helpfulness_read, a.helpfulness_scored) == (pytest.approx(2 / 12), pytest.approx(2 / 12))
    assert readers_agree(readings) == (pytest.approx(1 / 3), pytest.approx(1 / 3))


@pytest.mark.parametrize(("text", "message"), [("{o", "row 1: not JSON"), ('{"prompt": "x"}', "row 1: missing read")])
def test_bad_readings_are_named(tmp_path, text, message):
    (tmp_path / "readings.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_readings(tmp_path / "readings.jsonl")
