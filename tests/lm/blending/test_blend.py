"""Switching, blending and scaling adapters, against weights merged by hand and against the finite world's closed form."""

import json
import math
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from safedpo.errors import UserError
from safedpo.evaluate.generation import Decoding, generate
from safedpo.finite import FiniteWorld, optimal_policy
from safedpo.lm.blending.blend import load_adapters
from safedpo.lm.blending.error import blend_error, strength_error
from safedpo.lm.models.adapters import add_lora, load_adapter
from safedpo.lm.models.fingerprint import weights_fingerprint
from safedpo.lm.models.tiny import tiny_model, tiny_tokenizer
from safedpo.lm.rows.fused import unfuse_lora
from safedpo.lm.rows.logprobs import response_logps
from safedpo.lm.rows.packing import pack
from safedpo.lm.rows.tokens import TokenExample

IDS = torch.tensor([[5, 9, 20, 33, 7]])
EXAMPLES = [
    TokenExample((5, 6, 7), (8, 9, 1), 1),
    TokenExample((40, 41), (9, 50, 60, 1), 2),
    TokenExample((5, 6, 7), (10, 1), 1),
    TokenExample((40, 41), (77, 1), 2),
]


def lora(model, **config):
    """PEFT's own way to put an adapter on; ``add_lora`` knows one kind only."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated")
        return get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **config))


def save_policy(policy, folder, seed, *, delta, **about):
    """An adapter with random numbers in both factors and, beside it, what a run says about itself."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in policy.named_parameters():
            if ".lora_" in name:
                tensor.normal_(std=0.15, generator=generator)
    policy.save_pretrained(folder)
    run = {
        "fingerprints": {"reference": weights_fingerprint(policy)},
        "template": "chat",
        "settings": {"delta": delta, "beta": 0.1},
    }
    (folder / "run.json").write_text(json.dumps(run | about))
    return folder


@pytest.fixture
def folders(tmp_path):
    """Three adapters of rank 2 on the tiny model."""
    deltas = (0, 2.5, 10)
    return {
        delta: save_policy(add_lora(tiny_model(), r=2), tmp_path / f"delta-{delta}", k, delta=delta)
        for k, delta in enumerate(deltas)
    }


def logits(model):
    with torch.no_grad():
        return model(input_ids=IDS).logits


def merged_by_hand(folders, weights, model=None):
    """The tiny model with sum of weight * (alpha / r) B A added to its weights in float64, without PEFT."""
    model = (model or tiny_model()).double()
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for delta, weight in weights.items():
            config = json.loads((folders[delta] / "adapter_config.json").read_text())
            stored = load_file(folders[delta] / "adapter_model.safetensors")
            for name, a in stored.items():
                if name.endswith("lora_A.weight"):
                    b = stored[name.replace("lora_A", "lora_B")]
                    target = name.removeprefix("base_model.model.").replace(".lora_A.", ".")
                    parameters[target] += weight * config["lora_alpha"] / config["r"] * b.double() @ a.double()
    return model


# ---- weights ---------------------------------------------------------------------------------------------------------


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


def test_nothing_is_left_to_train_and_unload_gives_the_base_back(folders):
    base = tiny_model()
    blend = load_adapters(base, folders)
    assert not any(parameter.requires_grad for parameter in blend.model.parameters())
    blend.at(10)
    assert torch.equal(logits(blend.model.unload()), logits(tiny_model()))


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


# ---- between two deltas ----------------------------------------------------------------------------------------------


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


# ---- strength --------------------------------------------------------------------------------------------------------


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


def linear_model():
    """Without the last norm, logits are linear in the last layer's output."""
    model = tiny_model()
    model.model.norm = torch.nn.Identity()
    return model


def linear_adapter(tmp_path):
    """An adapter on the last matrix alone: one token after ``linear_model`` is one answer of a table."""
    policy = lora(linear_model(), r=3, target_modules=["down_proj"], layers_to_transform=[1])
    return save_policy(policy, tmp_path / "last", 3, delta=5)


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


def test_strength_says_what_it_stands_for(folders):
    blend = load_adapters(tiny_model(), folders)
    assert "at beta 0.05;" in blend.strength(2, 10).label and blend.weights == {0: 0.0, 2.5: 0.0, 10: 2.0}
    assert blend.strength(1, 10) == blend.at(10)
    assert blend.strength(0, 10).label == "the reference" and not any(blend.weights.values())


# ---- refusals --------------------------------------------------------------------------------------------------------


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
    with pytest.raises(UserError, match="no adapter trained with delta 5 is loaded"):
        blend_error(blend, 5, EXAMPLES)
    for measure in (lambda: blend_error(blend, 2.5, []), lambda: strength_error(blend, 2, 10, [])):
        with pytest.raises(UserError, match="no responses"):
            measure()


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
    with pytest.raises(UserError, match=f"{odd} holds numbers that are not finite"):
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
