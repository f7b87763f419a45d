"""How wrong a blend is: against models merged by hand, and against the finite world's closed form."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from safedpo.errors import UserError
from safedpo.finite import FiniteWorld, optimal_policy
from safedpo.lm.blending.error import blend_error, strength_error
from safedpo.lm.blending.load import load_adapters
from safedpo.lm.models.tiny import tiny_model
from safedpo.lm.rows.logprobs import response_logps
from safedpo.lm.rows.packing import pack
from safedpo.lm.rows.tokens import TokenExample
from tests.lm.blending.adapters import EXAMPLES, linear_adapter, linear_model, merged_by_hand


def test_blend_error_is_the_kl_between_models_merged_by_hand(folders):
    blend = load_adapters(tiny_model(), folders)
    blend.set({10: 0.25})
    found = blend_error(blend, 2.5, EXAMPLES, progress=False)
    assert blend.weights == {0: 0.0, 2.5: 0.0, 10: 0.25}  # as before
    share = math.log(3.5) / math.log(11)
    others = {"blend": {0: 1 - share, 10: share}, "delta 0": {0: 1.0}, "delta 10": {10: 1.0}, "reference": {}}
    assert found.keys() == others.keys()
    trained = merged_by_hand(folders, {2.5: 1.0})
    for name, weights in others.items():
        other = merged_by_hand(folders, weights)
        for i, example in enumerate(EXAMPLES):
            ids = torch.tensor([example.prompt_ids + example.response_ids])
            start, stop = len(example.prompt_ids) - 1, ids.shape[1] - 1
            p, q = (model(input_ids=ids).logits[0, start:stop].softmax(-1).detach() for model in (trained, other))
            forward, backward = (p * (p / q).log()).sum(), (q * (q / p).log()).sum()
            assert forward > 1e-4
            assert found[name].forward[i].item() == pytest.approx(forward.item(), rel=1e-3, abs=1e-6)
            assert found[name].backward[i].item() == pytest.approx(backward.item(), rel=1e-3, abs=1e-6)
        total = found[name].forward.sum().item()
        assert found[name].per_token[0] == pytest.approx(total / 11) and found[name].tokens.tolist() == [3, 4, 2, 2]
        assert found[name].per_response[0] == pytest.approx(total / 4)


def test_blend_error_vanishes_where_training_was_linear(folders, tmp_path):
    """An adapter put together so that it *is* the blend of its neighbours has no error, and its neighbours have."""
    share = math.log(3.5) / math.log(11)
    low, high = (load_file(folders[delta] / "adapter_model.safetensors") for delta in (0, 10))
    linear = {}
    for name in low:  # one A for both; then B's mix as the updates do
        high[name] = low[name] if "lora_A" in name else high[name]
        linear[name] = (1 - share) * low[name] + share * high[name]
    save_file(high, folders[10] / "adapter_model.safetensors")
    save_file(linear, folders[2.5] / "adapter_model.safetensors")
    found = blend_error(load_adapters(tiny_model(), folders), 2.5, EXAMPLES, progress=False)
    assert max(found["blend"].per_response) < 1e-5 < 1e-3 < min(found["delta 0"].per_response)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), beta=st.floats(0.05, 5), x=st.floats(0.05, 4))
def test_scaling_the_log_ratio_of_an_optimum_gives_the_optimum_of_a_smaller_beta(seed, beta, x):
    """pi_ref^(1-x) (pi*)^x, normalised, is the closed form at beta / x, on any table and under the hard constraint."""
    generator = torch.Generator().manual_seed(seed)
    reference = torch.randn(3, 6, generator=generator, dtype=torch.float64).log_softmax(-1)
    reward = torch.randn(3, 6, generator=generator, dtype=torch.float64)
    unsafe = torch.rand(3, 6, generator=generator) < 0.4
    unsafe[:, 0] = False
    world = FiniteWorld(reference, reward, unsafe)
    scaled = reference + x * (optimal_policy(world, beta) - reference)
    exact = optimal_policy(world, beta / x)
    torch.testing.assert_close(scaled.log_softmax(-1).exp(), exact.exp(), rtol=1e-9, atol=1e-12)
    assert ((x - 1) * scaled.logsumexp(-1) >= -1e-12).all()  # log Z_x <= 0 for x <= 1, by Hoelder


def test_strength_is_exact_where_logits_are_linear_and_an_answer_is_one_token(tmp_path):
    blend = load_adapters(linear_model(), {5: linear_adapter(tmp_path)})
    answers = [TokenExample(prompt, (token,), 1) for prompt in ((5, 6, 7), (40,)) for token in range(258)]
    for x in (0.5, 2.0):
        found = strength_error(blend, x, 5, answers)
        assert found.promised.abs().max() > 0.1
        assert found.error.abs().max() < 1e-4
        blend.set({})
        log_z = (blend.logps(answers) + found.promised).reshape(2, 258).logsumexp(-1)  # closed form of the constant
        torch.testing.assert_close(found.difference.reshape(2, 258).mean(-1), -log_z, rtol=1e-3, atol=1e-4)
        assert (log_z < 0).all() == (x < 1)


def test_strength_is_approximate_elsewhere_and_the_measure_says_so(tmp_path, folders):
    longer = strength_error(load_adapters(linear_model(), {5: linear_adapter(tmp_path)}), 2.0, 5, EXAMPLES)
    inside = strength_error(load_adapters(tiny_model(), folders), 2.0, 10, EXAMPLES)
    for found in (longer, inside):
        assert found.error.abs().max() > 1e-3
    reference = tiny_model()
    trained, scaled = (merged_by_hand(folders, {10: weight}).float() for weight in (1.0, 2.0))
    batches = [pack([e.prompt_ids], [(0, e.response_ids)]) for e in EXAMPLES]
    a, b, c = (
        torch.cat([response_logps(m, batch).detach() for batch in batches]) for m in (reference, trained, scaled)
    )
    torch.testing.assert_close(inside.promised, 2 * (b - a), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(inside.difference, c - a - 2 * (b - a), rtol=1e-3, atol=1e-3)
    difference = inside.difference  # responses 0 and 2 share a prompt, and 1 and 3
    torch.testing.assert_close(inside.error[0], (difference[0] - difference[2]) / 2)
    torch.testing.assert_close(inside.error[3], (difference[3] - difference[1]) / 2)
    alone = strength_error(load_adapters(tiny_model(), folders), 2.0, 10, EXAMPLES[:1])
    assert alone.error.isnan().all() and alone.difference.isfinite().all()


def test_a_measure_without_its_adapter_or_responses_is_refused(folders):
    blend = load_adapters(tiny_model(), folders)
    with pytest.raises(UserError, match="no adapter trained with delta 5 is loaded"):
        blend_error(blend, 5, EXAMPLES)
    for measure in (lambda: blend_error(blend, 2.5, []), lambda: strength_error(blend, 2, 10, [])):
        with pytest.raises(UserError, match="no responses"):
            measure()
