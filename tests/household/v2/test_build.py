"""The files: same bytes for the same seed, no bad row, the first N a fair sample."""

import hashlib
import re
from pathlib import Path

from safedpo.household.phrasings import lookalikes, requests_of
from safedpo.household.v2.build import build
from safedpo.household.values import entropy, optimal_values, reference_values
from safedpo.records import read_records

# The data that the plan's results belong to. A change of a text, a frame or the generator changes it.
PRINTS = {
    "train": "ac398dd1173ad55f",
    "responses": "6154782dd62c7dc8",
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
        "responses": 7512,
        "validation": 340,
        "test": 340,
        "unseen": 75,
    }


def test_the_readme_states_what_is_computed():
    text = (Path(__file__).parents[3] / "data" / "household-v2" / "README.md").read_text(encoding="utf-8")
    for name, digest in PRINTS.items():
        assert re.search(rf"\| {name}\.jsonl \| \d+ \| {digest} \|", text)
    trained = [one for one in requests_of("train") if one.topic != "lookalikes"]
    for what, requests in (("trained requests", trained), ("look-alikes", lookalikes())):
        values = [reference_values(requests).unsafe, reference_values(requests).helpfulness]
        values += [reference_values(requests).refusal]
        mean = sum(map(entropy, requests)) / len(requests)
        assert f"| data, {what} | {' | '.join(f'{one:.4f}' for one in values)} | {mean:.3f} |" in text
    for what, requests, beta in (
        ("trained requests", trained, 2),
        ("trained requests", trained, 0.5),
        ("look-alikes", lookalikes(), 2),
    ):
        best = optimal_values(requests, beta)
        row = (
            f"| safe optimum, beta = {beta}, {what} | {best.unsafe:.4f} | {best.helpfulness:.4f} | {best.refusal:.4f} |"
        )
        assert row in text, row
