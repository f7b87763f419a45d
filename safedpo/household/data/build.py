"""Write the household data: the same bytes for the same seed, in seconds.

train.jsonl        labelled pairs, for preference training
validation.jsonl, test.jsonl, unseen.jsonl     one pair a prompt: what is asked of a policy are the prompts
responses.jsonl    independent responses, for the reference; two a row. Written on demand, not shipped
README.md          the card
"""

import json
import random
from collections.abc import Iterable
from pathlib import Path

from safedpo.files import write_text
from safedpo.household.data.card import card
from safedpo.household.generate import pairs, responses
from safedpo.household.phrasings import SPLITS

PAIRS_A_PROMPT = {split: 2 if split == "train" else 1 for split in SPLITS}
ROWS_A_PROMPT = 3  # of responses.jsonl


def build(folder: str | Path, seed: int = 0, *, with_responses: bool = False) -> list[Path]:
    """Write the splits and the card into `folder`, and before the card `responses.jsonl` if asked; returns the paths.

    Where `folder` holds `readings.jsonl` (responses sampled from models, read by two readers), the card states the
    scorer's errors on it.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows = {split: shuffled(pairs(split, each, seed), f"{seed}/{split}") for split, each in PAIRS_A_PROMPT.items()}
    fresh = shuffled(responses("train", ROWS_A_PROMPT, seed), f"{seed}/responses")
    files = {name: folder / f"{name}.jsonl" for name in (*rows, "responses")}
    texts = {
        name: "".join(json.dumps(row) + "\n" for row in some) for name, some in (rows | {"responses": fresh}).items()
    }
    made = [files[name] for name in texts if with_responses or name != "responses"]
    for path in made:
        write_text(path, texts[path.stem])
    readme = folder / "README.md"
    write_text(readme, card(rows, texts, seed, folder / "readings.jsonl"))
    return [*made, readme]


def shuffled(rows: Iterable[dict], order: str) -> list[dict]:
    """In random order, so that the first N rows are a fair sample."""
    found = list(rows)
    random.Random(order).shuffle(found)
    return found
