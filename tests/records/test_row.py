"""One row: a record with the right fields, or one reason, whatever stands in its place."""

import itertools

import pytest

from safedpo.records.row import FIELDS, LONGEST_QUOTE, LONGEST_ROW, Problem, Record, Unreadable, parse_row, quoted
from tests.records.row import GOOD


@pytest.mark.parametrize(("safe", "better"), [*itertools.product(itertools.product((True, False), repeat=2), (0, 1))])
def test_every_combination_of_labels_is_kept_as_it_is(safe, better):
    safer = 0 if safe[0] else 1
    row = GOOD | {
        "is_response_0_safe": safe[0],
        "is_response_1_safe": safe[1],
        "better_response_id": better,
        "safer_response_id": safer,
    }
    unsafe = tuple(not bit for bit in safe)
    assert parse_row(row, 7) == Record(
        GOOD["prompt"], (GOOD["response_0"], GOOD["response_1"]), unsafe, better, safer, 7
    )


@pytest.mark.parametrize("name", FIELDS)
def test_each_field_is_needed(name):
    assert parse_row({k: v for k, v in GOOD.items() if k != name}, 2) == Problem(2, f"{name} is missing")
    assert parse_row(GOOD | {name: None}, 2) == Problem(2, f"{name} is missing")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"prompt": "   "}, "prompt is empty"),
        ({"prompt": 3}, "prompt must be text, not 3"),
        ({"response_1": GOOD["response_0"]}, "the two responses are identical"),
        ({"is_response_0_safe": 1}, "is_response_0_safe must be true or false, not 1"),
        ({"better_response_id": True}, "better_response_id must be 0 or 1, not True"),
        ({"better_response_id": 0.5}, "better_response_id must be 0 or 1, not 0.5"),
        ({"better_response_id": float("nan")}, "better_response_id must be 0 or 1, not nan"),
        ({"safer_response_id": 1}, "safer_response_id is 1, but only response 0 is safe"),
        ({"response_0": "a" * (LONGEST_ROW + 1)}, "response_0 has 10,000,001 characters, more than 10,000,000"),
        ({"response_0": "\ud800"}, "response_0: character 1 is half of a surrogate pair (\\ud800)"),
    ],
)
def test_one_fault_is_one_reason(change, reason):
    assert parse_row(GOOD | change, 5) == Problem(5, reason)


def test_a_whole_number_may_be_written_as_a_decimal():
    """CSV readers and pandas make 1.0 of a 1 in a column with holes."""
    assert parse_row(GOOD | {"better_response_id": 1.0}, 1) == parse_row(GOOD, 1)


@pytest.mark.parametrize(("row", "reason"), [([], "list"), ("text", "str"), (None, "NoneType"), (3, "int")])
def test_what_is_no_object_is_named(row, reason):
    assert parse_row(row, 1) == Problem(1, f"a row must be an object with named fields, not {reason}")


def test_an_unreadable_row_says_why_itself():
    assert parse_row(Unreadable("line 3 ends in the middle"), 3) == Problem(3, "line 3 ends in the middle")


def test_a_quotation_is_short_whatever_it_quotes():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    for value in ("x" * 10**7, b"\0" * 10**6, 10**10_000, deep, {"a": ["b"] * 1000}):
        assert len(quoted(value)) <= LONGEST_QUOTE
    assert quoted(deep) == "a value of type list" and quoted(10**10_000) == "a value of type int"
