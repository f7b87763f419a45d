"""Weights are told apart by what they are."""

import torch

from safedpo.lm.models.adapters import add_lora
from safedpo.lm.models.fingerprint import weights_fingerprint
from safedpo.lm.models.tiny import tiny_model


def test_a_change_of_any_tensor_changes_the_fingerprint():
    model = tiny_model(tied=False)
    prints = {weights_fingerprint(model)}
    for tensor in model.parameters():
        with torch.no_grad():
            tensor.view(-1)[-1] += 0.01
        prints.add(weights_fingerprint(model))
    assert len(prints) == 1 + len(list(model.parameters()))


def test_swapped_tensors_of_one_shape_are_noticed():
    model = tiny_model()
    before = weights_fingerprint(model)
    first, second = (model.model.layers[i].mlp.up_proj.weight.data for i in (0, 1))
    kept = first.clone()
    first.copy_(second)
    second.copy_(kept)
    assert weights_fingerprint(model) != before


def test_the_fingerprint_is_that_of_the_reference_in_either_dtype():
    expected = weights_fingerprint(tiny_model())
    assert weights_fingerprint(tiny_model(dtype=torch.bfloat16)) == expected
    policy = add_lora(tiny_model())
    with torch.no_grad():
        for tensor in policy.parameters():
            if tensor.requires_grad:
                tensor += 1
    assert weights_fingerprint(policy) == expected
