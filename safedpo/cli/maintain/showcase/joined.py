"""A reference trained in two stages as it is shipped: both adapters side by side as one, on the base of the first."""

import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from safedpo.cli.maintain.export import CONFIG, WEIGHTS, sums, without_places
from safedpo.files import read_json, shipped, write_json
from safedpo.lm.models.adapters import adapter_run, load_adapter, write_portable_config
from safedpo.lm.models.fingerprint import weights_fingerprint
from safedpo.lm.models.load import load_model
from safedpo.lm.models.presets import SFT_ADAPTER

PRESET = "smollm2-135m-household"  # a base with the shipped SFT adapter merged into it


def base_of(model: str) -> tuple[str, Path | None]:
    """(what a model was merged from, the adapter that was merged into it); the model itself and None for all others."""
    if model == PRESET:
        return "smollm2-135m", shipped("data") / SFT_ADAPTER
    return model, None


def joined(
    model: str, adapter: Path, folder: Path, *, first: tuple[str, Path | None] | None = None
) -> tuple[str, Path]:
    """(a base, one adapter on it) that together are `adapter` on `model`; the adapter in bfloat16, as it is shipped.

    W + (s1 B1) A1 + (s2 B2) A2 = W + [s1 B1, s2 B2] [A1; A2]: ranks add up. The second adapter was trained on `model`,
    which is W + (s1 B1) A1 rounded to float32; `first` names W and the first adapter (default: those of the preset).
    Without a first one the adapter is stored as it is. A folder that is there is left alone.
    """
    base, earlier = first or base_of(model)
    if folder.is_dir():
        return base, folder
    loaded = load_model(base, dtype="float32").model
    about, of_base = without_places(adapter_run(adapter)), weights_fingerprint(loaded)
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    unfinished.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        saved = adapter if earlier is None else _side_by_side(loaded, earlier, model, adapter, Path(work))
        tensors = {key: tensor.to(torch.bfloat16).contiguous() for key, tensor in load_file(saved / WEIGHTS).items()}
        config = read_json(saved / CONFIG) | {"base_model_name_or_path": base}
    save_file(tensors, unfinished / WEIGHTS, metadata={"format": "pt"})
    write_json(unfinished / CONFIG, config)
    write_portable_config(unfinished)
    about |= {
        "model": base,
        "fingerprints": about["fingerprints"] | {"reference": of_base},
        "files": sums(unfinished),
    }
    if "data" in about:
        about["data"] = Path(about["data"]).name  # a file of the showcase's folder, which is one machine's
    write_json(unfinished / "run.json", about, seal=True)
    unfinished.rename(folder)
    return base, folder


def _side_by_side(loaded: Any, earlier: Path, model: str, adapter: Path, work: Path) -> Path:
    """The folder in which PEFT saved both adapters as one, in float32."""
    policy = load_adapter(loaded, earlier)
    trained_on = weights_fingerprint(load_model(model, dtype="float32").model)
    load_adapter(policy, adapter, name="second", base_fingerprint=trained_on)
    policy.add_weighted_adapter(["default", "second"], [1.0, 1.0], "joined", combination_type="cat")
    policy.save_pretrained(str(work), selected_adapters=["joined"], save_embedding_layers=False)
    return work / "joined"
