"""Adapters on other people's machines: a torchao that PEFT refuses, and configurations of another PEFT."""

import json
import warnings
from pathlib import Path

import peft
import pytest
import torch
from peft import import_utils

from safedpo.errors import UserError
from safedpo.files import shipped
from safedpo.lm.models.adapters import CONFIG_KEYS, add_lora, load_adapter, write_portable_config
from safedpo.lm.models.fingerprint import weights_fingerprint
from safedpo.lm.models.tiny import tiny_model
from tests.lm.models.trained import llama, trained_adapter


@pytest.fixture
def old_torchao(monkeypatch):
    """What PEFT does beside Colab's torchao 0.10: it raises at the first LoRA layer, whatever the layer is."""

    def refuse():
        raise ImportError("Found an incompatible version of torchao. Found version 0.10.0")

    for module in (import_utils, peft.tuners.lora.torchao):
        monkeypatch.setattr(module, "is_torchao_available", refuse)


def test_an_old_torchao_stops_nothing(old_torchao, tmp_path):
    with pytest.raises(ImportError, match="torchao"):  # without the guard
        peft.get_peft_model(tiny_model(), peft.LoraConfig(target_modules="all-linear"))
    add_lora(tiny_model()).save_pretrained(tmp_path)
    assert load_adapter(tiny_model(), tmp_path).peft_config["default"].r == 4


def test_a_torchao_that_peft_can_use_is_left_alone(monkeypatch):
    def usable():
        return True

    monkeypatch.setattr(import_utils, "is_torchao_available", usable)
    monkeypatch.setattr(peft.tuners.lora.torchao, "is_torchao_available", lambda: False)
    add_lora(tiny_model())
    assert import_utils.is_torchao_available is usable


def test_the_shipped_adapters_carry_only_what_every_peft_knows():
    files = sorted((shipped("data") / "adapters").rglob("adapter_config.json"))
    assert len(files) >= 7
    for file in files:
        assert set(json.loads(file.read_text(encoding="utf-8"))) == set(CONFIG_KEYS), file


def test_a_portable_config_keeps_the_policy_and_what_is_not_usual(tmp_path):
    policy = add_lora(tiny_model(), r=2, alpha=7)
    with torch.no_grad():
        for name, tensor in policy.named_parameters():
            if "lora_B" in name:
                tensor.fill_(0.1)
    policy.save_pretrained(tmp_path)
    write_portable_config(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = load_adapter(tiny_model(), tmp_path)
    ids = torch.tensor([[5, 9, 20]])
    assert torch.equal(again(input_ids=ids).logits, policy(input_ids=ids).logits)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(config | {"use_rslora": True, "use_dora": False}))
    write_portable_config(tmp_path)
    kept = json.loads((tmp_path / "adapter_config.json").read_text())
    assert kept["use_rslora"] is True and "use_dora" not in kept
    assert kept["target_modules"] == sorted(kept["target_modules"])
    write_portable_config(Path(tmp_path / "nothing"))  # a fully trained model has no adapter: nothing to do


def test_lora_sits_on_every_linear_layer_but_the_head_and_starts_as_the_reference():
    model, ids = tiny_model(tied=False), torch.tensor([[5, 9, 20]])
    before = model(input_ids=ids).logits
    policy = add_lora(model, r=3)
    found = {
        name.rsplit(".lora_A")[0].split("base_model.model.")[-1]
        for name, _ in policy.named_parameters()
        if ".lora_A." in name
    }
    linear = {name for name, layer in tiny_model(tied=False).named_modules() if isinstance(layer, torch.nn.Linear)}
    assert found == linear - {"lm_head"} and len(found) == 14
    assert torch.equal(policy(input_ids=ids).logits, before)
    assert all((".lora_" in name) == tensor.requires_grad for name, tensor in policy.named_parameters())


def test_lora_is_drawn_from_its_own_seed():
    def drawn(seed):
        policy = add_lora(tiny_model(), seed=seed)
        return next(tensor for name, tensor in policy.named_parameters() if "lora_A" in name)

    torch.manual_seed(11)
    first = drawn(0)
    after = torch.rand(1)
    torch.manual_seed(11)
    assert torch.equal(after, torch.rand(1))  # PyTorch's own generator was not touched
    assert torch.equal(first, drawn(0)) and not torch.equal(first, drawn(1))


def test_lora_stays_float32_on_a_bfloat16_model_and_refuses_rank_zero():
    policy = add_lora(tiny_model(dtype=torch.bfloat16))
    assert {tensor.dtype for tensor in policy.parameters() if tensor.requires_grad} == {torch.float32}
    with pytest.raises(UserError, match="rank r is 0"):
        add_lora(tiny_model(), r=0)


def test_an_adapter_comes_back_and_only_on_its_own_weights(tmp_path):
    model, ids = tiny_model(), torch.tensor([[5, 9, 20]])
    adapter = trained_adapter(model, tmp_path / "adapter", weights_fingerprint(tiny_model()))
    expected = model(input_ids=ids).logits  # PEFT puts its layers into the model itself
    again = load_adapter(tiny_model(), adapter)
    assert torch.allclose(again(input_ids=ids).logits, expected, atol=1e-6)
    assert not any(tensor.requires_grad for tensor in again.parameters())
    with again.disable_adapter():
        assert torch.equal(again(input_ids=ids).logits, tiny_model()(input_ids=ids).logits)
    with pytest.raises(UserError, match="was trained on weights"):
        load_adapter(tiny_model(seed=1), adapter)


def test_a_preset_named_as_base_is_never_looked_up_on_the_hub(tmp_path, monkeypatch):
    """A shipped adapter's config names its preset: PEFT asks the hub for it when loading, and at every save."""
    adapter = trained_adapter(tiny_model(), tmp_path / "adapter")
    config = adapter / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"base_model_name_or_path": "smollm2-135m"}))
    asked = []
    monkeypatch.setattr("peft.utils.save_and_load.check_file_exists_on_hf_hub", lambda *name: asked.append(name))
    load_adapter(tiny_model(), adapter).save_pretrained(tmp_path / "again")
    assert not asked


def test_a_second_adapter_has_a_name_of_its_own(tmp_path):
    adapter = trained_adapter(tiny_model(), tmp_path / "adapter")
    policy = load_adapter(load_adapter(tiny_model(), adapter), adapter, name="second")
    assert set(policy.peft_config) == {"default", "second"}


def test_damaged_adapters_name_themselves(tmp_path):
    adapter = trained_adapter(tiny_model(), tmp_path / "mine")
    weights = adapter / "adapter_model.safetensors"
    whole = weights.read_bytes()
    for damaged in (whole[:100], whole[:-50], b""):
        weights.write_bytes(damaged)
        with pytest.raises(UserError, match="the adapter in .*mine cannot be loaded"):
            load_adapter(tiny_model(), adapter)
    weights.write_bytes(whole)
    wide = llama(hidden_size=48)
    with pytest.raises(UserError, match="the adapter in .*mine cannot be loaded"):
        load_adapter(wide, adapter)
    deep = llama(num_hidden_layers=3)
    shallow = llama(num_hidden_layers=1)
    settings = json.loads((adapter / "adapter_config.json").read_text())
    settings["target_modules"] = ["q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "gate_proj", "down_proj"]
    (adapter / "adapter_config.json").write_text(json.dumps(settings))  # as PEFT writes it for deeper models
    for model in (deep, shallow):
        with pytest.raises(UserError, match="the adapter in .*mine does not fit this model: 14 tensors"):
            load_adapter(model, adapter)
    (adapter / "run.json").write_text("{")
    with pytest.raises(UserError, match="run.json is damaged"):
        load_adapter(tiny_model(), adapter)
    weights.unlink()
    with pytest.raises(UserError, match="adapter_model.safetensors is missing"):
        load_adapter(tiny_model(), adapter)
