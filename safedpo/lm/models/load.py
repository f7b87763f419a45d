"""The one door through which weights come in: a preset, a folder or a hub id, with an adapter on it if asked.

A *reference* is a plain model folder; a *policy* is that model with a LoRA adapter on it, so "adapter off" is the
reference. Weights are told apart by fingerprint, never by name. Only safetensors are read and no remote code is run.
"""

import os
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from safedpo.errors import UserError
from safedpo.lm.launch import from_first, is_sharded
from safedpo.lm.models.adapters import load_adapter
from safedpo.lm.models.dtype import choose_device, named_dtype
from safedpo.lm.models.fingerprint import config_fingerprint, weights_fingerprint
from safedpo.lm.models.loading import loading, quiet, read_model
from safedpo.lm.models.presets import PRESETS
from safedpo.lm.rows.attention import use_packed_attention

NOISE = ("dropout", "drop_path", "layerdrop", "jitter", "pdrop")  # in the names of settings that make training noisy


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to use: where it came from, how it runs and why, and the fingerprint of its base weights."""

    model: PreTrainedModel | PeftModel
    tokenizer: PreTrainedTokenizerBase
    source: str
    device: str
    dtype: torch.dtype
    dtype_reason: str
    fingerprint: str

    @property
    def identity(self) -> str:
        """What its numbers depend on: the weights, and the config (the same weights under another rope are another model)."""
        return f"{self.fingerprint}-{config_fingerprint(self.model)}"


def load_model(
    source: str | Path,
    *,
    dtype: str | torch.dtype = "auto",
    device: str = "auto",
    adapter: str | Path | None = None,
    four_bit: bool = False,
) -> LoadedModel:
    """Load a causal language model and its tokenizer, in evaluation mode.

    `source` is a preset (see `PRESETS`), a folder, or a hub id `owner/name`; `dtype` is `auto` (then
    `choose_dtype` decides), `float32` or `bfloat16`; `adapter` is a folder with a LoRA adapter to put on it;
    `four_bit` keeps the linear layers in 4 bits (QLoRA's NF4, through bitsandbytes, on CUDA only).
    Raises UserError when the source is not there, damaged, or needs code of its own.

    >>> load_model("smollm2-13m")
    Traceback (most recent call last):
    ...
    safedpo.errors.UserError: no model 'smollm2-13m': presets are smollm2-135m, smollm2-135m-household; otherwise give \
a folder that holds a model, or a hub id owner/name
    """
    name = str(source)
    path = model_path(name)
    device = choose_device(device)
    torch_dtype, reason = named_dtype(dtype, device)
    with loading(name), quiet() if name in PRESETS else nullcontext():
        model, tokenizer = read_model(path, torch_dtype, four_bit=four_bit)
        # Of a model that is to be spread over processes, the first holds the weights until each gets its share.
        model = (model if four_bit or is_sharded() else model.to(device)).eval()
    if (off := dropout_off(model)) and os.environ.get("RANK", "0") == "0":
        print(
            f"{name}: dropout and noise set to 0 in {off} places, in policy and reference: with them, equal weights differ"
        )
    use_packed_attention(model)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token  # padding is masked by lengths, so sharing the id is harmless
    fingerprint = from_first(lambda: weights_fingerprint(model)) if is_sharded() else weights_fingerprint(model)
    if adapter is not None:
        model = load_adapter(model, adapter, base_fingerprint=fingerprint)
    return LoadedModel(model, tokenizer, name, device, torch_dtype, reason, fingerprint)


def dropout_off(model: torch.nn.Module) -> int:
    """Set every dropout and every noise on a router to 0, in the modules and in the config; returns how many were above 0.

    The loss compares log-probabilities of a policy and a reference: with dropout on, equal weights differ by up to 13 nats.

    >>> layer = torch.nn.Sequential(torch.nn.Dropout(0.1), torch.nn.Dropout(0.0))
    >>> dropout_off(layer), dropout_off(layer)
    (1, 0)
    """
    off = 0
    config = getattr(model, "config", None)
    for holder in [*model.modules(), config, getattr(config, "get_text_config", lambda: None)()]:
        for name, value in list(vars(holder).items()) if holder is not None else []:
            noise = any(word in name.lower() for word in NOISE) or (name == "p" and "Dropout" in type(holder).__name__)
            if noise and isinstance(value, float) and value > 0:
                setattr(holder, name, 0.0)
                off += 1
    return off


def model_path(name: str) -> str:
    """The folder or hub id behind a name: a preset is made where it is missing, a folder must hold a model.


    Raises `UserError` for an adapter's folder, for one without weights, and for a name that can be none of these.

    >>> model_path("owner/name")  # of the hub: transformers looks it up
    'owner/name'
    >>> model_path("./nowhere")
    Traceback (most recent call last):
    safedpo.errors.UserError: no model './nowhere': presets are ...
    """
    if name in PRESETS:
        return str(PRESETS[name]())
    folder = Path(name).expanduser()
    if folder.is_dir():
        if (folder / "adapter_config.json").exists():
            raise UserError(
                f"{name} holds a LoRA adapter, not a model: give it as the adapter, and its base as the model"
            )
        if not (folder / "config.json").exists() or not any(folder.glob("*.safetensors")):
            raise UserError(
                f"{name} holds no model: config.json and *.safetensors are needed (other weight formats are not read)"
            )
        return str(folder)
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise UserError(
            f"no model {name!r}: presets are {', '.join(PRESETS)}; otherwise give a folder that holds a "
            "model, or a hub id owner/name"
        )
    return name
