"""The models that have a name: each made once on this machine, as a plain folder in the cache."""

from pathlib import Path

import torch
import transformers
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from safedpo.errors import UserError
from safedpo.files import shipped
from safedpo.lm.models.adapters import load_adapter
from safedpo.lm.models.download import GGUF, GGUF_SHA256, cache_dir, fetch_gguf, file_sha256, made_whole
from safedpo.lm.models.loading import quiet, read_model

SFT_ADAPTER = Path("adapters/household-sft")  # in the shipped data


def _smollm2() -> Path:
    """The folder of SmolLM2-135M-Instruct in float32, converted from its checked 4-bit GGUF file at the first call."""
    folder = cache_dir() / f"smollm2-135m-{GGUF_SHA256[:8]}"
    if not folder.is_dir():
        with made_whole(folder) as unfinished:
            fetch_gguf(unfinished)
            print("converting it to plain float32 weights (once) ...", flush=True)
            # From 5.17 on transformers would keep the 4-bit blocks; before, it unpacks them and has no such option.
            unpack = (
                {"quantization_config": transformers.GgufConfig(dequantize=True)}
                if hasattr(transformers, "GgufConfig")
                else {}
            )
            with quiet():
                tokenizer = AutoTokenizer.from_pretrained(unfinished, gguf_file=GGUF)
                model = AutoModelForCausalLM.from_pretrained(unfinished, gguf_file=GGUF, dtype=torch.float32, **unpack)
            # A GGUF file only names its pre-tokenizer ("smollm": every digit alone, then GPT-2's rule); restore it.
            tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
                [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
            )
            _keep_only_plain_folder(unfinished, model, tokenizer)
    return folder


def _household() -> Path:
    """The reference of the household data: SmolLM2 with the shipped SFT adapter merged into its weights.

    The sum W + (alpha / r) B A is taken in float64 and stored in float32: then its rounding, and with it the
    fingerprint, is the same on every machine.
    """
    adapter = shipped("data") / SFT_ADAPTER
    weights = adapter / "adapter_model.safetensors"
    if not weights.exists():
        raise UserError(
            f"the preset smollm2-135m-household needs the shipped SFT adapter, and {weights} is missing; "
            "make it with `safedpo sft`, or use the preset smollm2-135m"
        )
    folder = cache_dir() / f"smollm2-135m-household-{file_sha256(weights)[:8]}"
    if not folder.is_dir():
        base = PRESETS["smollm2-135m"]()
        with made_whole(folder) as unfinished:
            with quiet():
                model, tokenizer = read_model(base, torch.float32)
            policy = load_adapter(model, adapter)
            _keep_only_plain_folder(unfinished, policy.double().merge_and_unload().float(), tokenizer)
    return folder


def _keep_only_plain_folder(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    for leftover in folder.iterdir():
        leftover.unlink()
    with quiet():
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for file in folder.iterdir():
        file.chmod(0o644)  # safetensors are written for the owner alone; a class may share one cache


PRESETS = {"smollm2-135m": _smollm2, "smollm2-135m-household": _household}  # name -> the function that gives its folder
