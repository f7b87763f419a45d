"""A LoRA layer in one autograd step: y = x W' + s (x A') B', without the four passes over (tokens, width) that scaling
and adding it layer by layer cost, and without raising the whole input to float32 on a bfloat16 model.

Forward and backward are those of PEFT's layer; only the adapter's two small factors are rounded to the model's dtype in
the products (they stay float32 where they are stored and updated).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor

from safedpo.lm.rows.products import linear


def fuse_lora(model: torch.nn.Module) -> int:
    """Give every plain LoRA layer of `model` the fused forward; returns how many there are.

    A layer that is merged, switched off, has dropout, or more than one active adapter keeps PEFT's own forward.

    >>> from safedpo.lm.models.adapters import add_lora
    >>> from safedpo.lm.models.tiny import tiny_model
    >>> fuse_lora(add_lora(tiny_model()))   # two layers of q, k, v, o, gate, up, down
    14
    """
    layers = [m for m in model.modules() if isinstance(m, LoraLinear) and type(m.base_layer) is torch.nn.Linear]
    for layer in layers:
        layer.forward = partial(_forward, layer, type(layer).forward)
    return len(layers)


def unfuse_lora(model: torch.nn.Module) -> None:
    """Undo `fuse_lora`.

    >>> from safedpo.lm.models.adapters import add_lora
    >>> from safedpo.lm.models.tiny import tiny_model
    >>> model = add_lora(tiny_model())
    >>> _ = fuse_lora(model)
    >>> unfuse_lora(model)
    >>> sum("forward" in vars(module) for module in model.modules())
    0
    """
    for module in model.modules():
        if isinstance(module, LoraLinear):
            module.__dict__.pop("forward", None)


@contextmanager
def fused(model: torch.nn.Module) -> Iterator[None]:
    """The fused forward while the block lasts, if the model has plain LoRA layers; one that has it already keeps it.

    >>> from safedpo.lm.models.adapters import add_lora
    >>> from safedpo.lm.models.tiny import tiny_model
    >>> model = add_lora(tiny_model())
    >>> with fused(model):
    ...     inside = sum("forward" in vars(module) for module in model.modules())
    >>> inside, sum("forward" in vars(module) for module in model.modules())
    (14, 0)
    """
    there = any("forward" in vars(module) for module in model.modules() if isinstance(module, LoraLinear))
    if there:
        yield
        return
    fuse_lora(model)
    try:
        yield
    finally:
        unfuse_lora(model)


def _forward(layer: LoraLinear, original, x: Tensor, *args, **kwargs) -> Tensor:
    name = layer.active_adapters[0] if len(layer.active_adapters) == 1 else None
    simple = (
        name in layer.lora_A
        and not layer.disable_adapters
        and not layer.merged
        and not args
        and not kwargs
        and name not in layer.lora_variant
        and isinstance(layer.lora_dropout[name], torch.nn.Identity)
        and not layer.lora_bias[name]
    )
    if not simple:
        return original(layer, x, *args, **kwargs)
    base, a, b = layer.base_layer, layer.lora_A[name].weight, layer.lora_B[name].weight
    # Views are made outside: a model may change what it gets in place, which a view from a Function forbids.
    flat = x.reshape(-1, x.shape[-1])
    return _FusedLora.apply(flat, base.weight, base.bias, a, b, layer.scaling[name]).view(*x.shape[:-1], -1)


class _FusedLora(torch.autograd.Function):
    """x (tokens, in), W (out, in) frozen, A (r, in), B (out, r); see the module's docstring."""

    @staticmethod
    def forward(ctx, x, weight, bias, a, b, scale):
        ctx.scale, ctx.stored = scale, a.dtype
        a, b = a.to(x.dtype), b.to(x.dtype)
        inner = linear(x, a)  # (tokens, r)
        ctx.save_for_backward(x, weight, a, b, inner)
        return linear(x, weight, bias).addmm_(inner, b.T, alpha=scale)

    @staticmethod
    def backward(ctx, gradient):
        x, weight, a, b, inner = ctx.saved_tensors
        gradient = gradient.contiguous()
        at_inner = linear(gradient, b.T).mul_(ctx.scale)  # (tokens, r)
        to_x = linear(gradient, weight.T).addmm_(at_inner, a) if ctx.needs_input_grad[0] else None
        to_a, to_b = linear(at_inner.T, x.T), linear(inner.T, gradient.T).T.mul_(ctx.scale)
        return to_x, None, None, to_a.to(ctx.stored), to_b.to(ctx.stored), None
