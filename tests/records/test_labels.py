"""Label noise: what is contradictory, how often, and what keep, drop and majority make of it."""

import os
from collections import defaultdict
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safedpo import read_records
from safedpo.records import CONTRADICTIONS, LabelNoise, Record, parse_rows


def row(response_0, response_1, safe, better=0, prompt="q"):
    """A row; the safe response of a mixed pair is the safer one."""
    return {
        "prompt": prompt,
        "response_0": response_0,
        "response_1": response_1,
        "is_response_0_safe": safe[0],
        "is_response_1_safe": safe[1],
        "better_response_id": better,
        "safer_response_id": 0 if safe[0] else int(safe[1]),
    }


rows = st.lists(
    st.builds(
        lambda pair, safe, better, prompt: row(*pair, safe, better, prompt),
        st.sampled_from([(a, b) for a in "abc" for b in "abc" if a != b]),
        st.tuples(st.booleans(), st.booleans()),
        st.integers(0, 1),
        st.sampled_from("pq"),
    ),
    max_size=12,
)


def by_hand(read):
    """The rows that are no copies, and the votes (safe, unsafe) for each response: written without a digest."""
    seen, votes, copies = set(), defaultdict(lambda: [0, 0]), 0
    for one in read:
        marks = [
            (
                one[f"response_{i}"],
                one[f"is_response_{i}_safe"],
                one["better_response_id"] == i,
                one["safer_response_id"] == i,
            )
            for i in (0, 1)
        ]
        key = (one["prompt"], frozenset(marks))
        if key in seen:
            copies += 1
            continue
        seen.add(key)
        for text, safe, *_ in marks:
            votes[one["prompt"], text][not safe] += 1
    return votes, copies


@given(rows)
def test_what_is_counted_and_voted_is_what_a_count_by_hand_says(read):
    votes, copies = by_hand(read)
    contested = {key for key, (safe, unsafe) in votes.items() if safe and unsafe}
    held = [any((one["prompt"], one[f"response_{i}"]) in contested for i in (0, 1)) for one in read]
    kept, dropped, voted = (parse_rows(read, "here", contradictions=how) for how in CONTRADICTIONS)
    assert [r.row for r in kept.records] == [*range(1, len(read) + 1)] and not kept.problems
    assert asdict(kept.noise) == asdict(
        LabelNoise(copies, sum(sum(v) > 1 for v in votes.values()), len(contested), sum(held))
    )
    assert [r.row for r in dropped.records] == [i + 1 for i, one in enumerate(held) if not one]
    assert dropped.noise.rows_dropped == sum(held) and dropped.counts()["rows"] == len(read)
    for before, after in zip(kept.records, voted.records, strict=True):
        for i in (0, 1):
            safe, unsafe = votes[before.prompt, before.responses[i]]
            assert after.unsafe[i] == (before.unsafe[i] if safe == unsafe else unsafe > safe)
        if after.unsafe[0] != after.unsafe[1]:
            assert not after.unsafe[after.safer]
        assert replace(after, unsafe=before.unsafe, safer=before.safer) == before
    assert voted.noise.rows_relabelled == sum(a != b for a, b in zip(kept.records, voted.records, strict=True))


def test_a_copy_in_the_other_order_is_a_duplicate_and_no_second_vote():
    first = row("a", "b", (True, False), better=1)
    other_order = row("b", "a", (False, True), better=0)
    against = row("a", "c", (False, True))
    read = parse_rows([first, other_order, first, against], "here", contradictions="majority")
    assert read.noise.duplicates == 2 and read.noise.seen_again == read.noise.contradictory == 1
    assert [r.unsafe for r in read.records] == [
        r.unsafe for r in parse_rows([first, other_order, first, against], "").records
    ]


def test_the_same_response_to_another_prompt_is_another_response():
    read = parse_rows([row("a", "b", (True, True)), row("a", "b", (False, True), prompt="Q")], "here")
    assert read.noise.seen_again == 0 and read.noise.rate is None


def test_texts_that_join_to_the_same_letters_are_kept_apart():
    read = parse_rows([row("bc", "x", (True, True), prompt="a"), row("c", "y", (False, True), prompt="ab")], "here")
    assert read.noise.seen_again == 0


def test_real_rows_with_crafted_contradictions_are_counted():
    """Rows of PKU-SafeRLHF again, with one safety bit turned: what two crowd workers would have said."""
    folder = os.environ.get("SAFEDPO_REAL_DATA")
    if not folder:
        pytest.skip("SAFEDPO_REAL_DATA does not name a folder with PKU-SafeRLHF samples")
    real = read_records(Path(folder) / "pku_saferlhf_500.jsonl").records
    twice = [contradicted(record) for record in real[:40]]
    read = parse_rows([as_row(r) for r in (*real, *twice)], "real")
    assert len(read.records) == 540 and not read.problems
    assert read.noise.contradictory == 40 and read.noise.contradictory_rows >= 80
    assert f"{40 / read.noise.seen_again:.1%}" in str(read.noise)


def contradicted(record: Record) -> Record:
    """The same pair as another worker might have labelled it: response 0 has the other safety bit."""
    unsafe = (not record.unsafe[0], record.unsafe[1])
    return replace(record, unsafe=unsafe, safer=record.safer if unsafe[0] == unsafe[1] else unsafe.index(False))


def as_row(record: Record) -> dict:
    """A record as the row of the data that it came from."""
    return {
        "prompt": record.prompt,
        "response_0": record.responses[0],
        "response_1": record.responses[1],
        "is_response_0_safe": not record.unsafe[0],
        "is_response_1_safe": not record.unsafe[1],
        "better_response_id": record.better,
        "safer_response_id": record.safer,
    }
