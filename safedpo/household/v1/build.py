"""Write the household data: train.jsonl, test.jsonl and the card, the same bytes for the same seed."""

import json
import random
from pathlib import Path

from safedpo.household.generate import HELD_OUT, generate_pairs
from safedpo.household.parts import requests
from safedpo.household.v1.card import card

PAIRS_PER_PROMPT = {"train": 5, "test": 3}


def build(out_dir: str | Path, seed: int = 0) -> list[Path]:
    """Generate both splits and the card into `out_dir`; returns the paths written.

    The last `HELD_OUT` prompts of each request are held out for the test split. If `out_dir` holds `readings.jsonl`
    (responses sampled from models, read by two readers), the card states the scorer's errors on it.
    """
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    files = {split: out_dir / f"{split}.jsonl" for split in PAIRS_PER_PROMPT}
    rows = {split: split_rows(split, seed) for split in files}
    for split, path in files.items():
        path.write_bytes("".join(json.dumps(row) + "\n" for row in rows[split]).encode())
    readme = out_dir / "README.md"
    readme.write_bytes(card(rows, files, seed, out_dir / "readings.jsonl").encode())
    return [*files.values(), readme]


def split_rows(split: str, seed: int) -> list[dict]:
    """All rows of a split, in random order, so that the first N are a fair sample."""
    rows = []
    for request in requests():
        prompts = request.prompts[:-HELD_OUT] if split == "train" else request.prompts[-HELD_OUT:]
        for prompt in prompts:
            rows += generate_pairs(request, prompt, PAIRS_PER_PROMPT[split], seed)
    random.Random(f"{seed}/{split}").shuffle(rows)
    return rows
