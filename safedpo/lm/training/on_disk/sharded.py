"""A model of which every process holds a share (FSDP2): its weights, its optimizer and its checkpoints as one process has them.

A checkpoint holds whole weights and a whole optimizer, in the files of a run on one process. So a run goes on with
any number of processes, sharded or not. Every function here is called by all processes; what is whole exists on the first.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch.distributed.checkpoint import state_dict as sharding
from transformers import Trainer
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME

FILES = ("adapter_model.safetensors", "model.safetensors")


def whole_weights(model) -> dict[str, torch.Tensor]:
    """Name -> trained weight (the adapter, or with full training all), on the CPU of the first process; elsewhere empty.

    >>> from safedpo.lm.models.tiny import tiny_model
    >>> set(tiny_model().state_dict()) - set(whole_weights(tiny_model()))   # is the embedding
    {'lm_head.weight'}
    """
    adapters = hasattr(model, "peft_config")
    options = sharding.StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=adapters)
    whole: dict[str, Any] = sharding.get_model_state_dict(model, options=options)
    own = {
        name for name, _ in [*model.named_parameters(), *model.named_buffers()]
    }  # a tied weight has two names: one is kept
    return {name: values for name, values in whole.items() if name in own}


def save_model(trainer, output_dir=None, _internal_call=False) -> None:
    """`Trainer.save_model`; of a sharded model, the whole weights.

    >>> from types import SimpleNamespace
    >>> from safedpo.lm.models.tiny import tiny_model
    >>> saved = lambda folder, state_dict: print(folder, len(state_dict))
    >>> save_model(SimpleNamespace(is_fsdp_enabled=True, model=tiny_model(), _save=saved), "run")
    run 20
    """
    if trainer.is_fsdp_enabled:
        trainer._save(output_dir, state_dict=whole_weights(trainer.model))
    else:
        Trainer.save_model(trainer, output_dir, _internal_call)


def save_optimizer(trainer, output_dir) -> None:
    """Write the optimizer and the schedule as one process writes them: states by the parameter's place, not its name.

    >>> import tempfile
    >>> from types import SimpleNamespace
    >>> layer = torch.nn.Linear(2, 2)
    >>> optimizer = torch.optim.AdamW(layer.parameters())
    >>> layer(torch.ones(2)).sum().backward()
    >>> optimizer.step()
    >>> trainer = SimpleNamespace(is_fsdp_enabled=True, model=layer, args=SimpleNamespace(should_save=True))
    >>> trainer.optimizer = SimpleNamespace(optimizer=optimizer)
    >>> trainer.lr_scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_optimizer(trainer, folder)
    ...     stored = torch.load(Path(folder) / "optimizer.pt")
    >>> list(stored["state"]), stored["param_groups"][0]["params"]
    ([0, 1], [0, 1])
    """
    if trainer.is_fsdp_enabled:
        _save_whole_optimizer(trainer, Path(output_dir))
    else:
        Trainer._save_optimizer_and_scheduler(trainer, output_dir)


def _save_whole_optimizer(trainer, folder: Path) -> None:
    optimizer = trainer.optimizer.optimizer
    options = sharding.StateDictOptions(full_state_dict=True, cpu_offload=True)
    whole: dict[str, Any] = sharding.get_optimizer_state_dict(trainer.model, optimizer, options=options)
    if not trainer.args.should_save:
        return
    places = _places(trainer.model, optimizer)
    groups, start = [], 0
    for group in whole["param_groups"]:
        numbers = list(range(start, start + len(group["params"])))
        groups.append({**group, "params": numbers})
        start += len(numbers)
    state = {places[name]: values for name, values in whole["state"].items()}
    torch.save({"state": dict(sorted(state.items())), "param_groups": groups}, folder / OPTIMIZER_NAME)
    torch.save(trainer.lr_scheduler.state_dict(), folder / SCHEDULER_NAME)


def load_optimizer(trainer, checkpoint) -> None:
    """Put back what `save_optimizer`, or a run on one process, wrote: each process takes its share.

    >>> from types import SimpleNamespace
    >>> load_optimizer(SimpleNamespace(is_fsdp_enabled=True, is_deepspeed_enabled=False), None)   # a run that begins
    """
    if trainer.is_fsdp_enabled and checkpoint is not None:
        _load_whole_optimizer(trainer, Path(checkpoint))
    else:
        Trainer._load_optimizer_and_scheduler(trainer, checkpoint)


def _load_whole_optimizer(trainer, folder: Path) -> None:
    optimizer = trainer.optimizer.optimizer
    whole: dict[str, Any] = {}
    names = {place: name for name, place in _places(trainer.model, optimizer).items()}
    if trainer.args.process_index == 0:
        found = torch.load(folder / OPTIMIZER_NAME, map_location="cpu", weights_only=True)
        whole = {
            "state": {names[place]: values for place, values in found["state"].items()},
            "param_groups": [{**g, "params": [names[place] for place in g["params"]]} for g in found["param_groups"]],
        }
    options = sharding.StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
    sharding.set_optimizer_state_dict(trainer.model, optimizer, whole, options=options)
    trainer.lr_scheduler.load_state_dict(torch.load(folder / SCHEDULER_NAME, weights_only=True))


def load_weights(trainer, resume_from_checkpoint, model=None) -> None:
    """Put the trained weights of a checkpoint into the model.

    >>> from types import SimpleNamespace
    >>> load_weights(SimpleNamespace(is_fsdp_enabled=True, args=SimpleNamespace(process_index=0)), "nowhere")
    Traceback (most recent call last):
    ...
    FileNotFoundError: nowhere holds no weights
    """
    if trainer.is_fsdp_enabled:
        _load_whole_weights(trainer, Path(resume_from_checkpoint))
    else:
        Trainer._load_from_checkpoint(trainer, resume_from_checkpoint, model)


def _load_whole_weights(trainer, folder: Path) -> None:
    whole: dict[str, Any] = {}
    if trainer.args.process_index == 0:
        there = [folder / name for name in FILES if (folder / name).exists()]
        if not there:
            raise FileNotFoundError(f"{folder} holds no weights")
        stored = load_file(there[0])
        names = {_stored_name(name): name for name in trainer.model.state_dict()}
        whole = {names[name]: values for name, values in stored.items()}
    options = sharding.StateDictOptions(full_state_dict=True, broadcast_from_rank0=True, strict=False)
    sharding.set_model_state_dict(trainer.model, whole, options=options)


def _stored_name(name: str) -> str:
    """PEFT leaves the adapter's own name out of its file."""
    return name.replace(".lora_A.default.", ".lora_A.").replace(".lora_B.default.", ".lora_B.")


def _places(model, optimizer) -> dict[str, int]:
    """Name -> place of each parameter in the optimizer, counted through its groups."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    in_order = [names[parameter] for group in optimizer.param_groups for parameter in group["params"]]
    return {name: place for place, name in enumerate(in_order)}
