"""The language-model world: models, tokens, log-probabilities, the reference, training.

    models      presets, folders, hub ids; dtype with its reason; LoRA adapters
    tokens      a record, or a prompt and its response -> token ids
    batches     several of them in one packed row
    logprobs    the one path from a packed row to log-probabilities
    reference   those of the reference, computed once
    trainer     SafeDPOTrainer on transformers.Trainer; config, steps, metrics, checkpoints, live beside it
    run         train() and sft(): from a file of pairs to an adapter in a folder

Names are imported when they are first used.
"""

import importlib

_HOME = {
    "LoadedModel": "models", "load_model": "models", "load_adapter": "models", "add_lora": "models",
    "weights_fingerprint": "models", "PRESETS": "models",
    "TokenPair": "tokens", "TokenExample": "tokens", "tokenize_pairs": "tokens", "tokenize_examples": "tokens",
    "TokenBatch": "batches", "pack": "batches", "pack_pairs": "batches", "pack_examples": "batches",
    "response_logps": "logprobs", "token_logps": "logprobs", "reference_logps": "reference",
    "SafeDPOConfig": "config", "SafeDPOTrainer": "trainer", "SFTTrainer": "trainer",
    "Run": "run", "train": "run", "sft": "run",
}  # fmt: skip
__all__ = [*_HOME]


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)


def __dir__():
    return sorted(__all__)
