"""A neural policy trained by the trainer of every other model, and measured exactly, at any step, against its optimum."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerCallback

from safedpo.finite import expectation, kl
from safedpo.lm.models.adapters import add_lora
from safedpo.lm.models.load import LoadedModel
from safedpo.lm.rows.packing import group_examples
from safedpo.lm.rows.tokens import TokenExample, tokenize_pairs
from safedpo.lm.sentences.enumeration import Sentences, draw_answers, outside_mass
from safedpo.lm.sentences.reference import load_kitchen
from safedpo.lm.training.config import SafeDPOConfig
from safedpo.lm.training.trainer import SafeDPOTrainer, SFTTrainer
from safedpo.records import Record

# Settings that bring the neural policy to its optimum on 120,000 pairs. Many small steps matter: at delta = 10 one draw of 60,000
# pairs left KL 0.087 in batches of 32, 0.165 of 512, and 0.156 of 256 at learning rate 5e-3.
STEADY: dict[str, Any] = {
    "per_device_train_batch_size": 32,
    "learning_rate": 3e-3,
    "adam_beta2": 0.99,
    "warmup_steps": 0.1,
}


class Distances(TrainerCallback):
    """Measures the policy exactly, before the first step, every `every` steps and at the end, into `rows`.

    Each row, averaged over prompts: `kl` = KL(target || policy) in nats, `unsafe`, the mass on unsafe answers,
    `reward`, the expected reward (both over the list), and `outside`, the mass outside it; and the `step`. This
    direction of KL is finite while the policy leaves unsafe mass; the other one is infinite.
    """

    def __init__(self, sentences: Sentences, target: Tensor, *, every: int = 20):
        self.sentences, self.target, self.every = sentences, target, every
        self.rows: list[dict[str, float]] = []

    def measure(self, model, step: int) -> dict[str, float]:
        """One row."""
        logps, world = self.sentences.logps(model), self.sentences.world
        values = {
            "kl": kl(self.target, logps),
            "unsafe": expectation(logps, world.unsafe.double()),
            "reward": expectation(logps, world.reward),
            "outside": outside_mass(logps),
        }
        return {"step": step, **{name: value.mean().item() for name, value in values.items()}}

    def on_train_begin(self, args, state, control, model=None, **others):
        self._add(model, state.global_step)

    def on_step_end(self, args, state, control, model=None, **others):
        if state.global_step % self.every == 0 or state.global_step == state.max_steps:
            self._add(model, state.global_step)

    def _add(self, model, step: int) -> None:
        self.rows.append(self.measure(model, step))


def train_measured(
    sentences: Sentences,
    records: Sequence[Record],
    target: Tensor,
    *,
    masked: bool = True,
    rank: int | None = None,
    every: int = 50,
    folder: str | Path | None = None,
    **settings: object,
) -> tuple[torch.nn.Module, list[dict[str, float]]]:
    """Train a fresh policy with `SafeDPOTrainer`, measuring it exactly on the way: `(policy, rows of Distances)`.

    All weights, or a LoRA adapter of `rank`; `masked=False` lets policy and reference say anything. The reference's
    log-probabilities are looked up in its enumerated table. `folder`: another reference than the shipped one, the one
    that `sentences` lists. `settings` are fields of `SafeDPOConfig`.

    >>> from safedpo.finite import optimal_policy
    >>> from safedpo.lm.sentences import list_sentences
    >>> sentences = list_sentences(load_kitchen())
    >>> best, records = optimal_policy(sentences.world, 1.0), sentences.sample_records(8, seed=0)
    >>> _, rows = train_measured(sentences, records, best, beta=1.0, per_device_train_batch_size=8, disable_tqdm=True)
    >>> [row["step"] for row in rows], sorted(rows[0])
    ([0, 1], ['kl', 'outside', 'reward', 'step', 'unsafe'])
    """
    kitchen, distances = load_kitchen(folder, masked=masked), Distances(sentences, target, every=every)
    rule = str(settings.get("rule", "safedpo"))
    pairs = tokenize_pairs(records, kitchen.tokenizer, rule=rule).items
    ref_logps = sentences.pair_logps(sentences.logps(kitchen.model), pairs)
    return _train(SafeDPOTrainer, kitchen, rank, pairs, ref_logps, distances, settings)


def fit_measured(
    sentences: Sentences, target: Tensor, *, n: int, rank: int | None = None, every: int = 50, **settings: object
) -> tuple[torch.nn.Module, list[dict[str, float]]]:
    """Fit a fresh policy to `n` answers drawn from the `target` itself: how near such a policy can get at all.

    Supervised fine-tuning minimises E_target[-log pi] = KL(target || pi) + the target's entropy: the distance itself,
    without preferences. What it leaves bounds the error of representation from above. Returns as `train_measured`.

    >>> from safedpo.finite import optimal_policy
    >>> from safedpo.lm.sentences import list_sentences
    >>> sentences = list_sentences(load_kitchen())
    >>> _, rows = fit_measured(sentences, optimal_policy(sentences.world, 1.0), n=8, disable_tqdm=True)
    >>> rows[0]["step"], rows[0]["kl"] > 0
    (0, True)
    """
    draw, prompt = torch.Generator().manual_seed(0), torch.arange(n) % len(sentences.prompts)
    answers = draw_answers(target, prompt, draw)
    examples = [
        TokenExample(sentences.prompt_ids[x], sentences.answer_ids[y], row)
        for row, (x, y) in enumerate(zip(prompt.tolist(), answers.tolist(), strict=True), start=1)
    ]
    distances = Distances(sentences, target, every=every)
    return _train(SFTTrainer, load_kitchen(), rank, group_examples(examples, 8), None, distances, settings)


def _train(trainer, kitchen: LoadedModel, rank: int | None, items, ref_logps, distances: Distances, settings: dict):
    with tempfile.TemporaryDirectory() as scratch:
        own = {"row_tokens": 384, "logging_steps": 10, "max_grad_norm": 1.0}  # those of the stored runs
        config = SafeDPOConfig(output_dir=scratch, use_cpu=True, save_strategy="no", **own | settings)
        policy = add_lora(kitchen.model, r=rank, seed=config.seed) if rank else kitchen.model
        trainer(policy, config, items, ref_logps, callbacks=[distances]).train()
    return policy.eval(), distances.rows
