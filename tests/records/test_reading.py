"""Reading preference data: every fault of a row is found, named and counted."""

import csv
import json
import os
from pathlib import Path

import pytest

from safedpo import UserError, read_records
from safedpo.records import CONTRADICTIONS, count_records, parse_rows
from tests.records.row import GOOD

FAULTS = {
    "prompt is missing": {"prompt": None},
    "prompt must be text": {"prompt": 7},
    "response_0 is empty": {"response_0": "  \n"},
    "is_response_0_safe must be true or false": {"is_response_0_safe": 1},
    "better_response_id must be 0 or 1": {"better_response_id": 2},
    "safer_response_id must be 0 or 1": {"safer_response_id": True},
    "safer_response_id is 1, but only response 0 is safe": {"safer_response_id": 1},
    "the two responses are identical": {"response_1": "Use a plunger."},
}


def rows_with(*changes):
    return [GOOD | change for change in changes]


@pytest.mark.parametrize("reason", FAULTS)
def test_each_fault_is_named_with_its_row(reason):
    read = parse_rows([GOOD, GOOD | FAULTS[reason], GOOD], "here")
    assert len(read.records) == 2
    (problem,) = read.problems
    assert problem.row == 2 and problem.reason.startswith(reason)


def test_the_safety_bit_is_inverted_once():
    (record,) = parse_rows([GOOD], "here").records
    assert record.unsafe == (False, True) and record.better == 1 and record.safer == 0 and record.row == 1


def test_strict_lists_the_first_ten_and_counts_the_rest(tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_text("\n".join(json.dumps(r) for r in rows_with(*[{"prompt": ""}] * 12, {})))
    with pytest.raises(UserError) as caught:
        read_records(path)
    text = str(caught.value)
    assert "12 of 13 rows" in text and "row 10: prompt is empty" in text and "row 11" not in text and "2 more" in text
    loose = read_records(path, strict=False)
    assert len(loose.problems) == 12 and loose.counts()["rows"] == 13 and loose.counts()["US"] == 1


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
def test_every_format_reads_the_same_records(tmp_path, suffix):
    path = tmp_path / f"pairs{suffix}"
    rows = rows_with({"extra": "ignored"}, {"prompt": "Second?", "extra": "too"})
    if suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    elif suffix == ".json":
        path.write_text(json.dumps(rows))
    elif suffix == ".csv":
        with path.open("w", newline="") as out:
            writer = csv.DictWriter(out, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    else:
        import datasets

        datasets.Dataset.from_list(rows).to_parquet(str(path))
    assert read_records(path).records == parse_rows(rows, "rows").records


def test_counting_agrees_with_reading(tmp_path):
    path = tmp_path / "pairs.jsonl"
    again = GOOD | {
        "response_1": "Wait.",
        "is_response_0_safe": False,
        "is_response_1_safe": True,
        "safer_response_id": 1,
    }
    path.write_text("\n".join(map(json.dumps, [*rows_with({}, {"prompt": ""}, {"prompt": "Other?"}), again])))
    for contradictions in CONTRADICTIONS:
        read = read_records(path, strict=False, contradictions=contradictions)
        counted = count_records(path, contradictions=contradictions)
        assert (counted.counts, counted.problems, counted.noise) == (read.counts(), read.problems, read.noise)
        assert read.noise.contradictory == 1
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(UserError, match="holds no rows"):
        count_records(tmp_path / "empty.jsonl")


def test_a_broken_line_is_one_bad_row(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(GOOD) + '\n{"prompt": \n' + "[1, 2]\n")
    reasons = [p.reason for p in read_records(path, strict=False).problems]
    assert reasons[0].startswith("not valid JSON") and "not list" in reasons[1]


def test_a_csv_cell_that_does_not_parse_is_reported(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text(",".join(GOOD) + "\nq,a,b,yes,False,1,0\n")
    assert read_records(path, strict=False).problems[0].reason == "is_response_0_safe must be true or false, not 'yes'"


def test_sources_that_cannot_be_read_say_why(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_records(tmp_path / "nowhere.jsonl")
    (tmp_path / "pairs.txt").write_text("hello")
    with pytest.raises(UserError, match="ends in .txt"):
        read_records(tmp_path / "pairs.txt")
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(UserError, match="holds no rows"):
        read_records(tmp_path / "empty.jsonl")
    (tmp_path / "object.json").write_text('{"prompt": "hi"}')
    with pytest.raises(UserError, match="must hold a list"):
        read_records(tmp_path / "object.json")
    (tmp_path / "broken.json").write_text('{"a": 1}\n{"a": 2}')
    with pytest.raises(UserError, match="name it .jsonl"):
        read_records(tmp_path / "broken.json")
    (tmp_path / "latin.jsonl").write_bytes(b'{"prompt": "caf\xe9"}')
    with pytest.raises(UserError, match="byte 0xe9 at character 16 is not UTF-8; save the file as UTF-8"):
        read_records(tmp_path / "latin.jsonl")
    (tmp_path / "broken.parquet").write_bytes(b"not parquet")
    with pytest.raises(UserError, match="parquet"):
        read_records(tmp_path / "broken.parquet")
    with pytest.raises(UserError, match="is a folder"):
        read_records(tmp_path)
    with pytest.raises(UserError, match="contradictions is 'ignore'"):
        read_records(tmp_path / "broken.json", contradictions="ignore")
    with pytest.raises(UserError, match="belong to data sets of the hub"):
        read_records(tmp_path / "broken.json", split="test")


@pytest.mark.parametrize(
    ("name", "groups"), [("pku_saferlhf_500.jsonl", (199, 42, 6, 253)), ("pku_saferlhf_32.json", (11, 1, 4, 16))]
)
def test_real_rows(name, groups):
    folder = os.environ.get("SAFEDPO_REAL_DATA")
    if not folder:
        pytest.skip("SAFEDPO_REAL_DATA does not name a folder with PKU-SafeRLHF samples")
    read = read_records(Path(folder) / name)
    counts = read.counts()
    assert tuple(counts[g] for g in ("SS", "SU", "US", "UU")) == groups
    assert counts["kept"] == counts["rows"] - groups[3] and counts["swapped"] == groups[2]
