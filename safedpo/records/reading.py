"""From a source to its records: every row checked, bad ones named, contradictory labels settled."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from safedpo.errors import UserError
from safedpo.records.columns import Row, read_hub
from safedpo.records.labels import LabelNoise, Labels, check_contradictions, settle
from safedpo.records.readers import READERS, read_file
from safedpo.records.row import Problem, Record, parse_row


@dataclass(frozen=True)
class Records:
    """What was read: the usable records, a problem for each row that is not, and how noisy the labels are."""

    source: str
    records: tuple[Record, ...]
    problems: tuple[Problem, ...]
    noise: LabelNoise = field(default_factory=LabelNoise)

    def counts(self) -> dict[str, int]:
        """Pair groups before T (first letter: the better response; S safe, U unsafe) and what T does with them.

        `rows` counts the bad rows, too, and those that `contradictions="drop"` left out.

        >>> rows = [dict(prompt="Hi?", response_0="Hello!", response_1="Go away.", is_response_0_safe=True,
        ...              is_response_1_safe=False, better_response_id=1, safer_response_id=0)]
        >>> parse_rows(rows, "example").counts()
        {'rows': 1, 'SS': 0, 'SU': 0, 'US': 1, 'UU': 0, 'kept': 1, 'swapped': 1, 'dropped': 0}
        """
        return _counts_of(self.records, len(self.problems) + self.noise.rows_dropped)


def _counts_of(records: Iterable[Record], left_out: int = 0) -> dict[str, int]:
    """`Records.counts` of records that need not all be in memory; `left_out` rows are counted beside them."""
    from safedpo.transform import count_pairs  # torch is needed only here

    found = Counter((record.better, record.unsafe) for record in records)  # eight kinds of rows
    total: Counter[str] = Counter()
    for (better, unsafe), times in found.items():
        total.update({name: times * count for name, count in count_pairs([better], [unsafe]).items()})
    names = ("SS", "SU", "US", "UU", "kept", "swapped", "dropped")
    return {"rows": sum(found.values()) + left_out} | {name: total[name] for name in names}


def read_records(
    source: str | Path,
    *,
    split: str | None = None,
    revision: str | None = None,
    strict: bool = True,
    contradictions: str = "keep",
) -> Records:
    """Read a .jsonl, .json, .csv or .parquet file, or a data set of the Hugging Face hub (`owner/name`).

    `split` and `revision` belong to the hub (default split: `train`) and are refused for a file. With
    `strict` the first bad rows raise one `UserError` that lists them; otherwise they are left out and stand in
    `.problems`. `contradictions` says what becomes of a response that is called safe in one row and unsafe in another:
    `keep`, `drop` or `majority` (see `safedpo.records.labels`); `.noise` counts them in any case.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "pairs.jsonl"
    >>> _ = path.write_text('{"prompt": "Hi?", "response_0": "Hello!"}')
    >>> read_records(path, strict=False).problems
    (Problem(row=1, reason='response_1 is missing'),)
    """
    check_contradictions(contradictions)
    records = parse_rows(_rows(source, split, revision), str(source), contradictions=contradictions)
    if not records.records and not records.problems and not records.noise.rows_dropped:
        raise UserError(f"{source} holds no rows")
    if strict and records.problems:
        listed = "\n".join(f"  row {p.row}: {p.reason}" for p in records.problems[:10])
        more = len(records.problems) - 10
        raise UserError(
            f"{source}: {len(records.problems)} of {records.counts()['rows']} rows cannot be used\n{listed}"
            + (f"\n  ... and {more} more" if more > 0 else "")
            + "\nCorrect these rows, or leave them out, counted, with --skip-bad-rows (in Python: strict=False)."
        )
    return records


def parse_rows(rows: Iterable[Row], source: str, *, contradictions: str = "keep") -> Records:
    """Check each row on its own, then settle what the rows say about one another.

    A row is a mapping in the schema of PKU-SafeRLHF.

    >>> parse_rows([{"prompt": "Hi?", "response_0": ""}], "here").problems
    (Problem(row=1, reason='response_1 is missing'),)
    """
    records: list[Record] = []
    problems: list[Problem] = []
    for found in _parsed(rows):
        if isinstance(found, Problem):
            problems.append(found)
        else:
            records.append(found)
    return settle_records(records, source, problems, contradictions)


def settle_records(
    records: Iterable[Record], source: str, problems: Iterable[Problem] = (), contradictions: str = "keep"
) -> Records:
    """`Records` of records that are there already, their contradictory labels counted and kept, dropped or voted on.

    >>> pair = Record("Hi?", ("Hello!", "Hm."), (False, False), 0, 0, row=1)
    >>> settle_records([pair, pair], "mine").noise.duplicates
    1
    """
    check_contradictions(contradictions)
    records, labels = tuple(records), Labels()
    for record in records:
        labels.add(record)
    settled = tuple(settle(records, labels, contradictions))
    return Records(source, settled, tuple(problems), labels.noise(contradictions))


@dataclass(frozen=True)
class Count:
    """What `count_records` found: `counts` as those of `Records`, the problems, and the label noise."""

    source: str
    counts: dict[str, int]
    problems: tuple[Problem, ...]
    noise: LabelNoise


def count_records(
    source: str | Path, *, split: str | None = None, revision: str | None = None, contradictions: str = "keep"
) -> Count:
    """Count what `read_records(..., strict=False)` would read, without keeping any text: for files of any size.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "pairs.jsonl"
    >>> _ = path.write_text('{"prompt": "Hi?"}\\n[]')
    >>> [problem.row for problem in count_records(path).problems]
    [1, 2]
    """
    check_contradictions(contradictions)
    labels, problems = Labels(), []
    for found in _parsed(_rows(source, split, revision)):
        if isinstance(found, Problem):
            problems.append(found)
        else:
            labels.add(found)
    noise = labels.noise(contradictions)
    counts = _counts_of(settle(labels.bare(), labels, contradictions), len(problems) + noise.rows_dropped)
    if not counts["rows"]:
        raise UserError(f"{source} holds no rows")
    return Count(str(source), counts, tuple(problems), noise)


def _parsed(rows: Iterable[Row]) -> Iterator[Record | Problem]:
    return (parse_row(row, number) for number, row in enumerate(rows, start=1))


def _rows(source: str | Path, split: str | None, revision: str | None) -> Iterator[Row]:
    path = Path(source)
    if path.suffix.lower() not in READERS and not _exists(path):
        return read_hub(str(source), split or "train", revision)
    if split is not None or revision is not None:
        raise UserError(f"{source} is a file; split and revision belong to data sets of the hub")
    return read_file(path)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no file can have: too long, or with a zero byte
        return False
