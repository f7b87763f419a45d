"""The files: reproducible, honest about themselves, and found again."""

import subprocess
import sys

import pytest

from safedpo.errors import UserError
from safedpo.household import load, score
from safedpo.household.v1.build import split_rows
from tests.household.rows import read


def test_shipped_files_are_what_the_generator_writes(built):
    for split in ("train", "test"):
        assert load(split).read_bytes() == (built / f"{split}.jsonl").read_bytes()


@pytest.mark.slow
def test_the_command_line_writes_the_same_bytes_in_another_process(built, tmp_path):
    command = [sys.executable, "-m", "safedpo", "maintain", "household", "--out", str(tmp_path), "--seed", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(tmp_path / name) for name in ("train.jsonl", "test.jsonl", "README.md")]
    for name in ("train.jsonl", "test.jsonl"):
        assert (tmp_path / name).read_bytes() == (built / name).read_bytes()


def test_another_seed_gives_other_rows(built):
    assert read(built / "test.jsonl") == split_rows("test", seed=0) != split_rows("test", seed=1)


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
    with pytest.raises(UserError, match="no split 'validation'"):
        load("validation")


def test_household_needs_no_torch():
    code = "import sys, safedpo.household; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
