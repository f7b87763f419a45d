"""Attention over a packed row on a CPU: each response looks at its prompt and itself, and nothing else is computed.

A dense mask over a row of L tokens costs L squared, most of it masked away, and PyTorch's attention kernel for CPUs is
slow beside its matrix products. Here each stretch of the row takes two products forward and five backward, with the
query heads that share a key head in one product. Keys and values of the prompt are shared, never computed twice.
"""

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "packed"  # of this attention in a model's config


def packed_attention(
    module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask,
    dropout: float = 0.0,
    scaling: float | None = None,
    spans=None,
    **kwargs,
) -> tuple[Tensor, None]:
    """What a model of transformers calls: query (1, H, L, D), key and value (1, K, L, D) -> (1, L, H, D).

    `spans` is `TokenBatch.spans()`. Without it (generation, padded batches) this is PyTorch's own attention.
    """
    if spans is None or dropout > 0:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    return _Packed.apply(query[0], key[0], value[0], spans, scaling).transpose(0, 1)[None], None


AttentionInterface.register(NAME, packed_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)


def use_packed_attention(model) -> bool:
    """Set this attention where it serves: on a CPU, in a model that would use PyTorch's and hands on what it is given.

    >>> from safedpo.lm.models.tiny import tiny_model
    >>> use_packed_attention(tiny_model())
    True
    """
    serves = (
        model.device.type == "cpu" and model.config._attn_implementation == "sdpa" and model._supports_attention_backend
    )
    if serves:
        model.set_attn_implementation(NAME)
    return serves


class _Packed(torch.autograd.Function):
    """softmax(scale q k' + mask) v, stretch by stretch, from query (H, L, D), key and value (K, L, D)."""

    @staticmethod
    def forward(ctx, query, key, value, spans, scale):
        out = torch.empty_like(query)
        for own, prompt in spans:
            probabilities = _probabilities(_by_key_head(query, own, key), _seen(key, own, prompt), own, scale)
            out[:, own] = (probabilities @ _seen(value, own, prompt)).view(len(query), -1, query.shape[-1])
        ctx.spans, ctx.scale = spans, scale
        ctx.save_for_backward(query, key, value)
        return out

    @staticmethod
    def backward(ctx, gradient):
        query, key, value = ctx.saved_tensors
        to_query, to_key, to_value = torch.empty_like(query), torch.zeros_like(key), torch.zeros_like(value)
        for own, prompt in ctx.spans:
            g, q, k = _by_key_head(gradient, own, key), _by_key_head(query, own, key), _seen(key, own, prompt)
            p = _probabilities(q, k, own, ctx.scale)
            to_scores = torch._softmax_backward_data(g @ _seen(value, own, prompt).mT, p, -1, p.dtype).mul_(ctx.scale)
            to_query[:, own] = (to_scores @ k).view(len(query), -1, query.shape[-1])
            for total, part in ((to_key, to_scores.mT @ q), (to_value, p.mT @ g)):
                shared = prompt.stop - prompt.start
                total[:, prompt] += part[:, :shared]
                total[:, own] += part[:, shared:]
        return to_query, to_key, to_value, None, None


def _by_key_head(x: Tensor, own: slice, key: Tensor) -> Tensor:
    """(H, L, D) -> (K, H / K * tokens, D): all query rows that meet one key head."""
    return x[:, own].reshape(len(key), -1, x.shape[-1])


def _seen(x: Tensor, own: slice, prompt: slice) -> Tensor:
    """The keys or values that a stretch may see: those of its prompt and its own."""
    return torch.cat([x[:, prompt], x[:, own]], 1)


def _probabilities(q: Tensor, keys: Tensor, own: slice, scale: float) -> Tensor:
    n = own.stop - own.start
    scores = (q @ keys.mT).float().mul_(scale).view(len(keys), -1, n, keys.shape[1])
    scores[..., -n:] += torch.full((n, n), -torch.inf, device=q.device).triu_(1)  # not those after itself
    return scores.softmax(-1).to(q.dtype).view(len(keys), -1, keys.shape[1])
