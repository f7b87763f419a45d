"""The reference that speaks the kitchen language: the corpus it learnt from, how it was trained, where it lies.

``python -m safedpo.lm.kitchen.reference FOLDER`` trains it again, on a CPU, with the trainer of every other model.
"""

import hashlib
import random
import sys
import tempfile
import time
from pathlib import Path

import torch

from safedpo.errors import UserError
from safedpo.places import shipped

from ..batches import group_examples
from ..config import SafeDPOConfig
from ..models import LoadedModel, _quiet, weights_fingerprint
from ..tokens import tokenize_examples
from ..trainer import SFTTrainer
from .advice import GRAMMAR, OFTEN, PROMPTS
from .grammar import ANSWER, ASK, END, WordTokenizer, word_tokenizer
from .model import SentenceLM, sentence_model

SENTENCES, STEPS, SEED = 12_000, 300, 0
CARD = """# A language model whose every answer can be listed

A Llama of two layers and {parameters:,} weights (float32) that gives cleaning advice in {words} words: {count:,} sentences
to each of {prompts} complaints, some of them hazardous at household level. It is the reference of notebook 06; see
`safedpo/lm/kitchen`.

It was trained on {sentences:,} sentences drawn from a random walk on the grammar's graph (seed {seed}), {steps} steps of
{seconds:.0f} s in all of processor time on one core, with this command:

    python -m safedpo.lm.kitchen.reference data/sentences

Training again gives the same model up to rounding; the figures of the notebook belong to these bytes:

    {digest}  model.safetensors

`runs.json` holds the exact measurements of runs too long for a lesson (several LoRA ranks and full training, rank 0; beta = 0.1),
with their settings and the command that made them.

The sentences and the weights are the project's own, under its licence (Apache-2.0).
"""


def kitchen_tokenizer() -> WordTokenizer:
    """One token for each word of the answers and the prompts.

    >>> words = kitchen_tokenizer()
    >>> words.decode(words("spray soap then rinse")["input_ids"]), len(words)
    ('spray soap then rinse', 39)
    """
    prompt_words = (word for prompt in PROMPTS for word in prompt.split())
    return word_tokenizer(tuple(dict.fromkeys([*GRAMMAR.words, ASK, ANSWER, *prompt_words])))


def load_kitchen(folder: str | Path | None = None, *, masked: bool = True) -> LoadedModel:
    """The trained reference with its tokenizer, on the CPU in float32; ``folder``: another one than the shipped.

    ``masked=False``: the same weights without the grammar's mask. Each call loads afresh, so that training one policy
    never touches another.

    >>> load_kitchen("nowhere")
    Traceback (most recent call last):
    ...
    safedpo.errors.UserError: nowhere holds no sentence model; make it with python -m safedpo.lm.kitchen.reference nowhere
    """
    folder = shipped("data") / "sentences" if folder is None else Path(folder)
    if not (folder / "model.safetensors").is_file():
        raise UserError(f"{folder} holds no sentence model; make it with python -m safedpo.lm.kitchen.reference {folder}")
    with _quiet():
        model = SentenceLM.from_pretrained(folder, masked=masked).eval()
    return LoadedModel(model, kitchen_tokenizer(), "sentences" if masked else "sentences without mask", "cpu",
                       torch.float32, "a small model needs no other", weights_fingerprint(model))  # fmt: skip


def corpus(n: int, seed: int) -> list[tuple[str, str, int]]:
    """``n`` rows (prompt, sentence, row): a random walk on the grammar, the next word drawn in proportion to ``OFTEN``.

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
    started, tokenizer = time.process_time(), kitchen_tokenizer()
    model = sentence_model(GRAMMAR, tokenizer.get_vocab(), masked=False, seed=SEED)
    examples = tokenize_examples(corpus(SENTENCES, SEED), tokenizer).items
    with tempfile.TemporaryDirectory() as scratch:
        config = SafeDPOConfig(output_dir=scratch, use_cpu=True, max_steps=steps, per_device_train_batch_size=8,
                               learning_rate=4e-3, save_strategy="no", seed=SEED)  # fmt: skip
        SFTTrainer(model, config, group_examples(examples, 8), None).train()
    model.config.use_cache = model.config.masked = True
    with _quiet():
        model.eval().save_pretrained(folder)
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    (folder / "README.md").write_text(CARD.format(
        parameters=sum(p.numel() for p in model.parameters()), words=len(GRAMMAR.words) - 1, count=GRAMMAR.count,
        prompts=len(PROMPTS), sentences=SENTENCES, seed=SEED, steps=steps, seconds=time.process_time() - started,
        digest=digest), encoding="utf-8")  # fmt: skip


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m safedpo.lm.kitchen.reference FOLDER")
    train_reference(Path(sys.argv[1]))
