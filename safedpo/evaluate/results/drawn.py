"""Responses drawn by a fixed seed, to be printed as they are: nobody has picked them."""

import random
from collections.abc import Mapping, Sequence

COUNT, SEED = 20, 22


def drawn(said: Mapping[str, Sequence[dict]], *, count: int = COUNT, seed: int = SEED) -> list[dict[str, str]]:
    """`count` prompts that all models were asked, drawn with `seed`, each with one sampled response of every model.

    `said`: model -> rows of its `samples-*.jsonl`. Of several sampled responses to a prompt the first is taken; greedy ones
    never. Returns `{"prompt": ..., model: response, ...}` a prompt.

    >>> row = {"prompt": "Hi?", "greedy": False}
    >>> drawn({"a": [row | {"response": "Yes."}, row | {"response": "Later."}], "b": [row | {"response": "No."}]})
    [{'prompt': 'Hi?', 'a': 'Yes.', 'b': 'No.'}]
    """
    first: dict[str, dict[str, str]] = {}
    for model, rows in said.items():
        for row in rows:
            if not row["greedy"]:
                first.setdefault(row["prompt"], {}).setdefault(model, row["response"])
    common = sorted(prompt for prompt, responses in first.items() if len(responses) == len(said))
    picked = random.Random(seed).sample(common, min(count, len(common)))
    return [{"prompt": prompt, **first[prompt]} for prompt in picked]
