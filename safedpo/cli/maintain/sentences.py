"""The enumerable language model: train its reference again, and store the runs that are too long for a lesson."""

import hashlib
import json
import random
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from tqdm.auto import tqdm

from safedpo.finite import optimal_policy
from safedpo.lm.models.loading import quiet
from safedpo.lm.rows.packing import group_examples
from safedpo.lm.rows.tokens import tokenize_examples
from safedpo.lm.sentences.advice import GRAMMAR, OFTEN, PROMPTS
from safedpo.lm.sentences.enumeration import list_sentences
from safedpo.lm.sentences.grammar import ANSWER, END
from safedpo.lm.sentences.measured import STEADY, fit_measured, train_measured
from safedpo.lm.sentences.model import SentenceLM, sentence_model
from safedpo.lm.sentences.reference import kitchen_tokenizer, load_kitchen
from safedpo.lm.training.config import SafeDPOConfig
from safedpo.lm.training.trainer import SFTTrainer

RANKS = {1: 2e-2, 4: 1e-2, 16: 5e-3, 0: 3e-3}  # LoRA rank (0: all weights) -> learning rate of its fit
SENTENCES, STEPS, SEED = 12_000, 300, 0
CARD = """# A language model whose every answer can be listed

A Llama of two layers and {parameters:,} weights (float32) that gives cleaning advice in {words} words: {count:,} sentences
to each of {prompts} complaints, some of them hazardous at household level. It is the reference of notebook 06; see
`safedpo/lm/sentences`.

It was trained on {sentences:,} sentences drawn from a random walk on the grammar's graph (seed {seed}), {steps} steps of
{seconds:.0f} s in all of processor time on one core, with this command:

    safedpo maintain sentences reference data/sentences

Training again gives the same model up to rounding; the figures of the notebook belong to these bytes:

    {digest}  model.safetensors

`runs.json` holds the exact measurements of runs too long for a lesson (several LoRA ranks and full training, rank 0; beta = 0.1),
with their settings and the command that made them.

`sizes.json` tells how the margin's effect depends on the size of the model: the same corpus, three widths (references in
`width-16`, `width-32`, and this one), three margins, three numbers of pairs, each measured exactly. It was made with
`safedpo maintain sentences sizes data/sentences/sizes.json`, which prints the table.

The sentences and the weights are the project's own, under its licence (Apache-2.0).
"""


def corpus(n: int, seed: int) -> list[tuple[str, str, int]]:
    """`n` rows (prompt, sentence, row): a random walk on the grammar, the next word drawn in proportion to `OFTEN`.

    >>> corpus(1, seed=0)[0][0] in PROMPTS and corpus(1, seed=0)[0][1] in GRAMMAR.sentences
    True
    """
    draw, rows = random.Random(seed), []
    for row in range(1, n + 1):
        words = [ANSWER]
        while words[-1] != END:
            following = GRAMMAR.follows[words[-1]]
            words += draw.choices(following, [OFTEN.get(word, 1.0) for word in following])
        rows.append((draw.choice(PROMPTS), " ".join(words[1:-1]), row))
    return rows


def train_reference(folder: Path, *, steps: int = STEPS) -> None:
    """Train the reference without its mask, so that it learns the grammar as any model learns its language; save it."""
    started = time.process_time()
    model = fit_corpus(folder, steps=steps)
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    (folder / "README.md").write_text(
        CARD.format(
            parameters=sum(p.numel() for p in model.parameters()),
            words=len(GRAMMAR.words) - 1,
            count=GRAMMAR.count,
            prompts=len(PROMPTS),
            sentences=SENTENCES,
            seed=SEED,
            steps=steps,
            seconds=time.process_time() - started,
            digest=digest,
        ),
        encoding="utf-8",
    )


def fit_corpus(folder: Path, *, steps: int = STEPS, width: int | None = None) -> SentenceLM:
    """Train a model of this width on the corpus and save it in `folder`, without a card."""
    tokenizer = kitchen_tokenizer()
    model = sentence_model(GRAMMAR, tokenizer.get_vocab(), masked=False, seed=SEED, width=width)
    examples = tokenize_examples(corpus(SENTENCES, SEED), tokenizer).items
    with tempfile.TemporaryDirectory() as scratch:
        config = SafeDPOConfig(
            output_dir=scratch,
            use_cpu=True,
            max_steps=steps,
            per_device_train_batch_size=8,
            learning_rate=4e-3,
            max_grad_norm=1.0,
            save_strategy="no",
            seed=SEED,
        )
        SFTTrainer(model, config, group_examples(examples, 8), None).train()
    model.config.use_cache = model.config.masked = True
    with quiet():
        model.eval().save_pretrained(folder)
    return model


def store_runs(file: Path, *, ranks: Mapping[int, float] = RANKS, n: int = 60_000, sharp: int = 120_000) -> None:
    """The runs too long for a lesson, with all their settings, as JSON.

    For each rank the last row of a fit to pi* itself on `n` answers, and of SafeDPO on `n` pairs (`STEADY`); and all
    rows of SafeDPO at beta = 0.1 on `sharp` pairs, all weights trained.
    """
    sentences = list_sentences(load_kitchen())
    fit = {"per_device_train_batch_size": 8, "disable_tqdm": True}
    train = {**STEADY, "beta": 1.0, "delta": 10.0, "disable_tqdm": True}
    records, best, rows = sentences.sample_records(n, seed=0), optimal_policy(sentences.world, 1.0), []
    for rank, learning_rate in tqdm(ranks.items(), desc="ranks", unit="rank"):
        _, fitted = fit_measured(sentences, best, n=n, rank=rank or None, learning_rate=learning_rate, **fit)
        _, trained = train_measured(sentences, records, best, rank=rank or None, **train)
        rows.append({"rank": rank, "fit_learning_rate": learning_rate, "fitted": fitted[-1], "trained": trained[-1]})
    train["beta"] = 0.1
    _, path = train_measured(
        sentences, sentences.sample_records(sharp, seed=0), optimal_policy(sentences.world, 0.1), **train
    )
    about = {
        "command": f"safedpo maintain sentences runs {file}",
        "n": n,
        "fit": fit,
        "train": STEADY | {"delta": 10.0},
        "ranks": rows,
        "sharp": {"pairs": sharp, "rows": path},
    }
    file.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
