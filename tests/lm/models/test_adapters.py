"""Adapters on other people's machines: a torchao that PEFT refuses, and configurations of another PEFT."""

import json
import warnings
from pathlib import Path

import peft
import pytest
import torch
from peft import import_utils

from safedpo.files import shipped
from safedpo.lm.models.adapters import CONFIG_KEYS, add_lora, load_adapter, write_portable_config
from safedpo.lm.models.tiny import tiny_model


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
