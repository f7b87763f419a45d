"""How much memory a run will take, from the model's shape alone: before any weight is loaded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig

from safedpo.errors import UserError
from safedpo.lm.models.dtype import choose_device, named_dtype
from safedpo.lm.models.load import model_path
from safedpo.lm.models.loading import loading
from safedpo.lm.rows.logprobs import CHUNK

# Bytes that one token leaves behind in one layer for the backward pass, as a multiple of (hidden size, MLP size, width
# of keys): counted with torch's saved-tensor hooks on Llama layers whose LoRA is that of `fused.py`, and held by a test.
SAVED = {
    (False, torch.float32): (24, 16, 8),
    (False, torch.bfloat16): (16, 8, 4),
    (True, torch.float32): (32, 16, 8),
    (True, torch.bfloat16): (20, 8, 4),
}


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes by purpose. `str()` shows them in GB (10^9 bytes) with the formula; `total` leaves out Python and
    PyTorch themselves (about 0.5 GB) and temporary buffers."""

    parameters: int
    trainable: int
    weights: int
    optimizer: int
    activations: int
    logits: int
    formula: str

    @property
    def total(self) -> int:
        return self.weights + self.optimizer + self.activations + self.logits

    def __str__(self) -> str:
        parts = ("weights", "optimizer", "activations", "logits", "total")
        rows = [f"{name:<12}{getattr(self, name) / 1e9:7.2f} GB" for name in parts]
        return "\n".join(
            [f"{self.parameters / 1e6:.1f} million parameters, {self.trainable / 1e6:.2f} trained", *rows, self.formula]
        )


def memory_estimate(
    source: str | Path | PretrainedConfig,
    *,
    r: int = 4,
    full: bool = False,
    row_tokens: int | None = None,
    dtype: str = "auto",
    device: str = "auto",
    checkpointing: bool = False,
) -> MemoryEstimate:
    """The memory of training `source` with LoRA of rank `r` (or all weights), `row_tokens` tokens at a time.

    `source` is what `load_model` takes, or a model's configuration alone: then nothing is looked up or fetched.

    weights = parameters x bytes; optimizer = 16 bytes for each float32 LoRA number (value, gradient, Adam's two
    moments; with `full` 3 more copies in the model's dtype); activations = row_tokens x layers x (a hidden + b mlp +
    c keys) bytes, see `SAVED` (with `checkpointing` one layer, plus each layer's input); logits = 128 x vocabulary x
    12 bytes, for a chunk in float32, its softmax and its gradient.
    """
    device = choose_device(device)
    torch_dtype, _ = named_dtype(dtype, device)
    given = isinstance(source, PretrainedConfig)
    row_tokens = row_tokens or (4096 if device.startswith("cuda") else 512)
    if r < 1 or row_tokens < 1:
        raise UserError(f"r is {r} and row_tokens {row_tokens}; both must be at least 1")
    with loading("this configuration" if given else str(source)):
        config: Any = source if given else AutoConfig.from_pretrained(model_path(str(source)), trust_remote_code=False)
        with torch.device("meta"):  # shapes without numbers
            model = AutoModelForCausalLM.from_config(config)
    parameters = sum(tensor.numel() for tensor in model.parameters())
    head = model.get_output_embeddings()
    lora = sum(
        r * (layer.in_features + layer.out_features)
        for layer in model.modules()
        if isinstance(layer, torch.nn.Linear) and layer is not head
    )
    size, layers = torch_dtype.itemsize, config.num_hidden_layers
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    widths = (config.hidden_size, config.intermediate_size, config.hidden_size // config.num_attention_heads * heads)
    per_layer = sum(a * width for a, width in zip(SAVED[full, torch_dtype], widths, strict=True))
    saved = per_layer + layers * config.hidden_size * size if checkpointing else per_layer * layers
    a, b, c = SAVED[full, torch_dtype]
    return MemoryEstimate(
        parameters=parameters,
        trainable=parameters if full else lora,
        weights=parameters * size,
        optimizer=3 * parameters * size if full else 16 * lora,
        activations=row_tokens * saved,
        logits=min(CHUNK, row_tokens) * config.vocab_size * 12,
        formula=f"= parameters x {size} B + trained x {3 * size if full else 16} B + {row_tokens} "
        f"tokens x {layers} layers x ({a} x {widths[0]} + {b} x {widths[1]} + {c} x {widths[2]}) B"
        f"{', one layer at a time' if checkpointing else ''} + logits",
    )
