"""How a model inside a wrapper runs packed rows.

DDP and FSDP add gradients up over the processes, and take part by watching the forward pass of the model they wrap. So a
packed row goes through that forward pass: `runs_rows(model)` makes `model(packed=batch)` mean `token_logps(model, batch)`.
"""

import inspect
from functools import partial
from typing import Any

from torch import nn

from safedpo.lm.rows.logprobs import token_logps


def runs_rows(model: nn.Module) -> None:
    """Make `model(packed=batch)` mean `token_logps(model, batch)`; every other call stays what it was.

    >>> from safedpo.lm.models.tiny import tiny_model
    >>> from safedpo.lm.rows.packing import pack
    >>> import torch
    >>> model, batch = tiny_model(), pack([(1, 2)], [(0, (3,))])
    >>> runs_rows(model)
    >>> torch.equal(model(packed=batch), token_logps(tiny_model(), batch))
    True
    """
    if not _runs_rows(model):
        forward: Any = partial(_rows_or_plain, model, model.forward)
        forward.__signature__ = inspect.signature(model.forward)  # transformers asks what a model takes
        model.forward = forward


def _rows_or_plain(model, plain, *args, packed=None, **kwargs):
    return plain(*args, **kwargs) if packed is None else token_logps(model, packed)


def _runs_rows(model) -> bool:
    return getattr(model.__dict__.get("forward"), "func", None) is _rows_or_plain


def runs_rows_no_more(model: nn.Module) -> None:
    """Undo `runs_rows`.

    >>> from safedpo.lm.models.tiny import tiny_model
    >>> model = tiny_model()
    >>> runs_rows(model)
    >>> runs_rows_no_more(model)
    >>> "forward" in vars(model)
    False
    """
    if _runs_rows(model):
        del model.forward
