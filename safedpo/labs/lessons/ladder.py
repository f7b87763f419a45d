"""From this machine to a big one: what each GPU is good for, what that costs, and how to start it in one word.

    RUN = "look"     print the plan of every tier, start nothing (the default)
    RUN = "t4"       SmolLM2-135M, the whole sweep over delta: the data of the margin explorer, made by the reader
    RUN = "24gb"     a 7B model with LoRA on PKU-SafeRLHF-30K
    RUN = "80gb"     the paper's settings, all weights

A tier is started by nothing but its name. It stops after its cap of steps, lies in a folder that survives the runtime
(on Colab in the reader's Drive), and goes on from there when the same cell is run again.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from safedpo.errors import UserError

if TYPE_CHECKING:
    from safedpo.lm.models.memory import MemoryEstimate

LOOK = "look"
DRIVE = Path("/content/drive")
# What the preset and a 7B Llama (Alpaca's vocabulary) are, so that a plan needs no network.
SMOLLM2: dict[str, Any] = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "vocab_size": 49152}
SMOLLM2 |= {"num_attention_heads": 9, "num_key_value_heads": 3, "tie_word_embeddings": True}
LLAMA_7B: dict[str, Any] = SMOLLM2 | {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32}
LLAMA_7B |= {"num_attention_heads": 32, "num_key_value_heads": 32, "vocab_size": 32001, "tie_word_embeddings": False}
TOKENS_A_PAIR = {"household": 100, "pku": 300}  # prompt and both responses, about
DELTAS = (0.0, 2.0, 5.0, 10.0, 20.0, 50.0)
SAMPLED = 750  # responses that are sampled for one run of the sweep: 150 prompts, at three budgets


@dataclass(frozen=True)
class Tier:
    """One step of the ladder; `rate` is what the arithmetic is divided by, in FLOP/s."""

    name: str
    title: str
    gpu: str
    shape: Mapping[str, Any]
    full: bool
    dtype: str
    pairs: int  # over all runs
    steps: int | None  # cap of one run; None: the sweep's own length
    tokens: int  # of one pair
    rate: float
    row_tokens: int

    @property
    def needs(self) -> int:
        """Bytes of GPU memory: the estimate, and a tenth for PyTorch itself and temporary buffers."""
        return round(1.1 * self.memory.total)

    @property
    def minutes(self) -> float:
        """Arithmetic over speed: a token costs 2 N FLOP to read, 6 N to train on (4 N with LoRA) and 2 N of reference.

        A sampled response is counted as a pair. It is an estimate before the run; the run's own bar knows better.
        """
        each = (8 if self.full else 6) * self.memory.parameters * self.tokens
        return self.pairs * each / self.rate / 60

    @cached_property
    def memory(self) -> "MemoryEstimate":
        """The memory estimate of one run (`safedpo.lm.models.memory`)."""
        from transformers import LlamaConfig

        from safedpo.lm.models.memory import memory_estimate

        shape = LlamaConfig(**self.shape)
        return memory_estimate(shape, full=self.full, dtype=self.dtype, device="cpu", row_tokens=self.row_tokens)

    def __str__(self) -> str:
        memory = self.memory
        cap = (
            f"at most {self.steps} steps of 64 pairs" if self.steps else f"{len(DELTAS)} runs of 1,000 pairs, measured"
        )
        return (
            f'RUN = "{self.name}"  {self.title}\n'
            f"    on {self.gpu}; {cap}\n"
            f"    memory about {memory.total / 1e9:.1f} GB: weights {memory.weights / 1e9:.1f}, optimizer "
            f"{memory.optimizer / 1e9:.1f}, activations {memory.activations / 1e9:.1f}, logits {memory.logits / 1e9:.1f}\n"
            f"    time about {self.minutes:.0f} minutes ({self.pairs:,} pairs or responses of {self.tokens} tokens, at "
            f"{self.rate / 1e12:.3g} TFLOP/s; an estimate, not a measurement)\n"
            f"    kept in {survives(self.name)}"
        )


# Rates: a third of a card's peak for 7B; a tenth for 135 million parameters, whose small products leave a GPU waiting.
TIERS = {
    tier.name: tier
    for tier in (
        Tier(
            name="t4",
            title="SmolLM2-135M with LoRA: the whole sweep over delta, then the explorer of your own runs",
            gpu="a T4 (16 GB), as on a free Colab",
            shape=SMOLLM2,
            full=False,
            dtype="float32",
            pairs=len(DELTAS) * (1000 + SAMPLED),
            steps=None,
            tokens=TOKENS_A_PAIR["household"],
            rate=0.1 * 8.1e12,
            row_tokens=4096,
        ),
        Tier(
            name="24gb",
            title="a 7B model with LoRA on PKU-SafeRLHF-30K",
            gpu="a card with 24 GB (L4, A10G, RTX 4090)",
            shape=LLAMA_7B,
            full=False,
            dtype="bfloat16",
            pairs=64 * 100,
            steps=100,
            tokens=TOKENS_A_PAIR["pku"],
            rate=0.33 * 121e12,
            row_tokens=1024,
        ),
        Tier(
            name="80gb",
            title="a 7B model, all weights, the paper's settings",
            gpu="a card with 80 GB (A100, H100)",
            shape=LLAMA_7B,
            full=True,
            dtype="bfloat16",
            pairs=64 * 300,
            steps=300,
            tokens=TOKENS_A_PAIR["pku"],
            rate=0.33 * 312e12,
            row_tokens=2048,
        ),
    )
}


def climb(
    run: str = LOOK, *, folder: str | Path | None = None, tiers: Sequence[str] | None = None, **changes: Any
) -> Path | None:
    """Print the plan of every tier (or of `tiers`) for `"look"`; else run that tier and return the folder of its results.

    `folder` stands in the place of `survives(run)`. `changes` replace settings of the tier: those of `safedpo.lm.train`,
    for "t4" those of `SweepSettings`; a longer run is `climb("80gb", max_steps=1000)`. Run again with the same
    arguments, an interrupted tier goes on, and a finished one is left as it is. Raises `UserError` for an unknown tier,
    for a machine without the GPU that it needs, and where the folder cannot be had.

    >>> climb("8gb")
    Traceback (most recent call last):
    safedpo.errors.UserError: RUN is '8gb'; choose look, t4, 24gb or 80gb
    """
    if run == LOOK:
        print("\n\n".join(str(TIERS[name]) for name in tiers or TIERS))
        print(f"\nHere: {_here()}. Nothing was started; set RUN to a tier's name and run this cell again.")
        return None
    if run not in TIERS:
        raise UserError(f"RUN is {run!r}; choose {LOOK}, {', '.join(list(TIERS)[:-1])} or {list(TIERS)[-1]}")
    tier = TIERS[run]
    _refuse_a_small_machine(tier)
    home = Path(folder) if folder is not None else _ready(survives(run))
    print(f"{tier}\n\nstarted; if it is interrupted, run this cell again and it goes on")
    return _sweep(home, changes) if run == "t4" else _train(tier, home, changes)


def survives(name: str) -> Path:
    """Where a tier's results outlive the runtime: the reader's Drive on Colab, the home folder elsewhere.

    >>> survives("t4").parts[-2:]
    ('safedpo-runs', 't4')
    """
    return (DRIVE / "MyDrive" if "google.colab" in sys.modules else Path.home()) / "safedpo-runs" / name


def _ready(folder: Path) -> Path:
    """The folder, with Drive mounted where it lies there."""
    if folder.is_relative_to(DRIVE) and not (DRIVE / "MyDrive").is_dir():
        try:
            sys.modules["google.colab"].drive.mount(str(DRIVE))
        except Exception as error:  # Colab raises several kinds, also for a refused permission
            raise UserError(
                f"Drive could not be mounted ({error}); allow it and run this cell again, or give a folder: "
                'climb(RUN, folder="/content/runs"), which is lost when the runtime ends'
            ) from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be made ({error.strerror}); give another: climb(RUN, folder=...)") from error
    return folder


def _gpu() -> tuple[str, int] | None:
    """Name and memory in bytes of the GPU here, or None."""
    if not torch.cuda.is_available():
        return None
    return torch.cuda.get_device_name(0), torch.cuda.get_device_properties(0).total_memory


def _here() -> str:
    gpu = _gpu()
    return f"{gpu[0]} with {gpu[1] / 1e9:.0f} GB" if gpu else "no GPU"


def _refuse_a_small_machine(tier: Tier) -> None:
    gpu = _gpu()
    if gpu and gpu[1] >= tier.needs:
        return
    fits = [other.name for other in TIERS.values() if gpu and gpu[1] >= other.needs]
    way_out = f'set RUN = "{fits[-1]}"' if fits else "leave RUN at look"
    colab = ", or choose a GPU (Runtime > Change runtime type)" if "google.colab" in sys.modules else ""
    raise UserError(
        f"the tier {tier.name} needs a GPU with {tier.needs / 1e9:.0f} GB; here is {_here()}; {way_out}{colab}"
    )


def _sweep(home: Path, changes: Mapping[str, Any]) -> Path:
    from safedpo.evaluate.sweep import SweepSettings, sweep
    from safedpo.household import load

    settings: dict[str, Any] = {"deltas": DELTAS, "data": load("train"), "prompts": load("test"), "samples": 3} | dict(
        changes
    )
    sweep(SweepSettings(**settings), home, command='climb("t4")')
    print(f"finished: {home}")
    return home


def _train(tier: Tier, home: Path, changes: Mapping[str, Any]) -> Path:
    from safedpo.lm.models.adapters import adapter_run
    from safedpo.lm.training.recipes import RECIPES
    from safedpo.lm.training.run import train

    if adapter_run(home).get("status") == "finished":
        print(f"{home} holds a finished run; it is left as it is")
        return home
    settings: dict[str, Any] = RECIPES["paper-7b"] | {
        "max_steps": tier.steps,
        "save_steps": 25,
        "row_tokens": tier.row_tokens,
    }
    if not tier.full:
        settings |= {"full": False, "learning_rate": 1e-5}
    run = train(**(settings | dict(changes)), output_dir=home)
    print(f"finished: {run.folder}")
    return run.folder
