import dataclasses

import pytest
import torch
from transformers import TrainingArguments

from safedpo import losses
from safedpo.errors import UserError
from safedpo.lm.training.config import HONOURED, LOSSES, SafeDPOConfig, honoured_arguments
from safedpo.lm.training.recipes import RECIPES


def config(**how):
    return SafeDPOConfig(output_dir="run", use_cpu=True, **how)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("label_smoothing_factor", 0.1),
        ("bf16", True),
        ("fp16", True),
        ("eval_strategy", "steps"),
        ("torch_compile", True),
        ("auto_find_batch_size", True),
        ("neftune_noise_alpha", 5.0),
        ("use_liger_kernel", True),
        ("push_to_hub", True),
        ("load_best_model_at_end", True),
        ("train_sampling_strategy", "sequential"),
        ("dataloader_drop_last", True),
        ("resume_from_checkpoint", "x"),
        ("save_only_model", True),
        ("fsdp", "full_shard"),
        ("deepspeed", "x.json"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(name, value):
    with pytest.raises(UserError, match=f"cannot honour {name}="):
        config(**{name: value})


def test_every_training_argument_is_either_honoured_or_refused():
    known = {f.name for f in dataclasses.fields(TrainingArguments)}
    assert known & HONOURED <= honoured_arguments()
    assert {"beta", "delta", "loss", "rule", "max_length", "template", "row_tokens"} <= honoured_arguments()
    for name in sorted(known - HONOURED):
        odd = object()
        with pytest.raises(UserError, match=f"cannot honour {name}="):
            config(**{name: odd})


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"beta": 0}, "beta is 0"),
        ({"beta": float("nan")}, "beta is nan"),
        ({"delta": -1.0}, "delta is -1"),
        ({"loss": "ppo"}, "known losses"),
        ({"rule": "best"}, "known rules"),
        ({"max_length": 1}, "max_length is 1"),
        ({"loss": "dpo", "delta": 2.0}, "no safety margin"),
    ],
)
def test_bad_settings_are_named(how, message):
    with pytest.raises(UserError, match=message):
        config(**how)


def test_defaults_are_those_of_the_recipe_household():
    recipe, made = RECIPES["household"], config()
    assert (made.beta, made.learning_rate, made.per_device_train_batch_size, made.max_grad_norm) == tuple(
        recipe[name] for name in ("beta", "learning_rate", "batch_size", "max_grad_norm")
    )
    assert (made.delta, made.loss, made.rule) == (10.0, "safedpo", "safedpo")
    assert config(loss="dpo").delta is None and config(delta=0.0).delta == 0.0


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_each_loss_is_the_packages(name):
    columns = torch.tensor([[-12.0, -3.0], [-15.0, -4.0], [-13.0, -2.0], [-14.0, -6.0]])
    flags = torch.tensor([False, False]), torch.tensor([True, False])
    found = config(loss=name, beta=0.3).pair_losses(*columns, *flags)
    wanted = {
        "safedpo": lambda: losses.safedpo_loss(*columns, *flags, beta=0.3, delta=10.0),
        "bfpo": lambda: losses.bfpo_loss(*columns, *flags, beta=0.3),
    }.get(name, lambda: getattr(losses, f"{name}_loss")(*columns, beta=0.3))()
    assert torch.equal(found, wanted)
