"""The one place that loads weights: presets, folders, hub ids; LoRA adapters put on, loaded and checked.

A *reference* is a plain model folder; a *policy* is that model with a LoRA adapter on it, so "adapter off" is the
reference. Weights are told apart by fingerprint, never by name. Only safetensors are read and no remote code is run.
"""

import hashlib
import json
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors import SafetensorError, safe_open
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from safedpo.errors import UserError
from safedpo.lm.attention import use_packed_attention
from safedpo.lm.download import GGUF, GGUF_SHA256, cache_dir, fetch_gguf, file_sha256, made_whole
from safedpo.lm.dtype import choose_device, choose_dtype, named_dtype
from safedpo.places import shipped

__all__ = ["PRESETS", "LoadedModel", "add_lora", "choose_dtype", "load_adapter", "load_model", "weights_fingerprint"]

SFT_ADAPTER = Path("adapters/household-sft")  # in the shipped data
# PEFT's own use of a name that transformers renames, and its list of missing tensors, which is checked here instead.
_PEFT_NOISE = "`is_gradient_checkpointing` is deprecated|Found missing adapter keys"


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to use: where it came from, how it runs and why, and the fingerprint of its base weights."""

    model: PreTrainedModel | PeftModel
    tokenizer: PreTrainedTokenizerBase
    source: str
    device: str
    dtype: torch.dtype
    dtype_reason: str
    fingerprint: str


def load_model(source: str | Path, *, dtype: str | torch.dtype = "auto", device: str = "auto",
               adapter: str | Path | None = None) -> LoadedModel:
    """Load a causal language model and its tokenizer, in evaluation mode.

    `source` is a preset (see ``PRESETS``), a folder, or a hub id ``owner/name``; `dtype` is ``auto`` (then
    ``choose_dtype`` decides), ``float32`` or ``bfloat16``; `adapter` is a folder with a LoRA adapter to put on it.
    Raises UserError when the source is not there, damaged, or needs code of its own.

    >>> load_model("smollm2-13m")
    Traceback (most recent call last):
    ...
    safedpo.errors.UserError: no model 'smollm2-13m': presets are smollm2-135m, smollm2-135m-household; otherwise give \
a folder that holds a model, or a hub id owner/name
    """
    name = str(source)
    path = _model_path(name)
    device = choose_device(device)
    torch_dtype, reason = named_dtype(dtype, device)
    with _loading(name), _quiet() if name in PRESETS else nullcontext():
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(
            path, dtype=torch_dtype, trust_remote_code=False, use_safetensors=True
        ).to(device).eval()
    use_packed_attention(model)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token  # padding is masked by lengths, so sharing the id is harmless
    fingerprint = weights_fingerprint(model)
    if adapter is not None:
        model = load_adapter(model, adapter, base_fingerprint=fingerprint)
    return LoadedModel(model, tokenizer, name, device, torch_dtype, reason, fingerprint)


def _model_path(name: str) -> str:
    if name in PRESETS:
        return str(PRESETS[name]())
    folder = Path(name).expanduser()
    if folder.is_dir():
        if (folder / "adapter_config.json").exists():
            raise UserError(f"{name} holds a LoRA adapter, not a model: give it as the adapter, and its base as the "
                            "model")
        if not (folder / "config.json").exists() or not any(folder.glob("*.safetensors")):
            raise UserError(f"{name} holds no model: config.json and *.safetensors are needed (other weight formats "
                            "are not read)")
        return str(folder)
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise UserError(f"no model {name!r}: presets are {', '.join(PRESETS)}; otherwise give a folder that holds a "
                        "model, or a hub id owner/name")
    return name


@contextmanager
def _loading(what: str) -> Iterator[None]:
    """Turn the many ways in which a model cannot be read into one message that names it."""
    try:
        yield
    except UserError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        reason = f"{what} cannot be loaded: {first}; check the name, the network, or that the files are whole"
        raise UserError(reason) from error


def _smollm2() -> Path:
    """The folder of SmolLM2-135M-Instruct in float32, converted from its checked 4-bit GGUF file at the first call."""
    folder = cache_dir() / f"smollm2-135m-{GGUF_SHA256[:8]}"
    if not folder.is_dir():
        with made_whole(folder) as unfinished:
            fetch_gguf(unfinished)
            print("converting it to plain float32 weights (once) ...", flush=True)
            # From 5.17 on transformers would keep the 4-bit blocks; before, it unpacks them and has no such option.
            unpack = {"quantization_config": transformers.GgufConfig(dequantize=True)} \
                if hasattr(transformers, "GgufConfig") else {}
            with _quiet():
                tokenizer = AutoTokenizer.from_pretrained(unfinished, gguf_file=GGUF)
                model = AutoModelForCausalLM.from_pretrained(
                    unfinished, gguf_file=GGUF, dtype=torch.float32, **unpack)
            # A GGUF file only names its pre-tokenizer ("smollm": every digit alone, then GPT-2's rule); restore it.
            tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
                [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
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
        raise UserError(f"the preset smollm2-135m-household needs the shipped SFT adapter, and {weights} is missing; "
                        "make it with `safedpo sft`, or use the preset smollm2-135m")
    folder = cache_dir() / f"smollm2-135m-household-{file_sha256(weights)[:8]}"
    if not folder.is_dir():
        base = load_model("smollm2-135m", dtype="float32", device="cpu")
        with made_whole(folder) as unfinished:
            policy = load_adapter(base.model, adapter, base_fingerprint=base.fingerprint)
            _keep_only_plain_folder(unfinished, policy.double().merge_and_unload().float(), base.tokenizer)
    return folder


def _keep_only_plain_folder(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    for leftover in folder.iterdir():
        leftover.unlink()
    with _quiet():
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for file in folder.iterdir():
        file.chmod(0o644)  # safetensors are written for the owner alone; a class may share one cache


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars of transformers for steps of a second or two."""
    shown = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers.utils.logging.enable_progress_bar()


PRESETS = {"smollm2-135m": _smollm2, "smollm2-135m-household": _household}  # name -> the function that gives its folder


def add_lora(model: PreTrainedModel, *, r: int = 4, alpha: float | None = None, seed: int = 0) -> PeftModel:
    """Freeze `model` and put a fresh LoRA adapter on all its linear layers but the head: W x + (alpha / r) B A x.

    `alpha` is 2 r where not given. B starts at zero, so the new policy equals its reference exactly; A is drawn with
    `seed`, without touching PyTorch's own generator. Adapter weights are float32 also on a bfloat16 model.
    """
    if r < 1:
        raise UserError(f"the LoRA rank r is {r}; it must be at least 1")
    config = LoraConfig(r=r, lora_alpha=2 * r if alpha is None else alpha, target_modules="all-linear",
                        lora_dropout=0.0, bias="none", task_type="CAUSAL_LM")
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", _PEFT_NOISE)
        torch.manual_seed(seed)
        return get_peft_model(model, config)


def load_adapter(model: PreTrainedModel | PeftModel, folder: str | Path, *, name: str = "default",
                 trainable: bool = False, base_fingerprint: str | None = None) -> PeftModel:
    """Put the LoRA adapter stored in `folder` on `model` (a second one under another `name`).

    Where ``run.json`` beside the adapter holds ``fingerprints.reference``, it must be the fingerprint of the model's
    base weights: an adapter on other weights would run without a word and mean nothing. `base_fingerprint` saves
    computing it again. Raises UserError naming the folder when the adapter is missing, damaged, or not for this model.
    """
    folder = Path(folder)
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        if not (folder / file).is_file():
            raise UserError(f"{folder} holds no LoRA adapter: {file} is missing")
    expected = adapter_run(folder).get("fingerprints", {}).get("reference")
    if expected and expected != (found := base_fingerprint or weights_fingerprint(model)):
        raise UserError(f"the adapter in {folder} was trained on weights {expected}, this model has {found}; load the "
                        f"model named in {folder / 'run.json'}")
    with _loading(f"the adapter in {folder}"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", _PEFT_NOISE)
        with safe_open(folder / "adapter_model.safetensors", "pt") as stored:
            keys = set(stored.keys())
        if isinstance(model, PeftModel):
            policy = model
            policy.load_adapter(str(folder), adapter_name=name, is_trainable=trainable)
        else:
            policy = PeftModel.from_pretrained(model, str(folder), adapter_name=name, is_trainable=trainable)
    # The folder's config names the base by its preset, which PEFT would look up on the hub at every save.
    policy.peft_config[name].base_model_name_or_path = policy.get_base_model().name_or_path
    if odd := keys ^ set(get_peft_model_state_dict(policy, adapter_name=name)):  # PEFT passes over these
        raise UserError(f"the adapter in {folder} does not fit this model: {len(odd)} tensors have no counterpart, "
                        f"such as {min(odd)}; load the model that it was trained on")
    return policy


def adapter_run(folder: Path) -> dict:
    """What ``run.json`` beside an adapter says, or an empty dict where there is none."""
    file = folder / "run.json"
    if not file.exists():
        return {}
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file} is damaged ({error}); train the adapter again or remove that file") from error


def weights_fingerprint(model: PreTrainedModel | PeftModel) -> str:
    """16 hexadecimal digits that change when any base weight changes: one sha256 over the names, shapes and bfloat16
    values of all parameters.

    Rounding to bfloat16 gives the same weights the same fingerprint whether loaded as float32 or bfloat16; in return
    a change of one number by less than 1 part in 512 can go unseen. LoRA parameters are left out, so the fingerprint
    of a policy is that of its reference. Buffers (no weights in the models used here) are not covered.

    >>> layer = torch.nn.Linear(2, 2)
    >>> before = weights_fingerprint(layer)
    >>> _ = layer.bias.data.add_(1)
    >>> weights_fingerprint(layer) == before, len(before)
    (False, 16)
    """
    tensors = {}
    for name, tensor in model.named_parameters():
        if ".lora_" not in name:
            tensors[name.removeprefix("base_model.model.").replace(".base_layer.", ".")] = tensor

    def digest(name: str) -> bytes:
        values = tensors[name].detach().to(torch.bfloat16).contiguous().cpu().view(torch.int16)
        return hashlib.sha256(f"{name} {tuple(values.shape)}".encode() + values.numpy().tobytes()).digest()

    with ThreadPoolExecutor() as pool:  # hashing releases the interpreter lock
        return hashlib.sha256(b"".join(pool.map(digest, sorted(tensors)))).hexdigest()[:16]
