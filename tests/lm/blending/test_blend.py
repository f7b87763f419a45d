"""Switching, blending and scaling adapters, against weights merged by hand."""

import math

import pytest
import torch

from safedpo.errors import UserError
from safedpo.evaluate.generation import Decoding, generate
from safedpo.lm.blending.load import load_adapters
from safedpo.lm.models.adapters import load_adapter
from safedpo.lm.models.tiny import tiny_model, tiny_tokenizer
from safedpo.lm.rows.fused import unfuse_lora
from safedpo.lm.rows.logprobs import response_logps
from safedpo.lm.rows.packing import pack
from tests.lm.blending.adapters import (
    EXAMPLES,
    logits,
    merged_by_hand,
)


@pytest.mark.parametrize(
    "weights", [{0: 1.0}, {0: 0.3, 10: 0.7}, {0: 0.5, 2.5: -0.4, 10: 1.7}, {2.5: 2.0}, {10: 1e-3}], ids=str
)
def test_a_blend_is_the_sum_of_the_updates(folders, weights):
    blend = load_adapters(tiny_model(), folders)
    blend.set({0: 5.0, 2.5: 5.0})  # what was set before leaves no trace
    blend.set(weights)
    truth = logits(merged_by_hand(folders, weights)).float()
    assert (truth - logits(tiny_model())).abs().max() > 1e-4
    torch.testing.assert_close(logits(blend.model), truth, rtol=1e-5, atol=1e-5)
    assert blend.weights == {delta: weights.get(delta, 0.0) for delta in (0, 2.5, 10)}
    unfuse_lora(blend.model)  # PEFT's own forward sees the same weights
    torch.testing.assert_close(logits(blend.model), truth, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_weight_is_the_reference_and_one_is_the_adapter_to_the_last_bit(folders, dtype):
    blend = load_adapters(tiny_model(dtype=dtype), folders)
    reference = logits(tiny_model(dtype=dtype))
    assert torch.equal(logits(blend.model), reference)
    alone = load_adapters(tiny_model(dtype=dtype), {2.5: folders[2.5]})
    alone.at(2.5)
    blend.set({0: 1.0, 10: -2.0})
    setting = blend.at(2.5)
    found = logits(blend.model)
    assert torch.equal(found, logits(alone.model)) and not torch.equal(found, reference)
    assert setting.trained and setting.weights == {0: 0.0, 2.5: 1.0, 10: 0.0} and "delta 2.5" in setting.label
    by_peft = logits(load_adapter(tiny_model(dtype=dtype), folders[2.5]))
    tolerance = 1e-5 if dtype == torch.float32 else 0.1
    torch.testing.assert_close(found, by_peft, rtol=tolerance, atol=tolerance)
    blend.set({})
    assert torch.equal(logits(blend.model), reference)


def test_a_merge_and_a_generated_text_see_the_weights(folders):
    blend = load_adapters(tiny_model(), folders)
    how = {"decoding": Decoding(samples=0, max_new_tokens=8), "progress": False}
    blend.set({0: 0.4, 10: 1.1})
    by_hand = merged_by_hand(folders, blend.weights).float()
    said, truth, silent = (
        generate(model, tiny_tokenizer(), ["hi", "what?"], **how) for model in (blend.model, by_hand, tiny_model())
    )
    assert said == truth != silent
    torch.testing.assert_close(logits(blend.model.merge_and_unload()), logits(by_hand), rtol=1e-5, atol=1e-5)


def test_logps_are_those_of_each_response_alone_in_the_order_given(folders):
    blend = load_adapters(tiny_model(), folders)
    blend.set({2.5: 1.3})
    by_hand = merged_by_hand(folders, {2.5: 1.3}).float()
    alone = [response_logps(by_hand, pack([e.prompt_ids], [(0, e.response_ids)])) for e in EXAMPLES]
    torch.testing.assert_close(blend.logps(EXAMPLES), torch.cat(alone).detach(), rtol=1e-5, atol=1e-4)


def test_between_two_stops_the_weights_are_linear_in_log_one_plus_delta(folders):
    blend = load_adapters(tiny_model(), folders)
    halfway = math.sqrt(3.5 * 11) - 1  # the geometric mean of 1 + 2.5 and 1 + 10
    setting = blend.at(halfway)
    assert setting.weights == pytest.approx({0: 0.0, 2.5: 0.5, 10: 0.5}) == blend.weights
    assert not setting.trained and "blend, not trained" in setting.label and "delta 10" in setting.label
    near = [blend.at(2.5 + step).weights[2.5] for step in (1e-6, 1, 3, 7)]
    assert near[0] == pytest.approx(1, abs=1e-5) and near == sorted(near, reverse=True)
    around = blend.between(2.5)  # a stop itself, without its own adapter
    assert around.weights == pytest.approx(
        {0: 1 - math.log(3.5) / math.log(11), 2.5: 0, 10: math.log(3.5) / math.log(11)}
    )
    assert not around.trained


def test_strength_says_what_it_stands_for(folders):
    blend = load_adapters(tiny_model(), folders)
    assert "at beta 0.05;" in blend.strength(2, 10).label and blend.weights == {0: 0.0, 2.5: 0.0, 10: 2.0}
    assert blend.strength(1, 10) == blend.at(10)
    assert blend.strength(0, 10).label == "the reference" and not any(blend.weights.values())


def test_weights_that_cannot_be_set_change_nothing(folders):
    blend = load_adapters(tiny_model(), folders)
    blend.set({10: 0.5})
    for weights, says in [
        ({10: 1.0, 3: 1.0}, "no adapter for delta 3; the deltas loaded are 0, 2.5, 10"),
        ({0: 1.0, 10: math.nan}, "the weight of delta 10 is nan"),
        ({0: math.inf}, "the weight of delta 0 is inf"),
    ]:
        with pytest.raises(UserError, match=says):
            blend.set(weights)
    for delta in (-1, 10.5, math.nan):
        with pytest.raises(UserError, match="an adapter on either side"):
            blend.at(delta)
    for x in (-0.5, math.inf, math.nan):
        with pytest.raises(UserError, match=f"the strength is {x}"):
            blend.strength(x, 10)
    assert blend.weights == {0: 0.0, 2.5: 0.0, 10: 0.5}
