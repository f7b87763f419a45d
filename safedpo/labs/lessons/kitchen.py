"""The runs of notebook 06: the kitchen's optima as bars, the trainer beside the bare loop, and measured runs."""

import tempfile
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
import torch
from torch import Tensor

from safedpo.files import read_json, shipped
from safedpo.finite import FiniteWorld, optimal_policy
from safedpo.show import curves, policies

if TYPE_CHECKING:  # the names that need transformers are imported where they are used
    from safedpo.lm.models.load import LoadedModel
    from safedpo.lm.sentences import Sentences

try:
    from transformers import TrainerCallback
except ImportError:  # without transformers nothing is trained, and nothing calls back
    TrainerCallback = object

KINDS = ("soap", "vinegar", "lemon", "ammonia", "oil", "sorry", "toxic gas", "caustic mist", "fire")  # hazards: last 3
Measured = Sequence[Mapping[str, float]]  # rows of `train_measured`: step, kl, unsafe, reward, outside


def listed() -> "tuple[LoadedModel, Sentences, FiniteWorld]":
    """The reference model, the list of all its answers, and that list as a finite world.

    >>> listed()[2].answers
    2882
    """
    from safedpo.lm.sentences import list_sentences, load_kitchen

    reference = load_kitchen()
    sentences = list_sentences(reference)
    return reference, sentences, sentences.world


def by_kind(sentences: "Sentences", beta: float, *, prompt: int = 2) -> tuple[go.Figure, str]:
    """All answers to a prompt, added up by what is used (safe sentences) or by the hazard: reference and both optima."""
    from safedpo.lm.sentences.advice import hazard

    kinds = [
        KINDS.index(hazard(text) or next(word for word in text.split() if word in KINDS)) for text in sentences.answers
    ]
    tables = {
        "reference": sentences.world.ref_logps,
        "DPO optimum": optimal_policy(sentences.world, beta, penalty=0.0),
        "SafeDPO optimum": optimal_policy(sentences.world, beta),
    }
    masses = {
        name: torch.zeros(len(KINDS)).double().index_add(0, torch.tensor(kinds), table[prompt].exp()).tolist()
        for name, table in tables.items()
    }
    setting = f"To {sentences.prompts[prompt]!r}, at β = {beta:g}"
    return policies(KINDS, [False] * 6 + [True] * 3, masses, facts={}, setting=setting)


def sampled_unsafe(sentences: "Sentences", n: int) -> float:
    """The share of unsafe answers to the first prompt among `n`, drawn token by token with `generate`."""
    from safedpo.lm.sentences import load_kitchen

    kitchen = load_kitchen()
    ids = torch.tensor([sentences.prompt_ids[0]]).expand(n, -1)
    torch.manual_seed(0)
    drawn = kitchen.model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=True, top_k=0, max_new_tokens=12)
    texts = kitchen.tokenizer.batch_decode(drawn[:, ids.shape[1] :], skip_special_tokens=True)
    return sum(sentences.world.unsafe[0, sentences.answers.index(text)].item() for text in texts) / n


def trainer_losses(pairs: Sequence, ref_logps: Tensor, *, steps: int, **changes: object) -> Tensor:
    """The losses that `SafeDPOTrainer` logs at beta 0.5 and delta 5, 16 pairs a step; `changes` are its settings."""
    from safedpo.lm import SafeDPOConfig, SafeDPOTrainer
    from safedpo.lm.sentences import load_kitchen

    settings: dict[str, Any] = {
        "beta": 0.5,
        "delta": 5.0,
        "per_device_train_batch_size": 16,
        "learning_rate": 1e-3,
        "seed": 0,
    }
    settings |= {"lr_scheduler_type": "constant", "warmup_steps": 0, "weight_decay": 0.0, "save_strategy": "no"}
    settings |= {"max_grad_norm": 1.0}  # as the bare loop cuts its gradients
    settings |= {"use_cpu": True, "disable_tqdm": True, "max_steps": steps, **changes}
    with tempfile.TemporaryDirectory() as scratch:
        config = SafeDPOConfig(output_dir=scratch, **settings)
        trainer = SafeDPOTrainer(load_kitchen().model, config, pairs, ref_logps)
        trainer.train()
    return torch.tensor([row["loss"] for row in trainer.state.log_history if "loss" in row])


class Interrupt(TrainerCallback):
    """Interrupts a run after `step`, as a person or a machine might."""

    def __init__(self, step: int):
        self.step = step

    def on_step_end(self, args, state, control, **others):
        if state.global_step == self.step:
            raise KeyboardInterrupt


def run_twice(records: Sequence, *, interrupt: int) -> tuple[list[Tensor], list[Tensor]]:
    """The weights after ten steps in one go, and after an interruption and a second call; checkpoints every 5 steps."""
    from safedpo.lm import train
    from safedpo.lm.sentences import load_kitchen

    how: dict[str, Any] = {"beta": 1.0, "delta": 5.0, "full": True, "max_steps": 10, "batch_size": 8, "device": "cpu"}
    how |= {"save_steps": 5, "disable_tqdm": True}
    with tempfile.TemporaryDirectory() as home:
        whole = train(load_kitchen(), records, f"{home}/whole", **how).policy
        try:
            train(load_kitchen(), records, f"{home}/again", callbacks=[Interrupt(interrupt)], **how)
        except KeyboardInterrupt:
            print(f"interrupted after step {interrupt}; the last checkpoint is of step 5")
        resumed = train(load_kitchen(), records, f"{home}/again", **how).policy
    return list(whole.parameters()), list(resumed.parameters())


def stored_runs() -> dict:
    """The stored long runs: the sharp optimum and the ranks."""
    return read_json(shipped("data") / "sentences" / "runs.json", way_out="install safedpo again")


def along(paths: Mapping[str, Measured], titles: Mapping[str, str], *, log: Sequence[str] = ()) -> tuple:
    """(figure function, steps) of measured runs at the steps they share: one panel for each title -> column.

    Columns in `log` are drawn as log10.
    """
    tables = {name: {int(row["step"]): row for row in rows} for name, rows in paths.items()}
    steps = sorted(set.intersection(*(set(table) for table in tables.values())))

    def value(row: Mapping[str, float], column: str) -> float:
        return torch.tensor(row[column]).double().log10().item() if column in log else row[column]

    panels = {
        title: {name: [value(table[step], column) for step in steps] for name, table in tables.items()}
        for title, column in titles.items()
    }
    return lambda step: curves(steps, panels, at=step), steps
