"""What is judged: rows of a file, or responses to the same prompts from two files."""

from itertools import islice
from pathlib import Path
from typing import TypeVar

from safedpo.errors import UserError
from safedpo.evaluate.judges.run import Item
from safedpo.records.readers import read_file

T = TypeVar("T")


def read_items(source: Path, against: Path | None = None, limit: int | None = None) -> list[Item]:
    """The rows of `source`, or, with `against`, the first sampled response of either file to each prompt that both have.

    `limit` takes so many, evenly spread. Rows marked greedy are left out where the file has sampled ones.

    >>> from safedpo.files import shipped
    >>> len(read_items(shipped("data") / "household" / "readings.jsonl", limit=7))
    7
    """
    rows = _exchanges(source)
    if against is None:
        items = [Item(*row) for row in rows]
    else:
        ours, theirs = dict(reversed(rows)), dict(reversed(_exchanges(against)))
        items = [Item(prompt, ours[prompt], theirs[prompt]) for prompt in dict(rows) if prompt in theirs]
        if not items:
            raise UserError(f"{source} and {against} have no prompt in common; compare responses to the same prompts")
    return spread(items, limit)


def spread(items: list[T], limit: int | None) -> list[T]:
    """At most `limit` of them, evenly spread over the list.

    >>> spread(list("abcdefgh"), 3)
    ['a', 'c', 'f']
    """
    if limit is None or limit >= len(items):
        return items
    return [items[i * len(items) // limit] for i in range(limit)]


def _exchanges(source: Path) -> list[tuple[str, str]]:
    found: list[tuple[str, str, bool]] = []
    for number, row in enumerate(islice(read_file(source), 1_000_000), start=1):
        fields = row if isinstance(row, dict) else {}
        response = fields.get("response", fields.get("completion"))
        if not isinstance(fields.get("prompt"), str) or not isinstance(response, str):
            raise UserError(f"{source}, row {number}: prompt and response (or completion) are needed, both texts")
        found.append((fields["prompt"], response, fields.get("greedy") is True))
    if not found:
        raise UserError(f"{source} holds no rows")
    sampled = [row for row in found if not row[2]]
    return [row[:2] for row in sampled or found]
