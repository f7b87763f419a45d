"""Which tokens of a packed row may see which, with the model's own windows in it.

A model asks transformers for its masks: one for each kind of its layers (full, sliding, chunked), from a function of two
positions. While a packed row runs, that request is answered here: the function is asked about the positions *within* each
sequence, and combined with the packing. So windows of any kind are as wide in a row as they are in a sequence on its own.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

from safedpo.errors import UserError
from safedpo.lm.rows.packing import TokenBatch

PACKED = "packed"  # the name of `attention.packed_attention` in a model's config


@dataclass(frozen=True)
class RowMask:
    """A packed row for `packed_attention`: its stretches, and what a window takes from each.

    `grid` (N, N) bool says which position may see which, N the positions in use; None where all earlier ones are seen.
    """

    batch: TokenBatch
    spans: list[tuple[slice, slice]]
    grid: Tensor | None

    def block(self, own: slice, prompt: slice) -> Tensor | None:
        """(own tokens, prompt + own tokens) bool, or None where a token sees all before it."""
        if self.grid is None:
            return None
        before, n = prompt.stop - prompt.start, own.stop - own.start
        block = self.grid[before : before + n, : before + n]
        return None if bool(block.sum() == n * before + n * (n + 1) // 2) else block

    def dense(self) -> Tensor:
        """(1, 1, L, L) bool: the same for the whole row."""
        return _dense(self.batch, self.grid)


def attention_kind(model) -> str:
    """The name of the model's attention; raises UserError where it cannot take the mask of a packed row.

    >>> from safedpo.lm.models.tiny import tiny_model
    >>> attention_kind(tiny_model())
    'sdpa'
    """
    kind = model.config._attn_implementation
    if kind not in (PACKED, "sdpa", "eager"):
        raise UserError(
            f"this model runs with the attention {kind!r}, which cannot take the mask of a packed row; load it with "
            "attn_implementation='sdpa'"
        )
    return kind


@contextmanager
def row_masks(model, batch: TokenBatch) -> Iterator[list]:
    """Inside the block `model` gets its masks for this packed row; yields a list with an entry for each mask made.

    Raises UserError where a mask lets a token see later ones.

    >>> from safedpo.lm.models.tiny import tiny_model
    >>> from safedpo.lm.rows.packing import pack
    >>> model, batch = tiny_model(), pack([(7, 8)], [(0, (5, 6)), (0, (9,))])
    >>> with row_masks(model, batch) as made:
    ...     hidden = model.model(batch.input_ids, position_ids=batch.position_ids).last_hidden_state
    >>> alone = model.model(torch.tensor([[7, 8, 9]])).last_hidden_state[0, -1]  # the second response by itself
    >>> len(made) > 0, torch.allclose(hidden[0, -1], alone, atol=1e-5)
    (True, True)
    """
    kind, made = attention_kind(model), []

    def make(*, mask_function: Callable, dtype=torch.float32, device=None, **_):
        made.append(mask_function)
        grid = _grid(mask_function, batch.position_ids)
        if kind == PACKED:
            return RowMask(batch, batch.spans(), grid)
        allowed = _dense(batch, grid).to(device or batch.input_ids.device)
        if kind == "sdpa" and allowed.device.type == "cpu":
            return allowed
        # Added to the scores, and built once: PyTorch would turn a bool mask into this in every layer, and keep each.
        return torch.zeros_like(allowed, dtype=dtype).masked_fill_(~allowed, torch.finfo(dtype).min)

    before = dict(ALL_MASK_ATTENTION_FUNCTIONS._local_mapping)
    ALL_MASK_ATTENTION_FUNCTIONS[kind] = make
    try:
        yield made
    finally:
        del ALL_MASK_ATTENTION_FUNCTIONS[kind]
        for name, function in before.items():
            ALL_MASK_ATTENTION_FUNCTIONS[name] = function


def _grid(mask_function: Callable, position_ids: Tensor) -> Tensor | None:
    n = int(position_ids.max()) + 1
    at = torch.arange(n, device=position_ids.device)
    none = at.new_zeros(())
    grid = torch.as_tensor(mask_function(none, none, at[:, None], at[None, :]), device=at.device).expand(n, n)
    causal = torch.ones_like(grid, dtype=torch.bool).tril_()
    if (grid & ~causal).any():
        raise UserError("this model lets a token see later ones, so it has no log-probability of a response")
    return None if torch.equal(grid, causal) else grid


def _dense(batch: TokenBatch, grid: Tensor | None) -> Tensor:
    allowed = batch.mask()
    if grid is None:
        return allowed
    at = batch.position_ids[0]
    return allowed & grid[at[:, None], at[None, :]]
