"""What surrounds every reading of weights: errors turned into one message, progress bars kept quiet."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from safedpo.errors import UserError, brief
from safedpo.lm.models.outside import refuse_not_finite, refuse_what_is_not_data


@contextmanager
def loading(what: str) -> Iterator[None]:
    """Turn the many ways in which a model cannot be read into one message that names it."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # a hostile or damaged folder can make any line of transformers fail, in any way
        first = brief(str(error)) or type(error).__name__
        reason = f"{what} cannot be loaded: {first}; check the name, the network, or that the files are whole"
        raise UserError(reason) from error


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars of transformers for steps of a second or two."""
    shown = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers.utils.logging.enable_progress_bar()


def read_model(path: str | Path, dtype: torch.dtype) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model and tokenizer of a folder or hub id: safetensors only, no code from outside."""
    refuse_what_is_not_data(path)
    tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=dtype, trust_remote_code=False, use_safetensors=True)
    refuse_not_finite(model, str(path))
    return model, tokenizer
