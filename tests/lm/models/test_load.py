"""The one door through which weights come in: folders, presets by name, hub ids, and what is refused."""

import json

import pytest
import torch

from safedpo.errors import UserError
from safedpo.lm.models.fingerprint import weights_fingerprint
from safedpo.lm.models.load import load_model
from safedpo.lm.models.tiny import tiny_model
from tests.lm.models.trained import trained_adapter


def test_a_folder_loads_with_the_same_numbers(folder):
    loaded = load_model(folder, dtype="float32", device="cpu")
    ids = torch.tensor([[5, 9, 20]])
    assert torch.equal(loaded.model(input_ids=ids).logits, tiny_model(seed=2)(input_ids=ids).logits)
    assert loaded.fingerprint == weights_fingerprint(tiny_model(seed=2))
    assert (loaded.device, loaded.dtype, loaded.dtype_reason) == ("cpu", torch.float32, "float32: as asked")
    assert not loaded.model.training and loaded.tokenizer.pad_token_id is not None


@pytest.mark.parametrize(
    "name, says",
    [
        ("smollm3", "presets are smollm2-135m, smollm2-135m-household"),
        ("./no/such/folder", "give a folder that holds a model"),
        ("/no/such", "give a folder that holds a model"),
    ],
)
def test_an_unknown_model_is_named_with_the_ways_out(name, says):
    with pytest.raises(UserError, match=says) as caught:
        load_model(name)
    assert repr(name) in str(caught.value)


def test_other_weight_formats_damaged_files_and_adapters_are_refused(folder, tmp_path):
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="tiny cannot be loaded"):
        load_model(folder)
    weights.rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="other weight formats are not read"):
        load_model(folder)
    adapter = trained_adapter(tiny_model(), tmp_path / "adapter")
    with pytest.raises(UserError, match="holds a LoRA adapter, not a model"):
        load_model(adapter)


def test_a_model_that_brings_code_is_refused(folder):
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "mystery", "auto_map": {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text("raise SystemExit('remote code ran')")
    with pytest.raises(UserError, match="cannot be loaded"):
        load_model(folder)


def test_a_missing_hub_model_is_one_message(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="no-such-owner/no-such-model cannot be loaded: "):
        load_model("no-such-owner/no-such-model")
