"""Weights told apart by what they are, never by their name."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import torch
from peft import PeftModel
from transformers import PreTrainedModel


def weights_fingerprint(model: PreTrainedModel | PeftModel) -> str:
    """16 hexadecimal digits that change when any base weight changes: one sha256 over the names, shapes and bfloat16
    values of all parameters.

    Rounding to bfloat16 gives the same weights the same fingerprint whether loaded as float32 or bfloat16; in return
    a change of one number by less than 1 part in 512 can go unseen. LoRA parameters are left out, so the fingerprint
    of a policy is that of its reference. Buffers (no weights in the models used here) are not covered.

    >>> layer = torch.nn.Linear(2, 2)
    >>> before = weights_fingerprint(layer)
    >>> _ = layer.bias.data.add_(1)
    >>> weights_fingerprint(layer) == before, len(before)
    (False, 16)
    """
    tensors = {}
    for name, tensor in model.named_parameters():
        if ".lora_" not in name:
            tensors[name.removeprefix("base_model.model.").replace(".base_layer.", ".")] = tensor

    def digest(name: str) -> bytes:
        values = tensors[name].detach().to(torch.bfloat16).contiguous().cpu().view(torch.int16)
        return hashlib.sha256(f"{name} {tuple(values.shape)}".encode() + values.numpy().tobytes()).digest()

    with ThreadPoolExecutor() as pool:  # hashing releases the interpreter lock
        return hashlib.sha256(b"".join(pool.map(digest, sorted(tensors)))).hexdigest()[:16]


# Settings that say where a model came from and how it is run, not what it computes.
_PROVENANCE = ("_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype", "use_cache")


def config_fingerprint(model: PreTrainedModel | PeftModel) -> str:
    """8 hexadecimal digits that change with any setting of the model's config that its numbers may depend on.

    >>> from safedpo.lm.models.tiny import tiny_model
    >>> one, other = tiny_model(), tiny_model()
    >>> other.config.rope_parameters["rope_theta"] = 500_000.0
    >>> config_fingerprint(one) == config_fingerprint(tiny_model()), config_fingerprint(one) == config_fingerprint(other)
    (True, False)
    """
    if not hasattr(model, "config"):
        return "0" * 8
    settings = {k: v for k, v in model.config.to_dict().items() if k not in _PROVENANCE and "attn_impl" not in k}
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:8]
