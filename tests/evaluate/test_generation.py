"""Sampling against probabilities computed by hand, and batches against one response at a time."""

import contextlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from safedpo.errors import UserError
from safedpo.evaluate.generation import Decoding, draw, generate, rows_at_once
from safedpo.lm.models.adapters import add_lora
from safedpo.lm.models.tiny import tiny_model, tiny_tokenizer
from safedpo.lm.rows.tokens import prompt_token_ids

PROMPTS = ["hi", "how do I boil an egg?", "paint", "a much longer question than the others, is it not?"]


def next_token_probabilities(model, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits[0, -1].softmax(-1)


def test_draw_follows_the_distribution():
    """A fine grid of uniforms must be split in exactly the shares of softmax(logits / T)."""
    logits = torch.tensor([1.0, -2.0, 0.5, 3.0, float("-inf")])
    uniforms = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    for temperature in (1.0, 0.5, 2.0):
        tokens = draw(logits.expand(20_000, 5), uniforms, temperature)
        shares = torch.bincount(tokens, minlength=5) / 20_000
        assert torch.allclose(shares, (logits / temperature).softmax(-1), atol=1e-4)
        assert shares[4] == 0


def test_draw_at_the_ends_of_luck_stays_inside_the_support():
    logits = torch.tensor([[float("-inf"), 0.0, float("-inf"), 0.0, float("-inf")]] * 2)
    assert draw(logits, torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)).tolist() == [1, 3]


@pytest.mark.parametrize("width", [3, 255, 256, 257, 1000])
def test_draw_is_the_first_token_whose_cumulative_probability_exceeds_the_number(width):
    """Against the definition, in float64 with numpy, on flat, peaked and masked rows and with numbers beside every edge."""
    generator = torch.Generator().manual_seed(width)
    for scale in (0.1, 3.0, 30.0):
        logits = scale * torch.randn(200, width, generator=generator)
        logits[:, ::3] = torch.where(torch.rand(200, 1, generator=generator) < 0.5, float("-inf"), logits[:, ::3])
        whole = np.cumsum(torch.softmax(logits, -1).double().numpy(), axis=1)
        uniforms = torch.rand(200, generator=generator, dtype=torch.float64)
        uniforms[:3] = torch.tensor([0.0, 1 - 2**-53, 0.5])
        found = draw(logits, uniforms).tolist()
        for row, (cumulative, number, token) in enumerate(zip(whole, uniforms.tolist(), found, strict=True)):
            assert logits[row, token] > float("-inf")
            target, slack = number * cumulative[-1], 1e-12
            assert cumulative[token] > target - slack and (token == 0 or cumulative[token - 1] <= target + slack)


def test_responses_of_a_policy_are_those_of_pefts_own_forward(monkeypatch):
    """Generation takes the fused forward of a LoRA layer; the tokens are those of PEFT's, and the model is left as it was."""
    model, tokenizer = add_lora(tiny_model(seed=1)), tiny_tokenizer()
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    decoding = Decoding(samples=5, max_new_tokens=8)
    ours = generate(model, tokenizer, PROMPTS, decoding, progress=False)
    assert not any("forward" in vars(module) for module in model.modules())
    monkeypatch.setattr("safedpo.evaluate.generation.fused", lambda model: contextlib.nullcontext())
    assert generate(model, tokenizer, PROMPTS, decoding, progress=False) == ours
    with model.disable_adapter():
        assert generate(model, tokenizer, PROMPTS, decoding, progress=False) != ours


def test_sampled_tokens_have_the_frequencies_of_the_model():
    model, tokenizer = tiny_model(), tiny_tokenizer()
    expected = next_token_probabilities(model, list(prompt_token_ids(tokenizer, "hi")))
    said = generate(
        model,
        tokenizer,
        ["hi"],
        Decoding(samples=4000, greedy=False, max_new_tokens=1),
        progress=False,
        batch_size=4000,
    )[0].sampled
    for letter in "eotz":
        share = sum(text == letter for text in said) / 4000
        p = expected[tokenizer.convert_tokens_to_ids(letter)].item()
        assert abs(share - p) <= 5 * (p * (1 - p) / 4000) ** 0.5


def test_greedy_is_the_most_probable_token_step_by_step():
    model, tokenizer = tiny_model(seed=3), tiny_tokenizer()
    decoding = Decoding(samples=0, max_new_tokens=12)
    for response in generate(model, tokenizer, PROMPTS, decoding, progress=False):
        ids, said = list(prompt_token_ids(tokenizer, response.prompt)), []
        for _ in range(12):
            token = int(next_token_probabilities(model, ids + said).argmax())
            if token == tokenizer.eos_token_id:
                break
            said.append(token)
        assert response.greedy == tokenizer.decode(said, skip_special_tokens=True).strip()


def test_a_response_depends_on_neither_its_batch_nor_its_neighbours():
    model, tokenizer = tiny_model(seed=1), tiny_tokenizer()
    decoding = Decoding(samples=3, max_new_tokens=10, seed=5)
    alone = generate(model, tokenizer, PROMPTS, decoding, batch_size=1, progress=False)
    together = generate(model, tokenizer, PROMPTS, decoding, batch_size=64, progress=False)
    assert alone == together
    assert [response.prompt for response in together] == PROMPTS
    assert generate(model, tokenizer, PROMPTS[:2], decoding, progress=False) == together[:2]


def test_on_a_cpu_more_is_sampled_at_once_where_the_cache_stays_small():
    model = tiny_model()
    with torch.device("meta"):
        elsewhere = type(model)(model.config)
    assert rows_at_once(model, 100) == 192 and rows_at_once(elsewhere, 100) == 64
    widths = []
    model.register_forward_pre_hook(lambda _, args, kw: widths.append(len(kw["input_ids"])), with_kwargs=True)
    generate(
        model, tiny_tokenizer(), [f"question {i}" for i in range(200)], Decoding(0, max_new_tokens=2), progress=False
    )
    assert widths[0] == 192
    with torch.inference_mode():
        cache = model(input_ids=torch.zeros(192, 10, dtype=torch.long), use_cache=True).past_key_values
    a_token = sum(part.nbytes for layer in cache.layers for part in (layer.keys, layer.values)) / 1920
    most = int(2e9 / 192 / a_token)
    assert rows_at_once(model, most) == 192 and rows_at_once(model, most + 1) == 64
    with pytest.raises(UserError, match="batch_size is 0; at least 1"):
        generate(model, tiny_tokenizer(), ["hi"], batch_size=0)


def test_the_head_is_not_copied_for_each_row():
    """A frozen base in bfloat16, as under LoRA: no operation may take what 64 heads take."""
    config = tiny_model().config
    config.vocab_size = 30_000
    base = type(tiny_model())(config).bfloat16().requires_grad_(False)
    head = base.lm_head.weight.nbytes
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiled:
        decoding = Decoding(samples=1, greedy=False, max_new_tokens=1)
        generate(base, tiny_tokenizer(), [f"question {i}" for i in range(64)], decoding, progress=False)
    most = max(event.self_cpu_memory_usage for event in profiled.events())
    assert 64 * 30_000 * 4 <= most < 16 * head  # the logits of the batch, in float64 at most


def test_seeds_differ_and_repeat():
    model, tokenizer = tiny_model(), tiny_tokenizer()
    decoding = Decoding(samples=2, max_new_tokens=8)
    first = generate(model, tokenizer, PROMPTS, decoding, progress=False)
    assert generate(model, tokenizer, PROMPTS, decoding, progress=False) == first
    other = generate(model, tokenizer, PROMPTS, replace(decoding, seed=1), progress=False)
    assert [r.greedy for r in other] == [r.greedy for r in first]
    assert [r.sampled for r in other] != [r.sampled for r in first]
    assert first[0].sampled[0] != first[0].sampled[1]


def test_a_response_ends_at_the_end_token_and_its_row_leaves_the_batch():
    model, tokenizer = tiny_model(tied=False), tiny_tokenizer()
    boosted = torch.nn.Linear(32, 258)  # a head whose bias gives the end token a known probability of one half
    torch.nn.init.zeros_(boosted.weight)
    torch.nn.init.zeros_(boosted.bias)
    with torch.no_grad():
        boosted.bias[tokenizer.eos_token_id] = torch.tensor(257.0).log()
    model.lm_head = boosted
    rows: list[int] = []
    model.register_forward_pre_hook(lambda _, args, named: rows.append(len(named["input_ids"])), with_kwargs=True)
    decoding = Decoding(samples=200, greedy=False, max_new_tokens=20)
    said = generate(model, tokenizer, ["a", "b"], decoding, batch_size=400, progress=False)
    empty = sum(text == "" for response in said for text in response.sampled) / 400
    assert abs(empty - 0.5) < 0.125  # 5 standard errors; a response of control characters only may strip to nothing
    assert rows[0] == 2 and rows[1] < 400 * 0.6 and rows[-1] < 20


def test_the_model_keeps_its_mode_and_lora_generates():
    model, tokenizer = add_lora(tiny_model()), tiny_tokenizer()
    model.train()
    base = generate(tiny_model(), tokenizer, PROMPTS, Decoding(max_new_tokens=6), progress=False)
    assert generate(model, tokenizer, PROMPTS, Decoding(max_new_tokens=6), progress=False) == base  # B = 0
    assert model.training


@pytest.mark.parametrize(
    "wrong", [{"samples": 0, "greedy": False}, {"temperature": 0.0}, {"max_new_tokens": 0}, {"samples": -1}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        Decoding(**wrong)
