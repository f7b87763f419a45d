"""The files: reproducible, honest about themselves, and found again."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from safedpo.errors import UserError
from safedpo.household import build, load, requests, score
from safedpo.household.agreement import generated_agreement, read_readings, readers_agree, reading_errors
from safedpo.household.build import split_rows


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("household")
    build(folder, seed=0)
    return folder


def test_shipped_files_are_what_the_generator_writes(built):
    for split in ("train", "test"):
        assert load(split).read_bytes() == (built / f"{split}.jsonl").read_bytes()


def test_shipped_card_is_what_the_generator_writes(tmp_path):
    shipped = load("train").parent
    (tmp_path / "readings.jsonl").write_bytes((shipped / "readings.jsonl").read_bytes())
    build(tmp_path, seed=0)
    assert (shipped / "README.md").read_text(encoding="utf-8") == (tmp_path / "README.md").read_text(encoding="utf-8")


def test_the_command_line_writes_the_same_bytes_in_another_process(built, tmp_path):
    command = [sys.executable, "-m", "safedpo", "maintain", "household", "--out", str(tmp_path), "--seed", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(tmp_path / name) for name in ("train.jsonl", "test.jsonl", "README.md")]
    for name in ("train.jsonl", "test.jsonl"):
        assert (tmp_path / name).read_bytes() == (built / name).read_bytes()


def test_another_seed_gives_other_rows(built):
    assert read(built / "test.jsonl") == split_rows("test", seed=0) != split_rows("test", seed=1)


def test_card_counts_and_checksums(built):
    card = (built / "README.md").read_text(encoding="utf-8")
    for split in ("train", "test"):
        path = built / f"{split}.jsonl"
        rows = read(path)
        assert f"| `{path.name}` | `{hashlib.sha256(path.read_bytes()).hexdigest()}` |" in card
        assert f"| {split} | {len({row['prompt'] for row in rows})} | {len(rows)} | " in card
        ss = sum(row["is_response_0_safe"] and row["is_response_1_safe"] for row in rows)
        assert re.search(rf"^\| {split} \|.*\| {ss} \({ss / len(rows):.1%}\) \|", card, re.MULTILINE)
    assert "{" not in card and "readings.jsonl" not in card


def test_the_scorer_agrees_with_the_truth_of_held_out_responses():
    seen = {row[f"response_{i}"] for split in ("train", "test") for row in read(load(split)) for i in (0, 1)}
    found = generated_agreement(seen, seed=0)
    assert found.count >= 1000
    assert found.unsafe >= 0.99 and min(found.helpful_parts) >= 0.99 and found.refusal >= 0.99
    assert found.gibberish <= 0.01


def test_scoring_the_shipped_rows_gives_their_bits():
    rows = read(load("test"))
    wrong = [
        row[f"response_{i}"]
        for row in rows
        for i in (0, 1)
        if score(row["prompt"], row[f"response_{i}"]).unsafe == row[f"is_response_{i}_safe"]
    ]
    assert len(wrong) <= 0.01 * 2 * len(rows), wrong[:5]


@pytest.fixture
def readings() -> list[dict]:
    """Three responses with readings in which reader b errs on purpose."""
    request = next(r for r in requests() if r.hazard)
    helpful, hazard = request.helpful[0].wordings[0], request.hazard[0].wordings[0]

    def row(response, unsafe, parts, refusal):
        given = {"prompt": request.prompts[0], "response": response}
        for reader, (h, p, r) in {"a": (unsafe[0], parts[0], refusal), "b": (unsafe[1], parts[1], refusal)}.items():
            given |= {f"reading_{reader}_unsafe": h, f"reading_{reader}_helpful_parts": p}
            given |= {f"reading_{reader}_refusal": r}
        return given

    return [
        row(helpful, (False, True), ([0], [0, 1]), False),
        row(f"{helpful} {hazard}", (True, False), ([0], []), False),
        row("I am sorry, I cannot help with that.", (False, False), ([], []), True),
    ]


def test_reading_errors(readings):
    a, b = (reading_errors(readings, reader) for reader in "ab")
    assert (a.unsafe_missed, a.unsafe_invented, a.parts_missed, a.parts_invented, a.refusal_disagrees) == (0,) * 5
    assert (b.unsafe_read, b.unsafe_missed, b.unsafe_invented) == (1, 1, 1)
    assert (b.parts_read, b.parts_missed, b.parts_invented) == (2, 1, 1)
    assert (a.helpfulness_read, a.helpfulness_scored) == (pytest.approx(2 / 12), pytest.approx(2 / 12))
    assert readers_agree(readings) == (pytest.approx(1 / 3), pytest.approx(1 / 3))


def test_readings_enter_the_card(readings, tmp_path):
    text = "".join(json.dumps(row) + "\n" for row in readings)
    (tmp_path / "readings.jsonl").write_text(text, encoding="utf-8")
    build(tmp_path, seed=0)
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "3 responses sampled from models were read twice" in card
    assert "| b | 1 | 1 | 1 | 2 | 1 | 1 |" in card


@pytest.mark.parametrize(("text", "message"), [("{o", "row 1: not JSON"), ('{"prompt": "x"}', "row 1: missing read")])
def test_bad_readings_are_named(tmp_path, text, message):
    (tmp_path / "readings.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_readings(tmp_path / "readings.jsonl")


def test_load_refuses_another_split():
    with pytest.raises(UserError, match="no split 'validation'"):
        load("validation")


def test_household_needs_no_torch():
    code = "import sys, safedpo.household; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
