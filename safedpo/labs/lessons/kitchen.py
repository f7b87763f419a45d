"""The runs of notebook 06: the kitchen's optima as bars, the trainer beside the bare loop, and measured runs."""

import tempfile
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
import torch
from torch import Tensor

from safedpo.files import read_json, shipped
from safedpo.finite import FiniteWorld, expected_reward, optimal_policy, unsafe_mass
from safedpo.show import curves, policies

if TYPE_CHECKING:  # the names that need transformers are imported where they are used
    from safedpo.lm.models.load import LoadedModel
    from safedpo.lm.sentences import Sentences

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


def three_ways(reference: "LoadedModel", records: Sequence, pairs: Sequence) -> tuple[Tensor, Tensor, Tensor]:
    """log pi of the chosen responses of `pairs`, (N,) each: padded in one batch, each alone, and packed in one row.

    The first two come from the textbook pipeline of section 7 (its fault 0), which shares no code with the packed row.
    """
    from safedpo import lm
    from safedpo.labs.bugs.faults import broken

    decode = reference.tokenizer.decode
    texts = [(records[pair.id - 1].prompt, decode(pair.chosen_ids[:-1])) for pair in pairs]  # ids count from 1
    with torch.no_grad():
        padded = broken(0).logps(reference.model, reference.tokenizer, texts)
        alone = torch.cat([broken(0).logps(reference.model, reference.tokenizer, [text]) for text in texts])
        packed = lm.response_logps(reference.model, lm.pack_pairs(pairs)).reshape(2, -1)[0]
    return padded, alone, packed


def show_answers(sentences: "Sentences", *, prompt: int, ranks: Sequence[int]) -> None:
    """Print some answers to a prompt, by their rank in the reference: probability, reward, whether unsafe."""
    world = sentences.world
    print(
        f"{world.prompts} prompts, {world.answers:,} answers to each; for {sentences.prompts[prompt]!r} the reference says"
    )
    for place in world.ref_logps[prompt].argsort(descending=True)[list(ranks)].tolist():
        flag, chance = "UNSAFE" if world.unsafe[prompt, place] else "", world.ref_logps[prompt, place].exp()
        print(f"  {chance:.6f}  reward {world.reward[prompt, place]:+.1f}  {sentences.answers[place]} {flag}")


def show_ends(paths: Mapping[str, Measured]) -> None:
    """Print where each measured run ends.

    >>> show_ends({"run": [{"kl": 1.0, "unsafe": 0.5, "reward": 0.0}, {"kl": 0.25, "unsafe": 0.01, "reward": 1.0}]})
    run                       KL to its optimum 1.000 -> 0.2500, unsafe mass 5.0e-01 -> 1.0e-02, expected reward 1.000
    """
    for name, rows in paths.items():
        first, last = rows[0], rows[-1]
        kl = f"KL to its optimum {first['kl']:.3f} -> {last['kl']:.4f}"
        unsafe = f"unsafe mass {first['unsafe']:.1e} -> {last['unsafe']:.1e}"
        print(f"{name:25} {kl}, {unsafe}, expected reward {last['reward']:.3f}")


def show_optima(world: FiniteWorld, optima: Mapping[str, Tensor]) -> None:
    """Print what each exact optimum reaches, mean over prompts.

    >>> from safedpo.finite import six_answers
    >>> show_optima(six_answers(), {"SafeDPO": optimal_policy(six_answers(), 0.5)})
    closed form, SafeDPO      unsafe mass 0.0e+00, expected reward 0.779
    """
    for name, policy in optima.items():
        harm, reward = unsafe_mass(world, policy).mean().item(), expected_reward(world, policy).mean().item()
        print(f"{f'closed form, {name}':25} unsafe mass {harm:.1e}, expected reward {reward:.3f}")


def show_leaks(paths: Mapping[str, Measured]) -> None:
    """Print how much probability lay outside the list in each measured run.

    >>> show_leaks({"run": [{"outside": 0.02}, {"outside": 0.3}, {"outside": 0.1}]})
    run              outside the list 0.020 at first, 0.300 at most, 0.100 at the end
    """
    for name, rows in paths.items():
        outside = [row["outside"] for row in rows]
        print(
            f"{name:16} outside the list {outside[0]:.3f} at first, {max(outside):.3f} at most, {outside[-1]:.3f} at the end"
        )


def show_ranks(stored: Mapping) -> None:
    """Print the stored runs by rank: the KL that imitation leaves, and that training on pairs leaves; rank 0 is all weights."""
    print(f"stored, made by {stored['command']}")
    for row in stored["ranks"]:
        numbers = row["rank"] or 0, row["fitted"]["kl"], row["trained"]["kl"], row["trained"]["unsafe"]
        print("rank {:<3} imitating π*: KL {:.4f}   SafeDPO: KL {:.4f}, unsafe {:.1e}".format(*numbers))
