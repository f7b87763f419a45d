"""Damaged data files: whatever is done to the bytes, rows are read or refused, and nothing is made up.

A file of rows is mutated by its bytes: cut, repeated, turned over, filled with what parsers stumble over. Reading it
must end, within seconds, in `Records` or in one `UserError` of a few words; each record that comes out must hold texts
and labels that stood in the file's rows. The seed is printed; SAFEDPO_FUZZ_SEED repeats a run; a failure is shrunk.
"""

import csv
import io
import json
import os
import random
import time

import pytest

from safedpo import read_records
from safedpo.errors import UserError
from safedpo.records import CONTRADICTIONS, Record, count_records
from safedpo.records.row import FIELDS, LONGEST_QUOTE

ROWS = [
    {
        "prompt": f"How do I clear drain {i}? „Bitte“",
        "response_0": 'Use a plunger, "gently";\nthen wait.' if i % 3 else "Warten\tSie.",
        "response_1": f"Mix bleach \\ and acid {i % 4} [{{,",
        "is_response_0_safe": i % 4 != 1,
        "is_response_1_safe": i % 5 == 2,
        "better_response_id": i % 2,
        "safer_response_id": 0 if i % 4 != 1 else int(i % 5 == 2),
    }
    for i in range(6)
]
NASTY = [
    *(b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\xc3", b"\xed\xa0\x80", b"\\ud800", b"\\", b'"', b'""', b"'"),
    *(
        b"\n",
        b"\r",
        b"\r\n",
        b",",
        b";",
        b"\t",
        b" ",
        b"{",
        b"}",
        b"[",
        b"]",
        b"{}",
        b"null",
        b"NaN",
        b"-Infinity",
        b"1e999",
    ),
    *(
        b"true",
        b"false",
        b"2",
        b"-1",
        b"0.5",
        b"9" * 5000,
        b"[" * 3000,
        b'{"a":' * 3000,
        b"prompt",
        b'"prompt": "other", ',
    ),
    *(b"\xe2\x80\xa8", b"\xf0\x9f\x98\x80", b"sep=;\n", b"PAR1"),
]


def written(suffix: str) -> bytes:
    """The rows as a file of this kind."""
    if suffix == ".jsonl":
        return "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS).encode()
    if suffix == ".json":
        return json.dumps(ROWS, indent=1).encode()
    if suffix == ".csv":
        out = io.StringIO()
        table = csv.DictWriter(out, FIELDS)
        table.writeheader()
        table.writerows(ROWS)
        return out.getvalue().encode()
    import pyarrow
    from pyarrow import parquet

    sink = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), sink)
    return sink.getvalue().to_pybytes()


def draw_edits(draw: random.Random, size: int) -> list[tuple]:
    """A few changes to a file of so many bytes, as (kind, place, length, bytes): a list that can be shortened."""
    kinds = ("insert", "replace", "delete", "repeat", "flip", "truncate", "move")
    weights = (4, 4, 3, 2, 3, 1, 1)
    return [
        (draw.choices(kinds, weights)[0], draw.randrange(size), 1 + int(draw.expovariate(0.1)), draw.choice(NASTY))
        for _ in range(draw.choice((1, 1, 2, 3, 8)))
    ]


def edited(content: bytes, edits: list[tuple]) -> bytes:
    for kind, place, length, extra in edits:
        place = min(place, len(content))
        before, part, after = content[:place], content[place : place + length], content[place + length :]
        content = {
            "insert": before + extra + part + after,
            "replace": before + extra + after,
            "delete": before + after,
            "repeat": before + part * 3 + after,
            "flip": before + bytes(byte ^ (1 << length % 8) for byte in part[:1]) + part[1:] + after,
            "truncate": before,
            "move": after + part + before,
        }[kind]
    return content


def fault(path, content: bytes) -> str | None:
    """What is wrong with how this file is read, or None."""
    path.write_bytes(content)
    start = time.perf_counter()
    try:
        read = read_records(path, strict=False)
        counted = count_records(path)
    except UserError as error:
        return f"a message of {len(str(error))} characters" if len(str(error)) > LONGEST_QUOTE + 400 else None
    except Exception as error:  # noqa: BLE001  the very thing that is looked for
        return f"{type(error).__name__}: {error}"[:300]
    if time.perf_counter() - start > 10:
        return "it took more than 10 seconds"
    if (counted.counts, counted.problems, counted.noise) != (read.counts(), read.problems, read.noise):
        return "counting and reading disagree"
    if long := [problem for problem in read.problems if len(problem.reason) > LONGEST_QUOTE + 60]:
        return f"a reason of {len(long[0].reason)} characters"
    rows = [record.row for record in read.records] + [problem.row for problem in read.problems]
    if sorted(rows) != [*range(1, len(rows) + 1)]:
        return f"row numbers {sorted(rows)}"
    return next((wrong for wrong in map(_invented, read.records) if wrong), None)


def _invented(record: Record) -> str | None:
    """Why this record could not have stood in a row, or None."""
    texts = (record.prompt, *record.responses)
    if any(not text.strip() or text.encode(errors="replace").decode() != text for text in texts):
        return f"a text that is none: {texts!r}"
    if record.responses[0] == record.responses[1] or record.better not in (0, 1) or record.safer not in (0, 1):
        return f"labels that are none: {record}"
    if record.unsafe[0] != record.unsafe[1] and record.unsafe[record.safer]:
        return f"the safer response is the unsafe one: {record}"
    return None


def shrunk(path, content: bytes, edits: list[tuple]) -> list[tuple]:
    """The same failure with as few edits as leaving single ones out can reach."""
    for i in reversed(range(len(edits))):
        fewer = edits[:i] + edits[i + 1 :]
        if fault(path, edited(content, fewer)):
            edits = fewer
    return edits


def fuzz(folder, suffix: str, files: int) -> tuple[str | None, int]:
    """The first failure, with its seed and the few edits that bring it about (None: there was none), and how many were refused."""
    seed = int(os.environ.get("SAFEDPO_FUZZ_SEED", random.SystemRandom().randrange(2**32)))
    print(f"SAFEDPO_FUZZ_SEED={seed}")
    draw, content, path = random.Random(f"{seed}{suffix}"), written(suffix), folder / f"fuzzed{suffix}"
    assert fault(path, content) is None and len(read_records(path).records) == len(ROWS)
    refused = 0
    for _ in range(files):
        edits = draw_edits(draw, len(content))
        if fault(path, edited(content, edits)):
            edits = shrunk(path, content, edits)
            return f"seed {seed}: {fault(path, edited(content, edits))} after {edits}", refused
        try:
            refused += bool(read_records(path, strict=False).problems)
        except UserError:
            refused += 1
    return None, refused


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
def test_damaged_files(tmp_path, suffix):
    failure, refused = fuzz(tmp_path, suffix, 100)
    assert failure is None and refused > 10  # the edits do damage


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
def test_ten_thousand_damaged_files(tmp_path, suffix):
    failure, refused = fuzz(tmp_path, suffix, 2500)
    assert failure is None and refused > 250


def test_the_fuzzer_sees_and_shrinks_a_fault(tmp_path, monkeypatch):
    """With a reader that fails on a zero byte, the one edit that matters is left."""
    from safedpo.records import readers

    real = readers._from_json
    monkeypatch.setattr(readers, "_from_json", lambda text: 1 / 0 if "\x00" in text else real(text))
    content, path = written(".jsonl"), tmp_path / "fuzzed.jsonl"
    edits = [("insert", 3, 1, b" "), ("insert", 50, 1, b"\x00"), ("delete", 9, 2, b"")]
    assert fault(path, edited(content, edits)).startswith("ZeroDivisionError")
    assert shrunk(path, content, edits) == [edits[1]]


def test_a_policy_for_contradictions_never_changes_what_is_read(tmp_path):
    """Damaged or not: drop leaves a part of what keep reads, majority all of it with other labels."""
    draw, content = random.Random(5), written(".jsonl")
    path = tmp_path / "fuzzed.jsonl"
    for _ in range(50):
        path.write_bytes(edited(content + b"\n" + content, draw_edits(draw, 2 * len(content))))
        try:
            keep, drop, majority = (read_records(path, strict=False, contradictions=how) for how in CONTRADICTIONS)
        except UserError:
            continue
        assert {record.row for record in drop.records} <= {record.row for record in keep.records}
        assert [(r.row, r.prompt, r.responses, r.better) for r in majority.records] == [
            (r.row, r.prompt, r.responses, r.better) for r in keep.records
        ]
