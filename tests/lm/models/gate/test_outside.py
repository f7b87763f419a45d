"""A model folder from outside is data: nothing in it is executed, fetched or unpickled, and its faults are one sentence."""

import json
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file

from safedpo.errors import UserError
from safedpo.lm.models import loading
from safedpo.lm.models.adapters import add_lora, load_adapter
from safedpo.lm.models.load import load_model
from safedpo.lm.models.tiny import tiny_model, tiny_tokenizer


@pytest.fixture
def folder(tmp_path):
    tiny_model().save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def adapter(tmp_path):
    add_lora(tiny_model(), r=2).save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def change(file, **settings):
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))


class Mark:
    """Unpickled, it leaves a file: proof that code ran."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("index", ["model.safetensors.index.json", "pytorch_model.bin.index.json"])
@pytest.mark.parametrize("name", ["weights.bin", "../model.safetensors", "/etc/passwd", "a/b.safetensors", 3, None])
def test_a_pickle_behind_a_decoy_is_never_opened(folder, tmp_path, index, name):
    mark = tmp_path / "executed"
    (folder / "weights.bin").write_bytes(pickle.dumps(Mark(mark)))
    names = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").rename(folder / "decoy.safetensors")
    (folder / index).write_text(json.dumps({"metadata": {}, "weight_map": dict.fromkeys(names, name)}))
    with pytest.raises(UserError, match=r"only plain \*\.safetensors are read"):
        load_model(folder, dtype="float32", device="cpu")
    assert not mark.exists()


@pytest.mark.parametrize("place", ["top", "nested", "generation"])
@pytest.mark.parametrize("value", ["owner/kernel", "owner/kernel@main:fn", "flash_attention_2", "kernels-community/x"])
def test_a_kernel_from_elsewhere_is_never_asked_for(folder, monkeypatch, place, value):
    asked = []
    monkeypatch.setattr("transformers.integrations.hub_kernels.get_kernel", lambda *given, **named: asked.append(given))
    if place == "nested":
        change(folder / "config.json", text_config={"_attn_implementation": value})
    else:
        change(folder / "config.json", **{"_attn_implementation" if place == "top" else "attn_implementation": value})
    with pytest.raises(UserError, match="asks for the attention"):
        load_model(folder, dtype="float32", device="cpu")
    assert not asked


@pytest.mark.parametrize("which", ["config.json", "tokenizer_config.json", "generation_config.json"])
@pytest.mark.parametrize("text", ["[]", "3", "", "{", "[" * 100_000, '{"vocab_size": ' + "9" * 5000 + "}", "\x00\xff"])
def test_settings_that_are_no_settings_are_named(folder, which, text):
    (folder / which).write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=f"{which} is damaged"):
        load_model(folder, dtype="float32", device="cpu")


@pytest.mark.parametrize(
    "settings",
    [
        {"hidden_size": "x"},
        {"hidden_size": -1},
        {"num_hidden_layers": 10**9},
        {"num_attention_heads": 0},
        {"num_attention_heads": 7},
        {"vocab_size": 2**40},
        {"model_type": "nothing"},
        {"model_type": None},
        {"architectures": 3},
        {"rope_scaling": "x"},
        {"rms_norm_eps": "x"},
        {"hidden_act": "x"},
        {"torch_dtype": 5},
        {"auto_map": {"AutoModelForCausalLM": "evil.Evil"}, "model_type": "evil"},
        {"quantization_config": {"quant_method": "x"}},
        {"pad_token_id": 10**9},
    ],
    ids=str,
)
def test_a_hostile_configuration_is_one_sentence_or_harmless(folder, settings):
    change(folder / "config.json", **settings)
    try:
        loaded = load_model(folder, dtype="float32", device="cpu")
    except UserError as error:
        assert len(str(error).splitlines()) == 1 and len(str(error)) < 600
    else:
        assert torch.isfinite(loaded.model(input_ids=torch.tensor([[1, 2]])).logits).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused(folder, adapter, value):
    for file, load in (
        (folder / "model.safetensors", lambda: load_model(folder, dtype="float32", device="cpu")),
        (adapter / "adapter_model.safetensors", lambda: load_adapter(tiny_model(), adapter)),
    ):
        tensors = load_file(file)
        name = sorted(tensors)[1]
        tensors[name].view(-1)[-1] = value
        save_file(tensors, file, metadata={"format": "pt"})
        with pytest.raises(UserError, match="is damaged: .* is not finite"):
            load()


@pytest.mark.parametrize(
    "text", ["[]", "{", '{"settings": []}', '{"fingerprints": []}', '{"files": 3}', '{"model": []}']
)
def test_a_damaged_account_beside_an_adapter_is_named(adapter, text):
    (adapter / "run.json").write_text(text)
    if text == '{"settings": []}':
        assert load_adapter(tiny_model(), adapter)
        return
    with pytest.raises(UserError, match=r"run\.json is damaged"):
        load_adapter(tiny_model(), adapter)


@pytest.mark.parametrize(
    "text", ["[]", "{", "3", '{"peft_type": "x"}', '{"peft_type": "LORA", "r": "x"}', '{"r": 1000000000}']
)
def test_a_damaged_adapter_configuration_is_named(adapter, text):
    (adapter / "adapter_config.json").write_text(text)
    with pytest.raises(UserError, match="adapter"):
        load_adapter(tiny_model(), adapter)


def test_everything_that_loading_raises_is_one_sentence():
    for error in (
        TypeError("x\ny"),
        AttributeError(),
        ZeroDivisionError(),
        RecursionError(),
        AssertionError("\x1b[31m"),
    ):
        with pytest.raises(UserError, match="my model cannot be loaded") as told, loading.loading("my model"):
            raise error
        assert len(str(told.value).splitlines()) == 1 and "\x1b" not in str(told.value)
