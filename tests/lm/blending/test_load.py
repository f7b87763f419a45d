"""Which adapters go on one base together, and which are refused by name."""

import json
import math

import pytest
import torch
from safetensors.torch import load_file, save_file

from safedpo.errors import UserError
from safedpo.lm.blending.load import load_adapters
from safedpo.lm.models.adapters import add_lora
from safedpo.lm.models.tiny import tiny_model
from tests.lm.blending.adapters import (
    logits,
    lora,
    save_policy,
)


def test_nothing_is_left_to_train_and_unload_gives_the_base_back(folders):
    base = tiny_model()
    blend = load_adapters(base, folders)
    assert not any(parameter.requires_grad for parameter in blend.model.parameters())
    blend.at(10)
    assert torch.equal(logits(blend.model.unload()), logits(tiny_model()))


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ({"fingerprints": {"reference": "0123"}}, "base differs"),
        ({"template": "plain"}, "template differs: chat in .*; plain in .*"),
        ({"settings": {"delta": 10, "beta": 0.5}}, "beta differs: 0.1 in .*; 0.5 in"),
        ({"settings": {"delta": 5}}, "is given for delta 10, and was trained with delta 5"),
    ],
)
def test_runs_that_differ_are_refused_together(folders, about, says):
    file = folders[10] / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | about))
    base = tiny_model()
    with pytest.raises(UserError, match=says) as caught:
        load_adapters(base, folders)
    assert str(folders[10]) in str(caught.value)
    assert not any(".lora_" in name for name, _ in base.named_parameters())


def test_other_ranks_layers_kinds_and_damaged_files_are_named_and_the_base_is_left_as_it_was(folders, tmp_path):
    base, odd = tiny_model(), tmp_path / "odd"
    for policy, says in [
        (add_lora(tiny_model(), r=3), f"rank r differs: 2 in {folders[0]};.* 3 in {odd}"),
        (lora(tiny_model(), r=2, target_modules=["q_proj"]), f"layers differs: .* q_proj in {odd}"),
        (lora(tiny_model(), r=2, target_modules="all-linear", use_dora=True), f"{odd} is more than LoRA on the layers"),
    ]:
        save_policy(policy, odd, 5, delta=20)
        with pytest.raises(UserError, match=says):
            load_adapters(base, folders | {20: odd})
        assert not any(".lora_" in name for name, _ in base.named_parameters())
    weights = odd / "adapter_model.safetensors"
    save_policy(add_lora(tiny_model(), r=2), odd, 5, delta=20)
    stored = load_file(weights)
    next(iter(stored.values()))[0, 0] = math.nan
    save_file(stored, weights)
    with pytest.raises(UserError, match=f"{odd} is damaged: .* is not finite"):
        load_adapters(base, folders | {20: odd})
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(UserError, match=f"the adapter in {odd} cannot be loaded"):
        load_adapters(base, folders | {20: odd})
    assert torch.equal(logits(base), logits(tiny_model()))


@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`")
def test_an_adapter_on_the_head_is_refused(tmp_path):
    """Scoring applies the head's own weight: an adapter there would be passed over without a word."""
    head = lora(tiny_model(tied=False), r=2, target_modules=["lm_head"])
    with pytest.raises(UserError, match="or the head itself"):
        load_adapters(tiny_model(tied=False), {5: save_policy(head, tmp_path / "head", 3, delta=5)})


def test_a_base_with_an_adapter_no_adapter_and_a_delta_that_is_none_are_refused(folders):
    with pytest.raises(UserError, match="carries a LoRA adapter already"):
        load_adapters(add_lora(tiny_model()), folders)
    with pytest.raises(UserError, match="no adapters were given"):
        load_adapters(tiny_model(), {})
    with pytest.raises(UserError, match="given for delta -1, and"):
        load_adapters(tiny_model(), {-1: folders[0]})
