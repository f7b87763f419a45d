"""Settings that belong together, each with a name: `train(**RECIPES["household"], output_dir=...)`.

`household` is what a bare `safedpo train`, `safedpo sweep` and `safedpo.lm.train()` run: this page owns their defaults.
With data of your own all pairs are used; `max_pairs` belongs to the recipe's own data.

`paper-7b` repeats the paper's settings (its Table 4, as far as it is known) with these deviations:

1. Log-probabilities sum over the response's tokens; the code that the paper builds on leaves out the first differing
   token and counts one token past the end.
2. Weights, gradients and Adam's moments in float32 (in bfloat16 a learning rate of 1e-6 would be rounded away), which FSDP2
   spreads over the GPUs: about 110 GB in all. The paper's number of GPUs is not known; a step has the same 64 pairs on any number.
   Products are float32's too, where DeepSpeed rounds to bfloat16: slower, not coarser.
3. Gradients clipped at 1; FSDP2 (`accelerate launch --use_fsdp --fsdp_version=2`) in DeepSpeed's place.
4. The reference is computed once and cached, not run beside the policy.
5. Which of two published Alpaca-7B checkpoints the paper started from is not known; the model is an argument.

`lora-7b` is for one GPU of 24 to 80 GB, `lora-7b-4bit` (QLoRA; the extra `gpu`) for 16 GB: both keep the paper's data, beta and
delta, with a learning rate for LoRA. `colab-t4` is SmolLM2 in float32, which a T4 computes natively. None of the four has been
run at full size: `safedpo train --recipe NAME` prints what each needs before it loads weights.
"""

from importlib import metadata
from typing import Any

from packaging.version import Version

from safedpo.errors import UserError

# Every command reads this page, so it asks for the version alone: to import transformers takes seconds.
_RENAMED = Version(metadata.version("transformers")) >= Version("5.23")
CHECKPOINTING = {"activation_checkpointing" if _RENAMED else "gradient_checkpointing": True}
PAPER_DATA = {
    "model": "PKU-Alignment/alpaca-7b-reproduced",
    "data": "PKU-Alignment/PKU-SafeRLHF-30K",
    "template": "plain",
    "beta": 0.1,
    "delta": 10.0,
    "max_length": 512,
    "weight_decay": 0.05,
    "warmup_steps": 0.03,
    "lr_scheduler_type": "cosine",
    "adam_beta1": 0.9,
    "adam_beta2": 0.95,
    "max_grad_norm": 1.0,
    "batch_size": 8,
    "gradient_accumulation_steps": 8,
}
LORA_7B = PAPER_DATA | {"epochs": 1, "learning_rate": 1e-4, "lora_r": 16, "dtype": "bfloat16", "row_tokens": 2048}

RECIPES: dict[str, dict[str, Any]] = {
    # Under ten minutes on two CPU cores, with the evaluation that follows; a run of the shipped sweep has 1,000 pairs. With
    # beta = 2, delta = 10 asks for a log-ratio gap of 5 nats; with the paper's 0.1 it asks for 100, and a short run with large
    # steps breaks the model on its way there. Gradients of summed log-probabilities have norms of 5 to 30: cut to 1, every step
    # would be as long as the first, and the run would not slow down where the margin is reached.
    "household": {
        "model": "smollm2-135m-household",
        "max_pairs": 500,
        "batch_size": 4,
        "learning_rate": 1e-3,
        "beta": 2.0,
        "lora_r": 4,
        "max_grad_norm": 100.0,
    },
    "paper-7b": PAPER_DATA | {"epochs": 3, "learning_rate": 1e-6, "full": True, "dtype": "float32", **CHECKPOINTING},
    "lora-7b": LORA_7B | {**CHECKPOINTING},
    "lora-7b-4bit": LORA_7B | {**CHECKPOINTING, "four_bit": True, "row_tokens": 1024},
    "colab-t4": {
        "model": "smollm2-135m-household",
        "dtype": "float32",
        "batch_size": 8,
        "learning_rate": 6e-4,
        "beta": 2.0,
        "max_grad_norm": 100.0,
        "row_tokens": 2048,
    },
}


def on_processes(settings: dict[str, Any], processes: int) -> dict[str, Any]:
    """A recipe on so many processes: `batch_size` is what each computes, and a step has the pairs that it has on one.

    >>> shared = on_processes(RECIPES["paper-7b"], 4)
    >>> shared["batch_size"], shared["gradient_accumulation_steps"]
    (8, 2)
    >>> on_processes(RECIPES["household"], 3)
    Traceback (most recent call last):
    ...
    safedpo.errors.UserError: a step of 4 pairs cannot be shared out evenly to 3 processes; give batch_size (of each process)
    """
    batch = settings.get("batch_size", 1)
    pairs = batch * settings.get("gradient_accumulation_steps", 1)
    if processes == 1:
        return settings
    if pairs % processes:
        raise UserError(
            f"a step of {pairs} pairs cannot be shared out evenly to {processes} processes; give batch_size (of each process)"
        )
    each = pairs // processes
    batch = max(size for size in range(1, batch + 1) if each % size == 0)
    return settings | {"batch_size": batch, "gradient_accumulation_steps": each // batch}


# What a bare `safedpo sft` and `safedpo.lm.sft()` run.
SFT: dict[str, Any] = {
    "model": "smollm2-135m",
    "batch_size": 2,
    "learning_rate": 1e-3,
    "lora_r": 8,
    "max_grad_norm": 1.0,
}
