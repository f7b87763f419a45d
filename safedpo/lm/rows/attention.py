"""Attention over a packed row: each response looks at its prompt and itself, and nothing else is computed.

A dense mask over a row of L tokens costs L squared, most of it masked away. Here each stretch of the row (a prompt, a
response) is computed on its own, with the keys and values of its prompt, which are never copied for the heads that share them.

- Short stretches on a CPU take two matrix products forward and five backward, with the query heads that share a key head in
  one product: PyTorch's kernel for CPUs is slow beside its matrix products.
- Long stretches, and all on a GPU, go through PyTorch's kernel, whose memory grows with the tokens and not with their square.
"""

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from safedpo.lm.rows.masks import PACKED, RowMask

LONG = 1024  # tokens of a stretch from which PyTorch's kernel serves on a CPU
OWN_FORMULA = ("softcap", "s_aux", "position_bias", "head_mask")  # what a model may add to the scores


def packed_attention(
    module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs,
) -> tuple[Tensor, None]:
    """What a model of transformers calls: query (1, H, L, D), key (1, K, L, D), value (1, K, L, E) -> (1, L, H, E).

    `attention_mask` is the `RowMask` that `row_masks` made. With anything else (generation, padded batches), and with
    terms that are added to the scores, this is PyTorch's own attention.

    >>> from safedpo.lm.rows.packing import pack
    >>> batch = pack([(7, 8)], [(0, (5, 6)), (0, (9,))])
    >>> q, k, v = torch.randn(3, 1, 2, 5, 4).unbind()  # two heads, five tokens of four numbers
    >>> found, _ = packed_attention(None, q, k, v, RowMask(batch, batch.spans(), None))
    >>> torch.allclose(found.transpose(1, 2), scaled_dot_product_attention(q, k, v, attn_mask=batch.mask()), atol=1e-6)
    True
    """
    if not isinstance(attention_mask, RowMask):
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
    if dropout > 0 or any(kwargs.get(name) is not None for name in OWN_FORMULA):
        dense = attention_mask.dense().to(query.device)
        return sdpa_attention_forward(module, query, key, value, dense, dropout, scaling, **kwargs)
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    longest = max(own.stop - own.start for own, _ in attention_mask.spans)
    if query.device.type == "meta" or query.device.type == "cpu" and longest < LONG:
        return _Packed.apply(query[0], key[0], value[0], attention_mask, scaling)[None], None
    return _by_kernel(query, key, value, attention_mask, scaling).transpose(1, 2).contiguous(), None


AttentionInterface.register(PACKED, packed_attention)
AttentionMaskInterface.register(PACKED, sdpa_mask)


def use_packed_attention(model) -> bool:
    """Set this attention where it serves: in a model that would use PyTorch's and hands on what it is given.

    >>> from safedpo.lm.models.tiny import tiny_model
    >>> use_packed_attention(tiny_model())
    True
    """
    serves = model.config._attn_implementation == "sdpa" and model._supports_attention_backend
    if serves:
        model.set_attn_implementation(PACKED)
    return serves


def _by_kernel(query: Tensor, key: Tensor, value: Tensor, row: RowMask, scale: float) -> Tensor:
    """(1, H, L, E), stretch by stretch through PyTorch's kernel: no mask but for windows, no copies of shared heads."""
    sizes = [own.stop - own.start for own, _ in row.spans]
    queries, keys, values = (x.split(sizes, 2) for x in (query, key, value))
    out, prompt = [], 0
    for i, (own, shared) in enumerate(row.spans):
        if shared.stop == shared.start:
            prompt, parts = i, [i]
        else:
            parts = [prompt, i]
        block = row.block(own, shared)
        # A causal mask that the kernel knows begins at the first key: so the prompt's queries come along, and are cut off.
        q = queries[i] if block is not None else torch.cat([queries[k] for k in parts], 2)
        k, v = (torch.cat([x[k] for k in parts], 2) for x in (keys, values))
        found = scaled_dot_product_attention(
            q, k, v, block, is_causal=block is None, scale=scale, enable_gqa=query.shape[1] != key.shape[1]
        )
        out.append(found[:, :, -sizes[i] :])
    return torch.cat(out, 2)


class _Packed(torch.autograd.Function):
    """softmax(scale q k' + mask) v, (L, H, E), stretch by stretch, from query (H, L, D), key (K, L, D), value (K, L, E)."""

    @staticmethod
    def forward(ctx, query, key, value, row, scale):
        out = query.new_empty(query.shape[1], len(query), value.shape[-1]).transpose(0, 1)
        for own, prompt in row.spans:
            p = _probabilities(
                _by_key_head(query, own, key), _seen(key, own, prompt), own, row.block(own, prompt), scale
            )
            out[:, own] = (p @ _seen(value, own, prompt)).view(len(query), -1, value.shape[-1])
        ctx.row, ctx.scale = row, scale
        ctx.save_for_backward(query, key, value)
        return out.transpose(0, 1)

    @staticmethod
    def backward(ctx, gradient):
        query, key, value = ctx.saved_tensors
        gradient = gradient.transpose(0, 1)
        to_query, to_key, to_value = torch.empty_like(query), torch.zeros_like(key), torch.zeros_like(value)
        for own, prompt in ctx.row.spans:
            g, q, k = _by_key_head(gradient, own, key), _by_key_head(query, own, key), _seen(key, own, prompt)
            p = _probabilities(q, k, own, ctx.row.block(own, prompt), ctx.scale)
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


def _probabilities(q: Tensor, keys: Tensor, own: slice, block: Tensor | None, scale: float) -> Tensor:
    n = own.stop - own.start
    # Products of bfloat16 numbers would be rounded to 8 bits before the softmax, which makes them four times as noisy.
    scores = (q.float() @ keys.mT.float()).mul_(scale).view(len(keys), -1, n, keys.shape[1])
    if block is None:
        scores[..., -n:] += torch.full((n, n), -torch.inf, device=q.device).triu_(1)  # not those after itself
    else:
        scores.masked_fill_(~block, -torch.inf)
    return scores.softmax(-1).to(q.dtype).view(len(keys), -1, keys.shape[1])
