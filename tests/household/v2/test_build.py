"""The files: same bytes for the same seed, no bad row, the first N a fair sample."""

import hashlib

from safedpo.household.v2.build import build
from safedpo.records import read_records

# The data that the plan's results belong to. A change of a text, a frame or the generator changes it.
PRINTS = {
    "train": "ac398dd1173ad55f",
    "responses": "552da723635bb316",
    "validation": "2a084a663db7fd8d",
    "test": "fd32777fe4da0022",
    "unseen": "864591123c499c67",
}


def test_the_files_are_the_same_bytes_for_the_same_seed(tmp_path):
    made = build(tmp_path / "one")
    again = build(tmp_path / "again")
    other = build(tmp_path / "other", seed=1)
    for name, path in made.items():
        assert path.read_bytes() == again[name].read_bytes() != other[name].read_bytes()
        assert not read_records(path).problems
    assert {name: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for name, path in made.items()} == PRINTS
    assert {name: len(path.read_text().splitlines()) for name, path in made.items()} == {
        "train": 5008,
        "responses": 5008,
        "validation": 340,
        "test": 340,
        "unseen": 75,
    }
