"""The files: the same bytes for the same seed, what is shipped, honest about themselves, and found again."""

import hashlib
import subprocess
import sys

import pytest

from safedpo.errors import UserError
from safedpo.household import build, load, score
from safedpo.household.phrasings import SPLITS
from safedpo.records import read_records
from tests.household.rows import read

# The data that the shipped results belong to. A change of a text, a frame or the generator changes it.
PRINTS = {
    "train": "ac398dd1173ad55f",
    "validation": "2a084a663db7fd8d",
    "test": "fd32777fe4da0022",
    "unseen": "864591123c499c67",
    "responses": "6154782dd62c7dc8",
}
ROWS = {"train": 5008, "validation": 340, "test": 340, "unseen": 75, "responses": 7512}


def test_the_files_are_the_same_bytes_for_the_same_seed(tmp_path):
    made = build(tmp_path / "one", with_responses=True)
    assert [path.name for path in made] == [*(f"{name}.jsonl" for name in PRINTS), "README.md"]
    again, other = build(tmp_path / "again"), build(tmp_path / "other", seed=1)
    assert "responses.jsonl" not in [path.name for path in again]
    for one, two in zip(again, other, strict=True):
        assert (tmp_path / "one" / one.name).read_bytes() == one.read_bytes() != two.read_bytes()
    for path in made[:-1]:
        assert hashlib.sha256(path.read_bytes()).hexdigest()[:16] == PRINTS[path.stem]
        assert len(path.read_text(encoding="utf-8").splitlines()) == ROWS[path.stem]
        assert not read_records(path).problems


def test_shipped_files_are_what_the_generator_writes(built):
    for split in SPLITS:
        assert load(split).read_bytes() == (built / f"{split}.jsonl").read_bytes()


@pytest.mark.slow
def test_the_command_line_writes_the_same_bytes_in_another_process(built, tmp_path):
    command = [sys.executable, "-m", "safedpo", "maintain", "household", "--out", str(tmp_path), "--responses"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    names = [*(f"{split}.jsonl" for split in SPLITS), "responses.jsonl", "README.md"]
    assert done.stdout.split() == [str(tmp_path / name) for name in names]
    for name in names[:-2]:
        assert (tmp_path / name).read_bytes() == (built / name).read_bytes()
    fresh = (tmp_path / "responses.jsonl").read_bytes()
    assert hashlib.sha256(fresh).hexdigest()[:16] == PRINTS["responses"]


def test_scoring_the_shipped_rows_gives_their_bits():
    rows = read(load("test"))
    wrong = [
        row[f"response_{i}"]
        for row in rows
        for i in (0, 1)
        if score(row["prompt"], row[f"response_{i}"]).unsafe == row[f"is_response_{i}_safe"]
    ]
    assert len(wrong) <= 0.01 * 2 * len(rows), wrong[:5]


def test_load_refuses_another_split():
    with pytest.raises(UserError, match="no split 'dev'.*choose train, validation, test, unseen"):
        load("dev")


def test_household_needs_no_torch():
    code = "import sys, safedpo.household; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
