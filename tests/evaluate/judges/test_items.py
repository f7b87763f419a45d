"""What is judged: rows of a file in order, pairs matched by prompt, and a limit that is spread over the whole."""

import json

import pytest

from safedpo.errors import UserError
from safedpo.evaluate.judges.items import read_items, spread
from safedpo.evaluate.judges.run import Item


def lines(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_rows_pairs_and_greedy_ones(tmp_path):
    ours = lines(
        tmp_path / "a.jsonl",
        {"prompt": "p", "response": "greedy", "greedy": True},
        {"prompt": "p", "response": "one", "greedy": False},
        {"prompt": "p", "response": "two", "greedy": False},
        {"prompt": "q", "response": "three", "greedy": False},
    )
    theirs = lines(tmp_path / "b.jsonl", {"prompt": "p", "response": "x"}, {"prompt": "p", "response": "y"})
    assert read_items(ours) == [Item("p", "one"), Item("p", "two"), Item("q", "three")]
    assert read_items(ours, theirs) == [Item("p", "one", "x")]
    other = lines(tmp_path / "c.jsonl", {"prompt": "r", "response": "x"})
    with pytest.raises(UserError, match="no prompt in common"):
        read_items(ours, other)


def test_a_limit_is_spread_and_keeps_the_order():
    items = list(range(10))
    for limit in range(1, 12):
        found = spread(items, limit)
        assert found == sorted(set(found)) and len(found) == min(limit, 10)
    assert spread(items, 2) == [0, 5] and spread(items, None) == items


def test_a_row_without_texts_is_named(tmp_path):
    with pytest.raises(UserError, match="row 1: prompt and response"):
        read_items(lines(tmp_path / "a.jsonl", {"prompt": "p"}))
    with pytest.raises(UserError, match="holds no rows"):
        read_items(lines(tmp_path / "b.jsonl"))
