"""A recipe that cannot learn is worse than none: each recipe's own optimiser and dtype on a small model."""

from dataclasses import fields

import pytest
import torch
from transformers import TrainingArguments

from safedpo.errors import UserError
from safedpo.lm.models.adapters import add_lora
from safedpo.lm.models.gate.rules import updates_lost
from safedpo.lm.models.load import load_model
from safedpo.lm.models.memory import estimate_of
from safedpo.lm.models.tiny import tiny_model, tiny_tokenizer
from safedpo.lm.rows.tokens import tokenize_pairs
from safedpo.lm.training.config import SafeDPOConfig, honoured_arguments
from safedpo.lm.training.recipes import CHECKPOINTING, RECIPES
from safedpo.lm.training.run import train
from safedpo.lm.training.trainer import SafeDPOTrainer
from tests.sparing import slow_but

RENAMED = {"batch_size": "per_device_train_batch_size", "epochs": "num_train_epochs"}


def test_checkpointing_is_called_what_this_version_of_transformers_calls_it():
    names = {field.name for field in fields(TrainingArguments)}
    assert [*CHECKPOINTING] == [
        "activation_checkpointing" if "activation_checkpointing" in names else "gradient_checkpointing"
    ]


def small(dtype):
    """Weights of the size that large models have: with larger ones even fewer steps would be rounded away."""
    model = tiny_model(dtype=dtype)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    return model


def moved(recipe, records, tmp_path, dtype=None):
    settings = {RENAMED.get(k, k): v for k, v in recipe.items()}
    settings = {k: v for k, v in settings.items() if k in honoured_arguments()} | {"gradient_accumulation_steps": 1}
    model = small(dtype or getattr(torch, recipe.get("dtype", "float32")))
    policy = model.requires_grad_(True) if recipe.get("full") else add_lora(model, r=recipe.get("lora_r", 4))
    config = SafeDPOConfig(
        **settings | {"max_steps": 20, "use_cpu": True, "disable_tqdm": True, "save_strategy": "no"},
        output_dir=str(tmp_path),
    )
    pairs = tokenize_pairs(records, tiny_tokenizer()).items
    before = {name: p.detach().clone() for name, p in policy.named_parameters() if p.requires_grad}
    SafeDPOTrainer(policy, config, pairs, torch.full((2, len(pairs)), -50.0)).train()
    after = dict(policy.named_parameters())
    used = {name: p for name, p in before.items() if "embed_tokens" not in name}  # many tokens do not occur
    changed = sum((after[name] != p).sum().item() for name, p in used.items())
    return changed / sum(p.numel() for p in used.values())


@pytest.mark.parametrize("name", slow_but(["household", "paper-7b"], list(RECIPES)))
def test_the_optimiser_of_each_recipe_moves_the_weights(name, records, tmp_path):
    assert moved(RECIPES[name], records, tmp_path) > 0.85  # a bfloat16 run at 1e-6: below .2, see the next test


def test_the_papers_learning_rate_does_not_move_bfloat16_weights_and_is_refused(records, tmp_path, loaded):
    assert moved(RECIPES["paper-7b"], records, tmp_path, torch.bfloat16) < 0.2
    assert "rounded away" in updates_lost(small(torch.bfloat16), 1e-6)
    assert updates_lost(small(torch.float32), 1e-6) is None and updates_lost(small(torch.bfloat16), 1e-3) is None
    with pytest.raises(UserError, match="full training of tiny would stand still: a learning rate of 1e-06"):
        train(loaded(dtype=torch.bfloat16), records, tmp_path / "run", full=True, learning_rate=1e-6, device="cpu")


def test_four_bits_without_the_package_and_with_full_are_one_sentence(records, tmp_path):
    tiny_model().save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    with pytest.raises(UserError, match="need a CUDA device and the package bitsandbytes"):
        load_model(tmp_path / "model", four_bit=True, device="cpu")
    with pytest.raises(UserError, match="leave out full, or four_bit"):
        train(tmp_path / "model", records, tmp_path / "run", four_bit=True, full=True, device="cpu")


def test_four_bits_and_checkpointing_lower_the_estimate():
    config = tiny_model().config
    plain = estimate_of(config, torch.bfloat16)
    packed = estimate_of(config, torch.bfloat16, four_bit=True, checkpointing=True)
    assert packed.weights < plain.weights and packed.activations < plain.activations
