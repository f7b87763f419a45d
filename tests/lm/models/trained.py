"""A folder as a finished run leaves it, without the run; and models of other shapes than the tiny one."""

import json
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from safedpo.lm.models.adapters import add_lora
from safedpo.lm.models.tiny import tiny_model


def trained_adapter(model, target: Path, fingerprint: str | None = None, source: str = "tiny") -> Path:
    policy = add_lora(model, r=2)
    with torch.no_grad():
        for name, tensor in policy.named_parameters():
            if "lora_B" in name:
                tensor.normal_(generator=torch.Generator().manual_seed(7))
    policy.save_pretrained(target)
    if fingerprint:
        run = {"model": str(source), "status": "finished", "fingerprints": {"reference": fingerprint}}
        (target / "run.json").write_text(json.dumps(run))
    return target


def llama(**changes) -> LlamaForCausalLM:
    """The tiny model in another shape, its weights random."""
    settings = {name: value for name, value in tiny_model().config.to_dict().items() if name != "head_dim"}
    return LlamaForCausalLM(LlamaConfig(**settings | changes))
