"""What surrounds every reading of weights: errors turned into one message, progress bars kept quiet."""

import importlib.util
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import torch
import transformers
from accelerate import init_empty_weights
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from safedpo.errors import UserError, brief
from safedpo.files import SUMS, changed, file_sha256, read_json
from safedpo.lm.launch import is_sharded
from safedpo.lm.models.gate.outside import refuse_not_finite, refuse_what_is_not_data


@contextmanager
def loading(what: str) -> Iterator[None]:
    """Turn the many ways in which a model cannot be read into one message that names it.

    >>> with loading("my model"):
    ...     raise KeyError("vocab_size")
    Traceback (most recent call last):
    safedpo.errors.UserError: my model cannot be loaded: 'vocab_size'; check the name, the network, or that the files are whole
    """
    try:
        yield
    except UserError:
        raise
    except ImportError as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"{what} cannot be loaded: its weights are quantised (quantization_config in config.json) or need a package that "
            f"is not installed: {first}; install that package, or give the model's plain weights"
        ) from error
    except Exception as error:  # a hostile or damaged folder can make any line of transformers fail, in any way
        first = brief(str(error)) or type(error).__name__
        reason = f"{what} cannot be loaded: {first}; check the name, the network, or that the files are whole"
        raise UserError(reason) from error


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars of transformers for steps of a second or two.

    >>> before = transformers.utils.logging.is_progress_bar_enabled()
    >>> with quiet():
    ...     transformers.utils.logging.is_progress_bar_enabled()
    False
    >>> transformers.utils.logging.is_progress_bar_enabled() == before
    True
    """
    shown = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers.utils.logging.enable_progress_bar()


def read_model(
    path: str | Path, dtype: torch.dtype, *, four_bit: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model and tokenizer of a folder or hub id: safetensors only, no code from outside, and no weight left out.

    Raises UserError where the files lack weights that the model has: transformers would fill them with random numbers.

    >>> import tempfile
    >>> from safedpo.lm.models.tiny import tiny_model, tiny_tokenizer
    >>> with tempfile.TemporaryDirectory() as home, quiet():
    ...     for part in (tiny_model(), tiny_tokenizer()):
    ...         _ = part.save_pretrained(home)
    ...     model, tokenizer = read_model(home, torch.float32)
    >>> torch.equal(model.lm_head.weight, tiny_model().lm_head.weight), tokenizer.eos_token
    (True, '</s>')
    """
    refuse_what_is_not_data(path)
    with _as_written(Path(path)):
        return _read_model(path, dtype, four_bit)


@contextmanager
def _as_written(folder: Path) -> Iterator[None]:
    """Compare the files of a model's folder with the sha256 noted in it (SHA256SUMS of a preset, `run.json` of a trained
    model), beside the work of the block; `UserError` after it, whatever became of it, where one differs."""
    with ThreadPoolExecutor(1) as pool:  # hashing releases the interpreter lock: on two cores it costs no time
        checked = pool.submit(_refuse_changed, folder)
        try:
            yield
        finally:
            checked.result()


def _refuse_changed(folder: Path) -> None:
    if (folder / SUMS).is_file() and (wrong := changed(folder)):
        raise UserError(
            f"{folder} is damaged: {wrong[0]} is missing or not as it was written; delete that folder, and it is made again"
        )
    run = folder / "run.json"
    noted = read_json(run).get("files") if run.is_file() else None
    for name, expected in noted.items() if isinstance(noted, dict) else ():
        if Path(name).name == name != "log.jsonl" and (
            not (folder / name).is_file() or file_sha256(folder / name) != expected
        ):
            raise UserError(
                f"{folder / name} is missing or damaged: its sha256 is not the one in run.json; copy the folder once more"
            )


def _read_model(
    path: str | Path, dtype: torch.dtype, four_bit: bool
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    if is_sharded() and os.environ.get("RANK", "0") != "0":
        return _shape(path, dtype), tokenizer
    packed = {"quantization_config": _nf4(dtype)} if four_bit else {}
    model, info = AutoModelForCausalLM.from_pretrained(
        path, dtype=dtype, trust_remote_code=False, use_safetensors=True, output_loading_info=True, **packed
    )
    if missing := sorted(info["missing_keys"]):
        raise UserError(
            f"{path}: its *.safetensors lack {len(missing)} weights of {type(model).__name__}, such as {missing[0]}, which would "
            "be random numbers; fetch the whole model again, or give the folder that all its weights are in"
        )
    refuse_not_finite(model, str(path))
    return model, tokenizer


def _shape(path: str | Path, dtype: torch.dtype) -> PreTrainedModel:
    """The model without its weights, for a process that gets its share of them from the first one.

    Its tensors have addresses, by which Accelerate tells them apart, and no memory: pages that nobody writes take none.
    """
    config = AutoConfig.from_pretrained(path, trust_remote_code=False)
    with init_empty_weights(include_buffers=False):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype, trust_remote_code=False)
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model.to_empty(device="cpu").tie_weights()
    for name, buffer in model.named_buffers():
        buffer.copy_(buffers[name])
    return model


def _nf4(dtype: torch.dtype) -> transformers.BitsAndBytesConfig:
    if importlib.util.find_spec("bitsandbytes") is None or not torch.cuda.is_available():
        raise UserError(
            "4-bit weights need a CUDA device and the package bitsandbytes; install the kit's extra `gpu`, or leave four_bit out"
        )
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )
