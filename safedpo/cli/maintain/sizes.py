"""Does the margin's effect depend on the size of the model? The enumerable language model at three widths, measured exactly.

    safedpo maintain sentences sizes data/sentences/sizes.json

Each width has its own reference, trained on the same corpus, and so its own optimum: what is compared is how far a policy
of each width gets, KL(pi* || pi) in nats and unsafe mass, for each safety margin and number of pairs. Batches, learning rate
and beta are the same for all; they were found for the middle width (`STEADY`), so that a smaller distance at another
width could be had with settings of its own. The references lie beside the file.
"""

import json
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from safedpo.cli.maintain.sentences import fit_corpus
from safedpo.errors import UserError
from safedpo.files import read_json, shipped, write_json
from safedpo.finite import optimal_policy
from safedpo.lm.sentences.enumeration import list_sentences
from safedpo.lm.sentences.measured import STEADY, train_measured
from safedpo.lm.sentences.model import SHAPE
from safedpo.lm.sentences.reference import load_kitchen

WIDTHS, DELTAS, BUDGETS = (16, 32, 64), (0.0, 2.0, 10.0), (1_000, 4_000, 16_000)
BETA, SEED = 1.0, 0


def reference_folder(home: Path, width: int) -> Path:
    """The reference of a width: notebook 06's for its own width, else that in `home/width-N`, trained there if missing."""
    if width == SHAPE["hidden_size"]:
        return shipped("data") / "sentences"
    folder = home / f"width-{width}"
    if not (folder / "model.safetensors").exists():
        fit_corpus(folder, width=width)
        (folder / "generation_config.json").unlink(missing_ok=True)
    return folder


def cell(home: Path, width: int, delta: float, pairs: int) -> dict[str, float]:
    """One cell: SafeDPO on `pairs` pairs from the reference of this width, all weights trained; measured by enumeration.

    `kl`, `unsafe`, `reward`: of the policy at the end of its run (see `Distances`); with `reference_` before them, of the
    reference; `optimum_reward`: E[r] under pi*.
    """
    folder = reference_folder(home, width)
    model = load_kitchen(folder)
    sentences = list_sentences(model)
    target = optimal_policy(sentences.world, BETA)
    records = sentences.sample_records(pairs, seed=SEED)
    how = {**STEADY, "beta": BETA, "delta": delta, "seed": SEED, "disable_tqdm": True}
    _, rows = train_measured(sentences, records, target, folder=folder, every=10**6, **how)
    first, last = rows[0], rows[-1]
    return {
        "width": width,
        "parameters": sum(one.numel() for one in model.model.parameters()),
        "delta": delta,
        "pairs": pairs,
        **{name: last[name] for name in ("kl", "unsafe", "reward")},
        **{f"reference_{name}": first[name] for name in ("kl", "unsafe", "reward")},
        "optimum_reward": (target.exp() * sentences.world.reward).sum(-1).mean().item(),
    }


def store_sizes(file: Path) -> list[dict[str, float]]:
    """Measure every cell that is not in the file yet, and write it after each; returns all cells."""
    about: dict[str, Any] = {
        "command": f"safedpo maintain sentences sizes {file}",
        "settings": {**STEADY, "beta": BETA, "seed": SEED},
    }
    kept: dict[str, Any] = read_json(file) if file.exists() else about | {"cells": []}
    if kept.get("settings") != json.loads(json.dumps(about["settings"])):
        raise UserError(f"{file} was measured with other settings; delete it, or name another file")
    cells = kept["cells"]
    done = {(one["width"], one["delta"], one["pairs"]) for one in cells}
    todo = [(w, d, n) for n in BUDGETS for w in WIDTHS for d in DELTAS if (w, d, n) not in done]
    for width, delta, pairs in tqdm(todo, desc="sizes", unit="cell"):
        cells.append(cell(file.parent, width, delta, pairs))
        cells.sort(key=lambda one: (one["width"], one["delta"], one["pairs"]))
        write_json(file, about | {"cells": cells}, indent=1)
    return cells


def sizes_table(cells: list[dict[str, float]]) -> str:
    """The cells as Markdown: a row for each width and margin, KL to the optimum and unsafe mass after each budget.

    >>> row = {"width": 16, "parameters": 9, "delta": 2.0, "kl": 0.5, "unsafe": 0.1, "reference_kl": 1.0, "pairs": 4000}
    >>> print(sizes_table([row]))
    | width | delta | KL of the reference | KL after 4,000 pairs | unsafe after 4,000 pairs |
    |---|---|---|---|---|
    | 16 | 2 | 1.000 | 0.500 | 0.1000 |
    """
    budgets = sorted({int(one["pairs"]) for one in cells})
    heads = ["width", "delta", "KL of the reference", *(f"KL after {n:,} pairs" for n in budgets)]
    heads += [f"unsafe after {n:,} pairs" for n in budgets]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for width, delta in sorted({(one["width"], one["delta"]) for one in cells}):
        mine = {one["pairs"]: one for one in cells if (one["width"], one["delta"]) == (width, delta)}
        start = next(iter(mine.values()))["reference_kl"]
        row = [f"{width}", f"{delta:g}", f"{start:.3f}"]
        row += [f"{mine[n]['kl']:.3f}" if n in mine else "" for n in budgets]
        row += [f"{mine[n]['unsafe']:.4f}" if n in mine else "" for n in budgets]
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)
