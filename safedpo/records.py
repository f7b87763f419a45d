"""A row of preference data becomes a `Record`, or a reason why not.

The schema is that of PKU-SafeRLHF: a prompt, two responses, two safety bits, and which response is the better
(more helpful) and which the safer one. Extra columns are ignored. The data says `is_response_0_safe`; the paper's
h says *unsafe* (h = 1 means c(x, y) > 0). The bit is inverted here, once, and nowhere else.

Standard library only; the readers of parquet files and of the Hugging Face hub import `datasets` when called.
"""

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from safedpo.errors import UserError

TEXTS = ("prompt", "response_0", "response_1")
BITS = ("is_response_0_safe", "is_response_1_safe")
IDS = ("better_response_id", "safer_response_id")


@dataclass(frozen=True)
class Record:
    """One preference pair: `unsafe[i]` is the paper's h of `responses[i]`; `better` and `safer` are 0 or 1."""

    prompt: str
    responses: tuple[str, str]
    unsafe: tuple[bool, bool]
    better: int
    safer: int
    row: int  # 1 is the first row of the source


@dataclass(frozen=True)
class Problem:
    """A row that cannot be used, and why. Rows count from 1."""

    row: int
    reason: str


@dataclass(frozen=True)
class Records:
    """What was read: the usable records, and a problem for each row that is not."""

    source: str
    records: tuple[Record, ...]
    problems: tuple[Problem, ...]

    def counts(self) -> dict[str, int]:
        """Pair groups before T (first letter: the better response; S safe, U unsafe) and what T does with them.

        >>> rows = [dict(prompt="Hi?", response_0="Hello!", response_1="Go away.", is_response_0_safe=True,
        ...              is_response_1_safe=False, better_response_id=1, safer_response_id=0)]
        >>> parse_rows(rows, "example").counts()
        {'rows': 1, 'SS': 0, 'SU': 0, 'US': 1, 'UU': 0, 'kept': 1, 'swapped': 1, 'dropped': 0}
        """
        from safedpo.transform import count_pairs  # torch is needed only here

        counted = count_pairs([r.better for r in self.records], [r.unsafe for r in self.records])
        return {"rows": len(self.records) + len(self.problems), **counted}


def read_records(source, *, split: str | None = None, revision: str | None = None, strict: bool = True) -> Records:
    """Read a .jsonl, .json, .csv or .parquet file, or a data set of the Hugging Face hub (`owner/name`).

    `split` and `revision` belong to the hub (default split: `train`) and are refused for a file. With
    `strict` the first bad rows raise one `UserError` that lists them; otherwise they are left out and stand in
    `.problems`.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "pairs.jsonl"
    >>> _ = path.write_text('{"prompt": "Hi?", "response_0": "Hello!"}')
    >>> read_records(path, strict=False).problems
    (Problem(row=1, reason='response_1 is missing'),)
    """
    path = Path(source)
    if path.suffix in READERS or path.exists():
        if split is not None or revision is not None:
            raise UserError(f"{source} is a file; split and revision belong to data sets of the hub")
        rows = _read_file(path)
    else:
        rows = _read_hub(str(source), split or "train", revision)
    records = parse_rows(rows, str(source))
    if not records.records and not records.problems:
        raise UserError(f"{source} holds no rows")
    if strict and records.problems:
        listed = "\n".join(f"  row {p.row}: {p.reason}" for p in records.problems[:10])
        more = len(records.problems) - 10
        raise UserError(
            f"{source}: {len(records.problems)} of {records.counts()['rows']} rows cannot be used\n{listed}"
            + (f"\n  ... and {more} more" if more > 0 else "")
            + "\nMend these rows, or read with strict=False (--skip-bad-rows) to leave them out, counted."
        )
    return records


def parse_rows(rows: Iterable, source: str) -> Records:
    """Check each row on its own and against the rows before it: no response may be both safe and unsafe.

    A row is a mapping in the schema of PKU-SafeRLHF; a string is the reason why it could not even be parsed.
    """
    records, problems, seen = [], [], {}
    for number, row in enumerate(rows, start=1):
        reason = _fault(row) or _contradiction(row, seen)
        if reason:
            problems.append(Problem(number, reason))
            continue
        record = _record(row, number)
        for response, unsafe in zip(record.responses, record.unsafe, strict=True):
            seen.setdefault((record.prompt, response), (unsafe, number))
        records.append(record)
    return Records(source, tuple(records), tuple(problems))


def _record(row, number: int) -> Record:
    better, safer = (int(row[name]) for name in IDS)
    unsafe = tuple(not row[name] for name in BITS)
    return Record(row["prompt"], (row["response_0"], row["response_1"]), unsafe, better, safer, number)


def _fault(row) -> str | None:
    """Why this row alone cannot be used, or None."""
    if isinstance(row, str):
        return row
    if not isinstance(row, dict):
        return f"a row must be an object with named fields, not {type(row).__name__}"
    for name in (*TEXTS, *BITS, *IDS):
        if row.get(name) is None:
            return f"{name} is missing"
    for name in TEXTS:
        if not isinstance(row[name], str):
            return f"{name} must be text, not {row[name]!r}"
        if not row[name].strip():
            return f"{name} is empty"
    for name in BITS:
        if not isinstance(row[name], bool):
            return f"{name} must be true or false, not {row[name]!r}"
    for name in IDS:
        if isinstance(row[name], bool) or row[name] not in (0, 1):
            return f"{name} must be 0 or 1, not {row[name]!r}"
    if row["response_0"] == row["response_1"]:
        return "the two responses are identical"
    safe = [row[name] for name in BITS]
    if safe[0] != safe[1] and not safe[int(row["safer_response_id"])]:
        return f"safer_response_id is {row['safer_response_id']}, but only response {safe.index(True)} is safe"
    return None


def _contradiction(row, seen) -> str | None:
    """The same prompt and response labelled safe in one row and unsafe in another."""
    for i, name in enumerate(BITS):
        unsafe, where = seen.get((row["prompt"], row[f"response_{i}"]), (not row[name], 0))
        if unsafe == row[name]:
            here, there = ("safe", "unsafe") if row[name] else ("unsafe", "safe")
            return f"response_{i} is labelled {here} here and {there} in row {where}"
    return None


def _read_file(path: Path) -> Iterator:
    if not path.is_file():
        raise UserError(f"{path} does not exist; give a file that ends in {', '.join(READERS)}, or a hub id owner/name")
    if path.suffix not in READERS:
        raise UserError(f"{path} ends in {path.suffix or 'nothing'}; {', '.join(READERS)} can be read")
    try:
        return READERS[path.suffix](path)
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error


def _read_jsonl(path: Path) -> list:
    def parse(line):
        try:
            return json.loads(line)
        except json.JSONDecodeError as error:
            return f"not valid JSON: {error.msg} at column {error.colno}"

    with path.open(encoding="utf-8") as lines:
        return [parse(line) for line in lines if line.strip()]


def _read_json(path: Path) -> list:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is not valid JSON: {error}; if it has one object a line, name it .jsonl") from error
    if not isinstance(rows, list):
        raise UserError(f"{path} must hold a list of rows, not {type(rows).__name__}")
    return rows


def _read_csv(path: Path) -> list:
    """Cells are text, so the typed columns are read back; a cell that does not parse stays text and is reported."""
    words = {"true": True, "false": False, "0": 0, "1": 1}

    def typed(name, cell):
        return words.get(str(cell).strip().lower(), cell) if name in (*BITS, *IDS) else cell

    with path.open(encoding="utf-8", newline="") as lines:
        return [{name: typed(name, cell) for name, cell in row.items()} for row in csv.DictReader(lines)]


def _read_parquet(path: Path) -> list:
    import datasets

    try:
        return list(datasets.Dataset.from_parquet(str(path)))
    except Exception as error:  # pyarrow raises many kinds; each means that the file is not readable parquet
        raise UserError(f"{path} is not a readable parquet file: {error}") from error


def _read_hub(name: str, split: str, revision: str | None) -> list:
    import datasets

    try:
        return list(datasets.load_dataset(name, split=split, revision=revision))
    except Exception as error:  # no network, no such name, no such split, gated: the library's own words say which
        raise UserError(
            f"{name} is neither a file here nor a data set that the hub gave (split {split}, revision "
            f"{revision or 'newest'}): {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        ) from error


READERS = {".jsonl": _read_jsonl, ".json": _read_json, ".csv": _read_csv, ".parquet": _read_parquet}
