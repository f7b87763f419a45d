"""From this machine to a big one: what each GPU is good for, what that costs, and how to start it in one word.

    RUN = "look"     print the plan of every tier, start nothing (the default)
    RUN = "t4"       SmolLM2-135M, the whole sweep over delta: the data of the margin explorer, made by the reader
    RUN = "24gb"     a 7B model with LoRA on PKU-SafeRLHF-30K, activations computed again
    RUN = "80gb"     the same with longer rows, up to a whole epoch, nothing computed twice

A tier is started by nothing but its name. It stops after its cap of steps, lies in a folder that survives the runtime
(on Colab in the reader's Drive), and goes on from there when the same cell is run again. A plan's numbers are worked out
from the settings that are run. All weights in the paper's settings fit no single card of 80 GB: `safedpo reproduce`.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from safedpo.errors import UserError

if TYPE_CHECKING:
    from safedpo.lm.models.memory import MemoryEstimate

LOOK = "look"
DRIVE = Path("/content/drive")
DELTAS = (0.0, 2.0, 5.0, 10.0, 20.0, 50.0)
PAIRS, SAMPLED = 1000, 1360  # of one run: pairs, and responses to 340 prompts, once, once and twice at three budgets


@dataclass(frozen=True)
class Tier:
    """One step of the ladder; `rate` is what the arithmetic is divided by, in FLOP/s."""

    name: str
    title: str
    gpu: str
    data: str  # whose pairs: household or pku
    pairs: int  # over all runs
    rate: float
    recipe: str | None = None  # None: the sweep's own settings
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, Any]:
        """What is run, by the names of `safedpo.lm.train`: the plan's numbers come from here."""
        from safedpo.lm.training.recipes import RECIPES

        # The sweep takes dtype auto, which is float32 on a T4: it cannot compute in bfloat16.
        base = RECIPES[self.recipe] if self.recipe else {"lora_r": RECIPES["household"]["lora_r"], "dtype": "float32"}
        settings = base | dict(self.changes)
        return {name: value for name, value in settings.items() if value is not False}

    @property
    def needs(self) -> int:
        """Bytes of GPU memory: the estimate, and a tenth for PyTorch itself and temporary buffers."""
        return round(1.1 * self.memory.total)

    @property
    def tokens(self) -> int:
        """Tokens of a pair of this tier's data, counted."""
        from safedpo.evaluate.paper.reproduce.costs import TOKENS_A_PAIR

        return TOKENS_A_PAIR[self.data]

    @property
    def minutes(self) -> float:
        """Arithmetic over speed (`safedpo.evaluate.paper.reproduce.costs`), of pairs seen once.

        A sampled response is counted as a pair. It is an estimate before the run; the run's own bar knows better.
        """
        from safedpo.evaluate.paper.reproduce.costs import training_minutes

        once = self.settings | {"epochs": 1}
        return training_minutes(self.memory.parameters, self.pairs * self.tokens, self.rate, once)

    @cached_property
    def memory(self) -> "MemoryEstimate":
        """The memory estimate of one run (`safedpo.lm.models.memory`)."""
        from safedpo.evaluate.paper.reproduce.costs import LLAMA_7B, SMOLLM2, run_memory

        return run_memory(SMOLLM2 if self.recipe is None else LLAMA_7B, self.settings)

    def __str__(self) -> str:
        memory = self.memory
        cap = (
            f"at most {self.settings['max_steps']} steps of 64 pairs"
            if self.recipe
            else f"{len(DELTAS)} runs of {PAIRS:,} pairs, measured"
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
            data="household",
            pairs=len(DELTAS) * (PAIRS + SAMPLED),
            rate=0.1 * 8.1e12,
        ),
        Tier(
            name="24gb",
            title="a 7B model with LoRA on PKU-SafeRLHF-30K",
            gpu="a card with 24 GB (L4, A10G, RTX 4090)",
            data="pku",
            pairs=64 * 100,
            rate=0.33 * 121e12,
            recipe="lora-7b",
            changes={"max_steps": 100},
        ),
        Tier(
            name="80gb",
            title="a 7B model with LoRA on PKU-SafeRLHF-30K: a whole epoch, nothing computed twice",
            gpu="a card with 80 GB (A100, H100)",
            data="pku",
            pairs=64 * 422,
            rate=0.33 * 312e12,
            recipe="lora-7b",
            changes=dict.fromkeys(("activation_checkpointing", "gradient_checkpointing"), False)
            | {"max_steps": 422, "row_tokens": 4096},  # 422 steps are 27,000 pairs: fewer are left after T
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

    settings: dict[str, Any] = {"deltas": DELTAS, "data": load("train"), "prompts": load("test"), "samples": 2} | dict(
        changes
    )
    sweep(SweepSettings(**settings), home, command='climb("t4")')
    print(f"finished: {home}")
    return home


def _train(tier: Tier, home: Path, changes: Mapping[str, Any]) -> Path:
    from safedpo.lm.models.adapters import adapter_run
    from safedpo.lm.training.run import train

    if adapter_run(home).get("status") == "finished":
        print(f"{home} holds a finished run; it is left as it is")
        return home
    settings = tier.settings | {"save_steps": 25}
    run = train(**(settings | dict(changes)), output_dir=home)
    print(f"finished: {run.folder}")
    return run.folder
