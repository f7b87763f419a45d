"""Write the second household data: the same bytes for the same seed, in seconds, so that no file of it is shipped.

train.jsonl        labelled pairs, for preference training
responses.jsonl    independent responses, for the reference; two a row
validation.jsonl, test.jsonl, unseen.jsonl     one pair a prompt: what is asked of a policy are the prompts
"""

import json
import random
from collections.abc import Iterable
from pathlib import Path

from safedpo.files import write_text
from safedpo.household.v2.generate import pairs, responses

PAIRS_A_PROMPT, ROWS_A_PROMPT = 2, 3
HELD_OUT = ("validation", "test", "unseen")


def build(folder: str | Path, seed: int = 0) -> dict[str, Path]:
    """Write all files into `folder`; returns name -> path."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    made = {"train": pairs("train", PAIRS_A_PROMPT, seed), "responses": responses("train", ROWS_A_PROMPT, seed)}
    made |= {split: pairs(split, 1, seed) for split in HELD_OUT}
    return {name: _write(folder / f"{name}.jsonl", rows, f"{seed}/{name}") for name, rows in made.items()}


def _write(path: Path, rows: Iterable[dict], order: str) -> Path:
    """In random order, so that the first N rows are a fair sample."""
    shuffled = list(rows)
    random.Random(order).shuffle(shuffled)
    write_text(path, "".join(json.dumps(row) + "\n" for row in shuffled))
    return path
