"""What rows say about one another: copies of a row, and responses that carry both safety labels.

Crowd workers disagree: in PKU-SafeRLHF about one in six of the responses that stand in several rows is called safe in
one of them and unsafe in another. That is label noise, not damage. It is counted, its rate is reported, and what is
done about it is chosen:

    keep      every row keeps its own labels (the default: what the paper's data hold, and what the paper trains on)
    drop      rows with a response that carries both labels are left out
    majority  such a response gets the label of most rows; where they are even, each row keeps its own

Only a digest of each text is kept, so that a million rows need a few hundred megabytes.
"""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b

from safedpo.errors import UserError
from safedpo.records.row import Record

CONTRADICTIONS = ("keep", "drop", "majority")


@dataclass(frozen=True)
class LabelNoise:
    """How often rows repeat and contradict one another.

    `duplicates`: rows that repeat an earlier one in prompt, responses (in either order) and all labels; such a copy is
    no second opinion and counts for nothing below. `seen_again`: responses that stand in several rows under one prompt;
    `contradictory`: those of them that carry both safety labels; `contradictory_rows`: the rows that hold one.
    `rows_dropped` and `rows_relabelled`: what `drop` and `majority` did.
    """

    duplicates: int = 0
    seen_again: int = 0
    contradictory: int = 0
    contradictory_rows: int = 0
    contradictions: str = "keep"
    rows_dropped: int = 0
    rows_relabelled: int = 0

    @property
    def rate(self) -> float | None:
        """The share of the responses seen again that carry both labels; None where none was seen again."""
        return self.contradictory / self.seen_again if self.seen_again else None

    def to_json(self) -> dict:
        """The counts by name, with their `rate`.

        >>> LabelNoise(seen_again=4, contradictory=1).to_json()["rate"]
        0.25
        """
        return asdict(self) | {"rate": self.rate}

    def __str__(self) -> str:
        done = {
            "keep": "kept as labelled",
            "drop": f"{self.rows_dropped} rows left out",
            "majority": f"{self.rows_relabelled} rows relabelled",
        }[self.contradictions]
        share = "" if self.rate is None else f" ({self.rate:.1%})"
        return (
            f"{self.contradictory} of {self.seen_again} responses seen again carry both safety labels{share}, "
            f"in {self.contradictory_rows} rows: {done}; {self.duplicates} duplicate rows"
        )


class Labels:
    """The labels of all rows, by response: a few bytes a row.

    >>> labels = Labels()
    >>> labels.add(Record("Hi?", ("Hello!", "Hm."), (False, False), 0, 0, row=1))
    >>> labels.add(Record("Hi?", ("Hello!", "Go away."), (True, True), 0, 0, row=2))
    >>> print(labels.noise())
    1 of 1 responses seen again carry both safety labels (100.0%), in 2 rows: kept as labelled; 0 duplicate rows
    """

    def __init__(self) -> None:
        self._number: dict[bytes, int] = {}  # digest of (prompt, response) -> index into the votes
        self._rows: set[bytes] = set()
        self._safe, self._unsafe = array("L"), array("L")  # votes
        self._places = array("L")  # two responses a row
        self._own = array("B")  # the row's own labels: unsafe_0 + 2 unsafe_1 + 4 better + 8 safer
        self.duplicates = 0

    def add(self, record: Record) -> None:
        """Count the labels of one more row."""
        prompt = record.prompt.encode()
        self._own.append(record.unsafe[0] + 2 * record.unsafe[1] + 4 * record.better + 8 * record.safer)
        copies = []
        for i, (response, unsafe) in enumerate(zip(record.responses, record.unsafe, strict=True)):
            # The length stands between the texts, so that no two pairs of texts are joined to the same bytes.
            joined = blake2b(b"%d " % len(prompt), digest_size=15)
            joined.update(prompt)
            joined.update(response.encode())
            copies.append((joined.digest(), unsafe, record.better == i, record.safer == i))
        row = blake2b(repr(sorted(copies)).encode(), digest_size=15).digest()
        copy = row in self._rows
        self.duplicates += copy
        self._rows.add(row)
        for digest, unsafe, *_ in copies:
            place = self._number.setdefault(digest, len(self._number))
            if place == len(self._safe):
                self._safe.append(0)
                self._unsafe.append(0)
            self._places.append(place)
            (self._unsafe if unsafe else self._safe)[place] += not copy

    def contradictory(self, row: int) -> tuple[bool, bool]:
        """Which responses of the row (0 is the first one added) carry both labels somewhere."""
        first, second = (self._safe[p] > 0 < self._unsafe[p] for p in self._places[2 * row : 2 * row + 2])
        return first, second

    def majority(self, row: int, unsafe: tuple[bool, bool]) -> tuple[bool, bool]:
        """The labels that most rows give to the responses of this row, its own where they are even."""
        first, second = (
            own if self._safe[p] == self._unsafe[p] else self._unsafe[p] > self._safe[p]
            for own, p in zip(unsafe, self._places[2 * row : 2 * row + 2], strict=True)
        )
        return first, second

    def bare(self) -> Iterator[Record]:
        """The records without their texts."""
        for row, own in enumerate(self._own):
            yield Record("", ("", ""), (bool(own & 1), bool(own & 2)), own >> 2 & 1, own >> 3, row + 1)

    def noise(self, contradictions: str = "keep") -> LabelNoise:
        """The counts, and what `contradictions` does about them."""
        both = [s > 0 < u for s, u in zip(self._safe, self._unsafe, strict=True)]
        again = sum(s + u > 1 for s, u in zip(self._safe, self._unsafe, strict=True))
        rows = sum(both[a] or both[b] for a, b in zip(self._places[::2], self._places[1::2], strict=True))
        voted = contradictions == "majority" and sum(
            self.majority(row, record.unsafe) != record.unsafe for row, record in enumerate(self.bare())
        )
        dropped = rows if contradictions == "drop" else 0
        return LabelNoise(self.duplicates, again, sum(both), rows, contradictions, dropped, int(voted))


def check_contradictions(contradictions: str) -> None:
    """Raise `UserError` for anything but keep, drop and majority.

    >>> check_contradictions("ignore")
    Traceback (most recent call last):
    ...
    safedpo.errors.UserError: contradictions is 'ignore'; choose keep, drop or majority
    """
    if contradictions not in CONTRADICTIONS:
        raise UserError(f"contradictions is {contradictions!r}; choose keep, drop or majority")


def settle(records: Iterable[Record], labels: Labels, contradictions: str) -> Iterator[Record]:
    """The records after `keep`, `drop` or `majority`; `labels` has seen exactly these, in this order.

    After a vote the safe response of a mixed pair is its safer one, too; which is more helpful does not change.

    >>> first = Record("Hi?", ("Hello!", "Hm."), (False, False), 0, 0, row=1)
    >>> labels, rows = Labels(), [first, replace(first, unsafe=(True, True), row=2), replace(first, better=1, row=3)]
    >>> for row in rows:
    ...     labels.add(row)
    >>> [row.unsafe for row in settle(rows, labels, "majority")], list(settle(rows, labels, "drop"))
    ([(False, False), (False, False), (False, False)], [])
    """
    for row, record in enumerate(records):
        if contradictions == "majority":
            yield _relabelled(record, labels.majority(row, record.unsafe))
        elif contradictions == "keep" or not any(labels.contradictory(row)):
            yield record


def _relabelled(record: Record, unsafe: tuple[bool, bool]) -> Record:
    if unsafe == record.unsafe:
        return record
    safer = record.safer if unsafe[0] == unsafe[1] else unsafe.index(False)
    return replace(record, unsafe=unsafe, safer=safer)
