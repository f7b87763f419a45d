"""The language-model world: a row of preference data becomes a packed row, log-probabilities, and a trained adapter.

    models      weights come in and go out: presets, folders, hub ids; dtype; adapters; memory
    rows        a pair -> token ids -> a packed row -> log-probabilities
    training    the reference's log-probabilities, the trainer, and `train()` and `sft()` around it
    blending    several trained adapters on one base, and how good a blend of them is
    sentences   a language whose answers can all be listed: the one door to `safedpo.finite`
    logprobs    the ten lines to read first: what a response's log-probability is

Names are imported when they are first used.
"""

import importlib

_HOME = {
    "LoadedModel": "models.load",
    "load_model": "models.load",
    "PRESETS": "models.presets",
    "load_adapter": "models.adapters",
    "add_lora": "models.adapters",
    "memory_estimate": "models.memory",
    "weights_fingerprint": "models.fingerprint",
    "TokenPair": "rows.tokens",
    "TokenExample": "rows.tokens",
    "tokenize_pairs": "rows.tokens",
    "tokenize_examples": "rows.tokens",
    "TokenBatch": "rows.packing",
    "pack": "rows.packing",
    "pack_pairs": "rows.packing",
    "pack_examples": "rows.packing",
    "response_logps": "rows.logprobs",
    "token_logps": "rows.logprobs",
    "plain_response_logps": "logprobs",
    "reference_logps": "training.reference",
    "SafeDPOConfig": "training.config",
    "SafeDPOTrainer": "training.trainer",
    "SFTTrainer": "training.trainer",
    "Run": "training.run",
    "train": "training.run",
    "sft": "training.run",
    "RECIPES": "training.recipes",
}
__all__ = [*_HOME]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
