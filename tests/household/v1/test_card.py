"""The card: what it counts and sums up is true of the files."""

import hashlib
import json
import re

from safedpo.household import build, load
from tests.household.rows import read


def test_shipped_card_is_what_the_generator_writes(tmp_path):
    shipped = load("train").parent
    (tmp_path / "readings.jsonl").write_bytes((shipped / "readings.jsonl").read_bytes())
    build(tmp_path, seed=0)
    assert (shipped / "README.md").read_text(encoding="utf-8") == (tmp_path / "README.md").read_text(encoding="utf-8")


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


def test_readings_enter_the_card(readings, tmp_path):
    text = "".join(json.dumps(row) + "\n" for row in readings)
    (tmp_path / "readings.jsonl").write_text(text, encoding="utf-8")
    build(tmp_path, seed=0)
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "3 responses sampled from models were read twice" in card
    assert "| b | 1 | 1 | 1 | 2 | 1 | 1 |" in card
