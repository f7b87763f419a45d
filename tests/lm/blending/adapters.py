"""Random adapters in folders, and the model with a blend of them merged by hand, for the tests of this folder."""

import json
import warnings

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file

from safedpo.lm.models.fingerprint import weights_fingerprint
from safedpo.lm.models.tiny import tiny_model
from safedpo.lm.rows.tokens import TokenExample

IDS = torch.tensor([[5, 9, 20, 33, 7]])
EXAMPLES = [
    TokenExample((5, 6, 7), (8, 9, 1), 1),
    TokenExample((40, 41), (9, 50, 60, 1), 2),
    TokenExample((5, 6, 7), (10, 1), 1),
    TokenExample((40, 41), (77, 1), 2),
]


def lora(model, **config):
    """PEFT's own way to put an adapter on; `add_lora` knows one kind only."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated")
        return get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **config))


def save_policy(policy, folder, seed, *, delta, **about):
    """An adapter with random numbers in both factors and, beside it, what a run says about itself."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in policy.named_parameters():
            if ".lora_" in name:
                tensor.normal_(std=0.15, generator=generator)
    policy.save_pretrained(folder)
    run = {
        "fingerprints": {"reference": weights_fingerprint(policy)},
        "template": "chat",
        "settings": {"delta": delta, "beta": 0.1},
    }
    (folder / "run.json").write_text(json.dumps(run | about))
    return folder


def logits(model):
    with torch.no_grad():
        return model(input_ids=IDS).logits


def merged_by_hand(folders, weights, model=None):
    """The tiny model with sum of weight * (alpha / r) B A added to its weights in float64, without PEFT."""
    model = (model or tiny_model()).double()
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for delta, weight in weights.items():
            config = json.loads((folders[delta] / "adapter_config.json").read_text())
            stored = load_file(folders[delta] / "adapter_model.safetensors")
            for name, a in stored.items():
                if name.endswith("lora_A.weight"):
                    b = stored[name.replace("lora_A", "lora_B")]
                    target = name.removeprefix("base_model.model.").replace(".lora_A.", ".")
                    parameters[target] += weight * config["lora_alpha"] / config["r"] * b.double() @ a.double()
    return model


def linear_model():
    """Without the last norm, logits are linear in the last layer's output."""
    model = tiny_model()
    model.model.norm = torch.nn.Identity()
    return model


def linear_adapter(tmp_path):
    """An adapter on the last matrix alone: one token after `linear_model` is one answer of a table."""
    policy = lora(linear_model(), r=3, target_modules=["down_proj"], layers_to_transform=[1])
    return save_policy(policy, tmp_path / "last", 3, delta=5)
