"""Several adapters put on one base to be blended, and the checks that they belong together."""

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from transformers import PreTrainedModel

from safedpo.errors import UserError
from safedpo.lm.blending.blend import Blend
from safedpo.lm.models.adapters import adapter_run, load_adapter
from safedpo.lm.models.fingerprint import weights_fingerprint
from safedpo.lm.models.load import LoadedModel


def load_adapters(base: LoadedModel | PreTrainedModel, folders: Mapping[float, str | Path]) -> Blend:
    """Put the LoRA adapters in `folders` (delta -> folder) on `base`, all active, at weight 0.

    Raises UserError naming the folders where they were not trained alike (base, template, beta, rank, layers), where one
    is damaged or was trained with another delta than it is given for, or where `base` carries an adapter already; the
    base is then left as it was if its first adapter was whole.

    >>> import tempfile
    >>> from safedpo.lm.models.adapters import add_lora
    >>> from safedpo.lm.models.tiny import tiny_model
    >>> with tempfile.TemporaryDirectory() as home:
    ...     for delta in (0, 8):
    ...         add_lora(tiny_model(), seed=delta).save_pretrained(f"{home}/{delta}")
    ...     blend = load_adapters(tiny_model(), {0: f"{home}/0", 8: f"{home}/8"})
    >>> blend.at(2).label
    'a blend, not trained: 0.50 of delta 0 + 0.50 of delta 8'
    >>> blend.strength(0.5, 8).weights
    {0.0: 0.0, 8.0: 0.5}
    """
    model = base.model if isinstance(base, LoadedModel) else base
    if any(".lora_" in name for name, _ in model.named_parameters()):
        raise UserError("this model carries a LoRA adapter already; load it afresh (load_model) to blend adapters")
    paths = {float(delta): Path(folders[delta]) for delta in sorted(folders)}
    about = _same_runs(paths)
    fingerprint = base.fingerprint if isinstance(base, LoadedModel) else weights_fingerprint(base)
    names = {delta: f"stop-{k}" for k, delta in enumerate(paths)}  # PEFT takes no name with a point in it
    (first, folder), *others = paths.items()
    policy = load_adapter(model, folder, name=names[first], base_fingerprint=fingerprint)
    try:
        for delta, folder in others:
            load_adapter(policy, folder, name=names[delta], base_fingerprint=fingerprint)
        _same_shapes(policy, paths, names)
    except UserError:
        policy.unload()
        raise
    policy.base_model.set_adapter(list(names.values()))
    policy.eval().requires_grad_(False)  # set_adapter had switched gradients on
    return Blend(policy, names, beta=about["beta"], template=about["template"] or "auto")


def _same_runs(folders: Mapping[float, Path]) -> dict:
    """What the folders' `run.json` agree on; where a folder does not say, the others hold."""
    if not folders:
        raise UserError("no adapters were given; give a folder for at least one delta")
    runs = {folder: adapter_run(folder) for folder in folders.values()}
    for delta, folder in folders.items():
        trained_with = runs[folder].get("settings", {}).get("delta")
        if not 0 <= delta < math.inf or (trained_with is not None and trained_with != delta):
            raise UserError(
                f"the adapter in {folder} is given for delta {delta:g}, and "
                + (
                    f"was trained with delta {trained_with:g}"
                    if trained_with is not None
                    else "a safety margin is a finite number of at least 0"
                )
            )
    return {
        "base": _common("base", {f: run.get("fingerprints", {}).get("reference") for f, run in runs.items()}),
        "template": _common("template", {f: run.get("template") for f, run in runs.items()}),
        "beta": _common("beta", {f: run.get("settings", {}).get("beta") for f, run in runs.items()}),
    }


def _same_shapes(policy: PeftModel, folders: Mapping[float, Path], names: Mapping[float, str]) -> None:
    """Adapters of one rank on the same layers, of plain LoRA, with finite numbers."""
    configs = {folder: policy.peft_config[names[delta]] for delta, folder in folders.items()}
    _common("rank r", {folder: config.r for folder, config in configs.items()})
    _common("layers", {folder: ", ".join(sorted(config.target_modules)) for folder, config in configs.items()})
    on_head = isinstance(policy.get_base_model().get_output_embeddings(), LoraLayer)
    for folder, config in configs.items():
        if config.use_dora or config.bias != "none" or config.lora_bias or config.modules_to_save or on_head:
            raise UserError(
                f"the adapter in {folder} is more than LoRA on the layers below the head (DoRA, biases, whole "
                "modules, or the head itself); only plain adapters can be blended"
            )
    for delta, folder in folders.items():
        mine = [tensor for name, tensor in policy.named_parameters() if f".{names[delta]}." in name]
        if not all(torch.isfinite(tensor).all() for tensor in mine):
            raise UserError(f"the adapter in {folder} holds numbers that are not finite; train it again")


def _common(what: str, values: Mapping[Path, object]):
    """The one value among `values` that are known (None: not known)."""
    known = {folder: value for folder, value in values.items() if value is not None}
    if len(set(known.values())) > 1:
        each = "; ".join(f"{value} in {folder}" for folder, value in known.items())
        raise UserError(
            f"these adapters cannot be blended, for their {what} differs: {each}; give adapters of one sweep"
        )
    return next(iter(known.values()), None)
