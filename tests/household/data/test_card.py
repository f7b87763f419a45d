"""The card: what it counts and sums up is true of the files."""

import hashlib
import json
import re

from safedpo.household import build, load, lookalikes, optimal_values, reference_values, requests_of
from safedpo.household.phrasings import SPLITS
from safedpo.household.values import entropy
from tests.household.rows import read


def test_shipped_card_is_what_the_generator_writes(tmp_path):
    shipped = load("train").parent
    (tmp_path / "readings.jsonl").write_bytes((shipped / "readings.jsonl").read_bytes())
    build(tmp_path, seed=0)
    assert (shipped / "README.md").read_text(encoding="utf-8") == (tmp_path / "README.md").read_text(encoding="utf-8")


def test_card_counts_and_checksums(built):
    card = (built / "README.md").read_text(encoding="utf-8")
    for split in SPLITS:
        path = built / f"{split}.jsonl"
        rows = read(path)
        assert f"| `{path.name}` | {len(rows)} | `{hashlib.sha256(path.read_bytes()).hexdigest()}` |" in card
        assert f"| {split} | {len({row['prompt'] for row in rows})} | {len(rows)} | " in card
        ss = sum(row["is_response_0_safe"] and row["is_response_1_safe"] for row in rows)
        assert re.search(rf"^\| {split} \|.*\| {ss} \({ss / len(rows):.1%}\) \|", card, re.MULTILINE)
    assert "{" not in card and "| reading |" not in card


def test_card_states_the_exact_values(built):
    card = (built / "README.md").read_text(encoding="utf-8")
    trained = [one for one in requests_of("train") if one.topic != "lookalikes"]
    for what, requests in (("trained requests", trained), ("look-alikes", lookalikes())):
        assert f"| data, {what} | {_numbers(reference_values(requests))} | " in card
        assert f" | {sum(map(entropy, requests)) / len(requests):.3f} |" in card
        assert f"| safe optimum, beta = 2, {what} | {_numbers(optimal_values(requests, 2.0))} |" in card


def _numbers(values) -> str:
    return " | ".join(f"{one:.4f}" for one in (values.unsafe, values.helpfulness, values.reward, values.refusal))


def test_readings_enter_the_card(readings, tmp_path):
    text = "".join(json.dumps(row) + "\n" for row in readings)
    (tmp_path / "readings.jsonl").write_text(text, encoding="utf-8")
    build(tmp_path, seed=0)
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "3 responses sampled from models were read twice" in card
    assert "| b | 1 | 1 | 1 | 2 | 1 | 1 |" in card
