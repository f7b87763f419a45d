"""The door between the two worlds: a language model whose answers can all be listed *is* a ``FiniteWorld``.

The reference's enumerated probabilities, a reward and a hazard for each sentence make the table; ``optimal_policy`` gives
the closed-form optimum over sentences; and a neural policy, trained by the trainer of every other model on pairs drawn
from that table, is measured against it exactly, at any step.
"""

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm
from transformers import TrainerCallback

from safedpo.errors import UserError
from safedpo.finite import FiniteWorld, expectation, kl, optimal_policy
from safedpo.records import Record

from .batches import group_examples
from .config import SafeDPOConfig
from .kitchen.advice import GRAMMAR, PROMPTS, hazard, reward
from .kitchen.model import Level, answer_logps, answer_tree
from .kitchen.reference import load_kitchen
from .models import LoadedModel, add_lora
from .tokens import TokenExample, TokenPair, prompt_token_ids, tokenize_pairs, tokenize_response
from .trainer import SafeDPOTrainer, SFTTrainer

__all__ = ["STEADY", "Distances", "Sentences", "fit_measured", "list_sentences", "load_kitchen", "outside_mass", "train_measured"]
# Settings that bring the neural policy to its optimum on 120,000 pairs. Many small steps matter: at delta = 10 one draw of 60,000
# pairs left KL 0.087 in batches of 32, 0.165 of 512, and 0.156 of 256 at learning rate 5e-3.
STEADY = {"per_device_train_batch_size": 32, "learning_rate": 3e-3, "adam_beta2": 0.99, "warmup_steps": 0.1}
RANKS = {1: 2e-2, 4: 1e-2, 16: 5e-3, 0: 3e-3}  # LoRA rank (0: all weights) -> learning rate of its fit


@dataclass(frozen=True, eq=False)
class Sentences:
    """Prompts and all their answers, as text and as token ids (answers with their end token), and their exact world."""

    prompts: tuple[str, ...]
    answers: tuple[str, ...]
    prompt_ids: tuple[tuple[int, ...], ...]
    answer_ids: tuple[tuple[int, ...], ...]
    tree: list[Level]
    world: FiniteWorld

    def logps(self, model) -> Tensor:
        """log pi(y | x) of every answer to every prompt under any model over these tokens, (P, A) float64."""
        return enumerate_logps(model, self.prompt_ids, self.tree)

    def pair_logps(self, logps: Tensor, pairs: Sequence[TokenPair]) -> Tensor:
        """The chosen and rejected response of each pair looked up in a table (P, A): (2, N) float32.

        From the reference's table these are the numbers that ``reference_logps`` computes pair by pair.
        """
        prompts = torch.tensor([self.prompt_ids.index(pair.prompt_ids) for pair in pairs])
        answers = torch.tensor([[self._number[pair.chosen_ids] for pair in pairs],
                                [self._number[pair.rejected_ids] for pair in pairs]])  # fmt: skip
        return logps[prompts, answers].float()

    @cached_property
    def _number(self) -> dict[tuple[int, ...], int]:
        return {ids: number for number, ids in enumerate(self.answer_ids)}

    def sample_records(self, n: int, seed: int) -> list[Record]:
        """``n`` preference pairs: a prompt, two different answers drawn from the reference, Bradley-Terry labels.

        Both safety bits are true. In a mixed pair the safe answer is the safer one, else the better one is.

        >>> pair = list_sentences(load_kitchen()).sample_records(1, seed=0)[0]
        >>> pair.row, pair.responses[0] != pair.responses[1]
        (1, True)
        """
        if n < 1:
            raise UserError(f"n is {n}; draw at least one pair")
        draw = torch.Generator().manual_seed(seed)
        prompt = torch.randint(len(self.prompts), (n,), generator=draw)
        first, second = (_draw_answers(self.world.ref_logps, prompt, draw) for _ in range(2))
        while (same := first == second).any():
            second[same] = _draw_answers(self.world.ref_logps, prompt[same], draw)
        answers = torch.stack([first, second], 1)
        rewards = self.world.reward[prompt[:, None], answers]
        unsafe = self.world.unsafe[prompt[:, None], answers]
        second_better = torch.rand(n, generator=draw) < (rewards[:, 1] - rewards[:, 0]).sigmoid()
        table = zip(prompt.tolist(), answers.tolist(), unsafe.tolist(), second_better.tolist(), strict=True)
        return [
            Record(self.prompts[x], (self.answers[a], self.answers[b]), (h[0], h[1]), int(second),
                   int(second) if h[0] == h[1] else int(h[0]), row)
            for row, (x, (a, b), h, second) in enumerate(table, start=1)
        ]  # fmt: skip


def list_sentences(reference: LoadedModel) -> Sentences:
    """The world of the kitchen language under ``reference``, a masked model: its answers are the whole space.

    Raises ``UserError`` where the reference leaves probability outside the grammar (its mask is off).

    >>> sentences = list_sentences(load_kitchen())
    >>> sentences.world.prompts, sentences.world.answers
    (4, 2882)
    >>> sentences.logps(load_kitchen().model).exp().sum(-1).round(decimals=9).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    tokenizer = reference.tokenizer
    answer_ids = tuple(
        tokenize_response(tokenizer, PROMPTS[0], answer, max_length=512)[1] for answer in GRAMMAR.sentences
    )
    tree = answer_tree(answer_ids)
    prompt_ids = tuple(prompt_token_ids(tokenizer, prompt) for prompt in PROMPTS)
    ref_logps = enumerate_logps(reference.model, prompt_ids, tree)
    if (outside := outside_mass(ref_logps).max().item()) > 1e-5:
        raise UserError(f"this model leaves {outside:.3g} of its probability outside the grammar, so its sentences are "
                        "not all its answers; load it with masked=True")  # fmt: skip
    unsafe = torch.tensor([[hazard(answer) is not None for answer in GRAMMAR.sentences]] * len(PROMPTS))
    rewards = [[reward(prompt, answer) for answer in GRAMMAR.sentences] for prompt in PROMPTS]
    world = FiniteWorld(ref_logps.log_softmax(-1), rewards, unsafe, labels=GRAMMAR.sentences)
    return Sentences(PROMPTS, GRAMMAR.sentences, prompt_ids, answer_ids, tree, world)


def enumerate_logps(model, prompt_ids, tree: list[Level]) -> Tensor:
    """log pi of every answer of the tree to every prompt, (P, A) float64."""
    return torch.stack([answer_logps(model, ids, tree) for ids in prompt_ids])


def _draw_answers(logps: Tensor, prompt: Tensor, draw: torch.Generator) -> Tensor:
    """One answer to each prompt of ``prompt`` (n,), drawn from the table of log-probabilities (P, A): (n,) int64."""
    every = torch.stack([row.multinomial(len(prompt), replacement=True, generator=draw) for row in logps.exp()])
    return every[prompt, torch.arange(len(prompt))]


def outside_mass(logps: Tensor) -> Tensor:
    """The probability of everything that is not in the list, 1 - sum_y pi(y | x), (P,); 0 under the grammar's mask.

    >>> round(outside_mass(torch.tensor([[0.5, 0.25]]).log()).item(), 6)
    0.25
    """
    return -torch.expm1(logps.logsumexp(-1))


class Distances(TrainerCallback):
    """Measures the policy exactly, before the first step, every ``every`` steps and at the end, into ``rows``.

    Each row, averaged over prompts: ``kl`` = KL(target || policy) in nats, ``unsafe``, the mass on unsafe answers,
    ``reward``, the expected reward (both over the list), and ``outside``, the mass outside it; and the ``step``. This
    direction of KL is finite while the policy leaves unsafe mass; the other one is infinite.
    """

    def __init__(self, sentences: Sentences, target: Tensor, *, every: int = 20):
        self.sentences, self.target, self.every, self.rows = sentences, target, every, []

    def measure(self, model, step: int) -> dict[str, float]:
        """One row."""
        logps, world = self.sentences.logps(model), self.sentences.world
        values = {"kl": kl(self.target, logps), "unsafe": expectation(logps, world.unsafe.double()),
                  "reward": expectation(logps, world.reward), "outside": outside_mass(logps)}  # fmt: skip
        return {"step": step, **{name: value.mean().item() for name, value in values.items()}}

    def on_train_begin(self, args, state, control, model=None, **others):
        self._add(model, state.global_step)

    def on_step_end(self, args, state, control, model=None, **others):
        if state.global_step % self.every == 0 or state.global_step == state.max_steps:
            self._add(model, state.global_step)

    def _add(self, model, step: int) -> None:
        self.rows.append(self.measure(model, step))


def train_measured(sentences: Sentences, records: Sequence[Record], target: Tensor, *, masked: bool = True,
                   rank: int | None = None, every: int = 50, **settings):  # fmt: skip
    """Train a fresh policy with ``SafeDPOTrainer``, measuring it exactly on the way: ``(policy, rows of Distances)``.

    All weights, or a LoRA adapter of ``rank``; ``masked=False`` lets policy and reference say anything. The reference's
    log-probabilities are looked up in its enumerated table. ``settings`` are fields of ``SafeDPOConfig``.
    """
    kitchen, distances = load_kitchen(masked=masked), Distances(sentences, target, every=every)
    rule = settings.get("rule", "safedpo")
    pairs = tokenize_pairs(records, kitchen.tokenizer, rule=rule).items
    ref_logps = sentences.pair_logps(sentences.logps(kitchen.model), pairs)
    return _train(SafeDPOTrainer, kitchen, rank, pairs, ref_logps, distances, settings)


def fit_measured(sentences: Sentences, target: Tensor, *, n: int, rank: int | None = None, every: int = 50, **settings):
    """Fit a fresh policy to ``n`` answers drawn from the ``target`` itself: how near such a policy can get at all.

    Supervised fine-tuning minimises E_target[-log pi] = KL(target || pi) + the target's entropy: the distance itself,
    without preferences. What it leaves bounds the error of representation from above. Returns as ``train_measured``.
    """
    draw, prompt = torch.Generator().manual_seed(0), torch.arange(n) % len(sentences.prompts)
    answers = _draw_answers(target, prompt, draw)
    examples = [TokenExample(sentences.prompt_ids[x], sentences.answer_ids[y], row)
                for row, (x, y) in enumerate(zip(prompt.tolist(), answers.tolist(), strict=True), start=1)]  # fmt: skip
    distances = Distances(sentences, target, every=every)
    return _train(SFTTrainer, load_kitchen(), rank, group_examples(examples, 8), None, distances, settings)


def _train(trainer, kitchen: LoadedModel, rank: int | None, items, ref_logps, distances: Distances, settings: dict):
    with tempfile.TemporaryDirectory() as scratch:
        config = SafeDPOConfig(output_dir=scratch, use_cpu=True, save_strategy="no",
                               **{"row_tokens": 384, "logging_steps": 10, **settings})  # fmt: skip
        policy = add_lora(kitchen.model, r=rank, seed=config.seed) if rank else kitchen.model
        trainer(policy, config, items, ref_logps, callbacks=[distances]).train()
    return policy.eval(), distances.rows


def store_runs(file: Path, *, ranks: Mapping[int, float] = RANKS, n: int = 60_000, sharp: int = 120_000) -> None:
    """The runs too long for a lesson, with all their settings, as JSON.

    For each rank the last row of a fit to pi* itself on ``n`` answers, and of SafeDPO on ``n`` pairs (``STEADY``); and all
    rows of SafeDPO at beta = 0.1 on ``sharp`` pairs, all weights trained.
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
    _, path = train_measured(sentences, sentences.sample_records(sharp, seed=0), optimal_policy(sentences.world, 0.1), **train)
    about = {"command": f"python -m safedpo.lm.sentences {file}", "n": n, "fit": fit, "train": STEADY | {"delta": 10.0},
             "ranks": rows, "sharp": {"pairs": sharp, "rows": path}}  # fmt: skip
    file.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m safedpo.lm.sentences FILE.json")
    store_runs(Path(sys.argv[1]))
