"""Does a step fit into memory? Said before training, with the setting to change, instead of a crash in the middle."""

import psutil
import torch

from safedpo.errors import UserError
from safedpo.lm.models.memory import SAVED
from safedpo.lm.rows.logprobs import CHUNK
from safedpo.lm.rows.packing import n_tokens


def memory_of_a_step(model, row_tokens: int, checkpointing: bool = False) -> int:
    """Bytes that training one row of `row_tokens` tokens takes beside the loaded weights.

    Gradients and Adam's two moments, what the layers keep for the backward pass (`memory.SAVED`), one chunk of logits.

    >>> from safedpo.lm.models.adapters import add_lora
    >>> from safedpo.lm.models.tiny import tiny_model
    >>> policy = add_lora(tiny_model())
    >>> memory_of_a_step(policy, 2000) > memory_of_a_step(policy, 1000)
    True
    """
    config = model.config
    trained = sum(3 * p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    full = not hasattr(model, "peft_config")
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    keys = config.hidden_size // config.num_attention_heads * heads
    a, b, c = SAVED[full, model.dtype]
    layer = a * config.hidden_size + b * getattr(config, "intermediate_size", 4 * config.hidden_size) + c * keys
    kept = layer * config.num_hidden_layers
    if checkpointing:
        kept = layer + config.num_hidden_layers * config.hidden_size * model.dtype.itemsize
    return trained + row_tokens * kept + min(CHUNK, row_tokens) * config.vocab_size * 12


def refuse_if_too_big(trainer, free: int | None = None) -> None:
    """Raise `UserError` if the longest row of this run needs more memory than the device has free."""
    longest = max(n_tokens(item) for item in trainer.items)
    tokens = max(longest, min(trainer.row_tokens, sum(n_tokens(item) for item in trainer.items)))
    if free is None:
        on_gpu = trainer.args.device.type == "cuda"
        free = torch.cuda.mem_get_info()[0] if on_gpu else psutil.virtual_memory().available
    checkpointing = bool(getattr(trainer.args, "activation_checkpointing", None) or trainer.args.gradient_checkpointing)
    needed = memory_of_a_step(trainer.model, tokens, checkpointing)
    if needed > free:
        way_out = f"set row_tokens below {tokens}" if tokens > longest else f"set max_length below {longest}"
        raise UserError(
            f"a row of {tokens} tokens needs about {needed / 1e9:.1f} GB beside the weights, and {free / 1e9:.1f} GB are "
            f"free; {way_out}, use activation_checkpointing=True, or a smaller model"
        )
