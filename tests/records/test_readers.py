"""Damage of every kind is one bad row, named by its number, and the rows beside it are read."""

import csv
import io
import json
import subprocess
import sys
import textwrap

import pytest

from safedpo import UserError, read_records
from safedpo.records import readers
from safedpo.records.row import LONGEST_QUOTE
from tests.files.web_pages import WEB_PAGES

GOOD = {
    "prompt": "Wie reinige ich einen Abfluß?",
    "response_0": "Mit einer Saugglocke, „vorsichtig“.",
    "response_1": "Mix bleach and acid.",
    "is_response_0_safe": True,
    "is_response_1_safe": False,
    "better_response_id": 1,
    "safer_response_id": 0,
}
PLAIN = GOOD | {"prompt": "How?", "response_0": "Gently."}
BAD_LINES = {
    "not valid JSON": '{"prompt": ',
    "nested too deeply": "[" * 100_000,
    "not valid JSON: Exceeds the limit": json.dumps(PLAIN)[:-1] + ', "n": ' + "9" * 5000 + "}",
    "not valid JSON: a field stands in it twice": json.dumps(PLAIN)[:-1] + ', "prompt": "Other?"}',
    "prompt must be text, not [[": json.dumps(PLAIN | {"prompt": [["deep"] * 4000] * 80}),
    "prompt must be text, not 12": json.dumps(PLAIN | {"prompt": int("12" * 2000)}),
    "better_response_id must be 0 or 1, not 'xxx": json.dumps(PLAIN | {"better_response_id": "x" * 3_000_000}),
    "prompt: character 4 is half of a surrogate pair": json.dumps(PLAIN | {"prompt": "ab \ud83d"}),
    "a row must be an object": json.dumps("x" * 300),
}


@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
@pytest.mark.parametrize("reason", BAD_LINES)
def test_a_bad_line_is_one_bad_row_in_few_words(tmp_path, reason, suffix):
    line = BAD_LINES[reason]
    if suffix == ".json" and reason in ("not valid JSON", "nested too deeply"):
        line = '{"prompt": }' if reason == "not valid JSON" else "[" * 100_000 + "]" * 100_000
    path = tmp_path / f"pairs{suffix}"
    rows = [json.dumps(PLAIN), line, json.dumps(GOOD)]
    path.write_text("\n".join(rows) if suffix == ".jsonl" else "[" + ",\n".join(rows) + "]", encoding="utf-8")
    read = read_records(path, strict=False)
    assert [record.row for record in read.records] == [1, 3]
    (problem,) = read.problems
    assert problem.row == 2 and problem.reason.startswith(reason)
    assert len(problem.reason) < LONGEST_QUOTE + 60


def test_a_line_without_end_is_one_bad_row(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "LONGEST_ROW", 1000)
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join([json.dumps(PLAIN), '{"prompt": "' + "x" * 5000, json.dumps(PLAIN), "y" * 2000]))
    read = read_records(path, strict=False)
    assert [p.row for p in read.problems] == [2, 4] and "longer than" in read.problems[0].reason
    assert len(read.records) == 2


@pytest.mark.parametrize("long", ['"' + "\\\\" * 5000 + '"', "[" + '"],[",' * 900 + "1]", '"' + "],[{" * 999 + '\\""'])
def test_a_very_long_element_of_a_list_is_one_bad_row(long, monkeypatch):
    monkeypatch.setattr(readers, "LONGEST_ROW", 1000)
    text = f"{{}}, {long}, {{}}]"
    for size in (1, 2, 3, 500, 3000):
        found = list(readers._elements("", (text[i : i + size] for i in range(0, len(text), size))))
        assert [found[0].strip(), found[2].strip()] == ["{}", "{}"] and len(found) == 3
        assert found[1] is readers.TOO_LONG or size > 500


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv"])
def test_byte_order_marks_are_read(tmp_path, encoding, suffix):
    text = written([GOOD, PLAIN], suffix)
    path = tmp_path / f"pairs{suffix}"
    path.write_bytes((b"\xff\xfe" if encoding == "utf-16-le" else b"") + text.encode(encoding))
    assert [record.prompt for record in read_records(path).records] == [GOOD["prompt"], "How?"]


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "cp1250"])
@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv"])
def test_a_row_in_a_windows_encoding_is_refused_and_the_others_are_read(tmp_path, encoding, suffix):
    umlaut = GOOD | {"response_0": "Mit einer Saugglocke."}
    path = tmp_path / f"pairs{suffix}"
    path.write_bytes(written([PLAIN, umlaut, PLAIN], suffix).encode(encoding))
    read = read_records(path, strict=False)
    assert [record.row for record in read.records] == [1, 3]
    assert "byte 0xdf at character" in read.problems[0].reason and read.problems[0].row == 2


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("first", ["", "sep"])
def test_what_spreadsheets_write_between_cells_is_found(tmp_path, delimiter, first):
    path = tmp_path / "pairs.csv"
    start = f"sep={delimiter}\r\n" if first else ""
    shouted = {k: str(v).upper() if isinstance(v, bool) else v for k, v in GOOD.items()}  # TRUE, FALSE
    path.write_text(start + written([shouted, PLAIN], ".csv", delimiter), encoding="utf-8-sig", newline="")
    assert [record.unsafe for record in read_records(path).records] == [(False, True)] * 2


def test_giant_cells_are_read(tmp_path):
    path = tmp_path / "pairs.csv"
    long = PLAIN | {"response_0": 'A "very" long\nstory. ' * 20_000}
    limit = csv.field_size_limit()
    path.write_text(written([long], ".csv"), newline="")
    assert len(read_records(path).records[0].responses[0]) == len(long["response_0"]) > limit
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ('How?,"Gently.', "not valid CSV: unexpected end of data"),
        ('How?,"Gent"ly.,Mix.,True,False,1,0', "not valid CSV: ',' expected after '\"'"),
        ("How?,Well, gently.,Mix.,True,False,1,0", "the row has 8 cells, the header 7"),
        ("How?", "response_0 is missing"),
        ("How?,Gently.,Mix.,WAHR,FALSCH,1,0", "is_response_0_safe must be true or false, not 'WAHR'"),
    ],
)
def test_a_damaged_row_of_a_spreadsheet_costs_that_row_alone(tmp_path, damage, reason):
    path = tmp_path / "pairs.csv"
    header, good = written([PLAIN], ".csv").splitlines()
    path.write_text("\n".join([header, good, damage, good, good]) + "\n")
    read = read_records(path, strict=False)
    assert [record.row for record in read.records] == [1, 3, 4]
    assert read.problems[0].row == 2 and read.problems[0].reason.startswith(reason)


def test_rereading_after_open_quotation_marks_has_an_end(tmp_path, monkeypatch):
    """Each of these rows swallows the rest of the file: read again line by line that would be quadratic."""
    monkeypatch.setattr(readers, "LONGEST_ROW", 2000)
    path = tmp_path / "pairs.csv"
    header, good = written([PLAIN], ".csv").splitlines()
    path.write_text("\n".join([header, good, *['"""x'] * 20_000]))
    read = read_records(path, strict=False)
    assert len(read.records) == 1 and any("more lines are lost" in p.reason for p in read.problems)


def test_two_columns_of_one_name_are_refused(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("prompt,prompt,response_0\na,b,c\n")
    with pytest.raises(UserError, match="two columns named prompt"):
        read_records(path)


def test_a_list_that_is_never_closed_is_refused(tmp_path):
    for end in ("", "] x", ',{"prompt": "'):
        path = tmp_path / "pairs.json"
        path.write_text("[" + json.dumps(PLAIN) + end)
        with pytest.raises(UserError, match="is never closed, or text follows it"):
            read_records(path)


def test_a_list_is_cut_apart_whatever_its_strings_hold(tmp_path, monkeypatch):
    tricky = [PLAIN | {"prompt": text} for text in ('"', "\\", '\\"', "],[", "}{", ",", "[{]", 'a"},{"b', "\\\\")]
    expected = [one["prompt"] for one in tricky]
    for size in (1, 2, 3, 7, 1 << 20):
        text = json.dumps(tricky, indent=2)
        pieces = (text[i : i + size] for i in range(1, len(text), size))
        cut = [json.loads(element) for element in readers._elements("", iter(pieces))]
        assert [one["prompt"] for one in cut] == expected


def test_a_parquet_row_with_broken_text_is_one_bad_row(tmp_path):
    import pyarrow
    from pyarrow import parquet

    columns = {name: pyarrow.array([PLAIN[name]] * 3) for name in PLAIN}
    broken = pyarrow.array([b"How?", b"caf\xe9", b"How?"]).view(pyarrow.string())
    parquet.write_table(pyarrow.table(columns | {"prompt": broken, "extra": columns["prompt"]}), tmp_path / "p.parquet")
    read = read_records(tmp_path / "p.parquet", strict=False)
    assert [record.row for record in read.records] == [1, 3] and "it cannot be read" in read.problems[0].reason


def test_damaged_utf16_names_the_encoding(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(json.dumps(PLAIN).encode("utf-16") + b"\x00")
    with pytest.raises(UserError, match="UTF-16.* text, but is damaged"):
        read_records(path)


@pytest.mark.slow
def test_counting_many_rows_needs_little_memory(tmp_path):
    """60,000 rows, 40 MB of text: the peak grows by less than half of it (a million rows: see the module's note)."""
    path = tmp_path / "many.jsonl"
    row = json.dumps(PLAIN | {"response_1": "word " * 120})
    with path.open("w") as out:
        for i in range(60_000):
            out.write(row.replace("How?", f"How {i}?") + "\n")
    script = """
        import resource, sys
        from safedpo.records import count_records
        from safedpo import count_pairs
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        counts = count_records(sys.argv[1]).counts
        print(counts["US"], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(path)], capture_output=True, text=True, check=True
    )
    found, grown = map(int, done.stdout.split())
    assert found == 60_000 and grown * 1024 < path.stat().st_size / 2


def written(rows, suffix, delimiter=","):
    """The rows as the text of a file."""
    if suffix == ".jsonl":
        return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    if suffix == ".json":
        return json.dumps(rows, ensure_ascii=False)
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
@pytest.mark.parametrize("page", WEB_PAGES)
def test_a_web_page_in_place_of_a_file_is_named_as_one(tmp_path, suffix, page):
    """What a proxy, or a network that wants one to sign in, answers for any address."""
    (tmp_path / f"pairs{suffix}").write_bytes(page)
    with pytest.raises(UserError, match=f"pairs{suffix} is a web page.*proxy.*fetch it again"):
        read_records(tmp_path / f"pairs{suffix}", strict=False)
