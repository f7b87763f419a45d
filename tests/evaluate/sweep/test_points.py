"""One run of a sweep at its budgets: which adapter is kept when, and what a point holds."""

import json
from types import SimpleNamespace

import pytest
import torch

from safedpo.evaluate.sweep.points import (
    SHOWN,
    KeepAdapters,
    adapter_folder,
    adapter_on,
    in_float32,
    log_ratios,
    shown,
    texts,
)
from safedpo.files import file_sha256
from safedpo.lm.models.adapters import add_lora, load_adapter
from safedpo.lm.models.fingerprint import weights_fingerprint
from safedpo.lm.models.load import LoadedModel
from safedpo.lm.models.tiny import tiny_model, tiny_tokenizer


def policy(seed=0):
    """A policy whose adapter says something else than its base."""
    made = add_lora(tiny_model(), r=2, seed=seed)
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if "lora_B" in name:
                weight.normal_(generator=torch.Generator().manual_seed(seed))
    return made


def loaded(model):
    return LoadedModel(model, tiny_tokenizer(), "tiny", "cpu", torch.float32, "", weights_fingerprint(model))


@pytest.mark.parametrize("n", [1, 15, 16, 17, 150])
def test_shown_prompts_are_spread_over_all(n):
    prompts = [str(i) for i in range(n)]
    found = [int(prompt) for prompt in shown(prompts)]
    assert len(found) == min(n, SHOWN) and found == sorted(set(found)) and found[0] == 0
    steps = [b - a for a, b in zip(found, found[1:], strict=False)]
    assert not steps or max(steps) - min(steps) <= 1


def test_an_adapter_is_kept_after_each_budget_but_the_last_and_pairs_are_counted(tmp_path):
    model, seen, budgets = policy(), [], (4, 8, 11)
    keep = KeepAdapters(tmp_path, budgets, seen.append)
    for step in range(1, 7):  # 2 pairs a step; the last step has one
        state = SimpleNamespace(global_step=step)
        keep.on_step_end(SimpleNamespace(per_device_train_batch_size=2), state, None, model=model)
    assert seen == [2, 2, 2, 2, 2, 1] and sum(seen) == budgets[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pairs-4", "pairs-8"]
    kept = adapter_folder(tmp_path, 8, budgets)
    files = json.loads((kept / "run.json").read_text())["files"]
    assert files == {path.name: file_sha256(path) for path in kept.iterdir() if path.name != "run.json"}
    ids = torch.tensor([[5, 6, 7]])
    assert torch.allclose(load_adapter(tiny_model(), kept)(ids).logits, model(ids).logits, atol=1e-6)


def test_an_adapter_is_put_on_and_taken_off_again(tmp_path):
    policy().save_pretrained(tmp_path / "adapter")
    base, ids = loaded(tiny_model()), torch.tensor([[5, 6, 7]])
    before = base.model(ids).logits
    with pytest.raises(KeyError), adapter_on(base, tmp_path / "adapter") as made:
        assert torch.allclose(made.model(ids).logits, policy().eval()(ids).logits, atol=1e-6)
        raise KeyError
    assert torch.equal(base.model(ids).logits, before)
    assert not any("lora" in name for name, _ in base.model.named_parameters())


def test_log_ratios_are_differences_of_plain_log_softmax():
    made = loaded(policy())
    tokens, ratios = log_ratios(made, "hi", "so it is", max_new_tokens=64)
    tokenizer, base = tiny_tokenizer(), tiny_model()
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}], add_generation_prompt=True, return_dict=True
    )["input_ids"]
    response = [*tokenizer("so it is", add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    ids = torch.tensor([[*prompt, *response]])
    with torch.no_grad():
        new, old = (model(ids).logits[0, len(prompt) - 1 : -1].log_softmax(-1) for model in (made.model, base))
    expected = (new - old).gather(1, torch.tensor(response)[:, None])[:, 0]
    assert tokens == [tokenizer.decode([i]) for i in response]
    assert ratios == pytest.approx(expected.tolist(), abs=2e-5) and max(map(abs, ratios)) > 0.01


def test_a_response_that_fills_its_room_has_no_end_and_a_special_token_no_ratios():
    made = loaded(policy())
    assert len(log_ratios(made, "hi", "four", max_new_tokens=4)[0]) == 4
    assert log_ratios(made, "hi", "so </s> so", max_new_tokens=64) == ([], [])


def test_the_first_sampled_and_the_greedy_response_of_each_shown_prompt_are_kept():
    said = [
        ("a?", "greedy", True),
        ("a?", "first", False),
        ("a?", "second", False),
        ("b?", "g", True),
        ("b?", "s", False),
    ]
    samples = [SimpleNamespace(prompt=prompt, response=text, greedy=greedy) for prompt, text, greedy in said]
    assert texts(SimpleNamespace(samples=samples), ["a?", "b?"]) == [
        {"prompt": "a?", "greedy": "greedy", "sampled": "first"},
        {"prompt": "b?", "greedy": "g", "sampled": "s"},
    ]


def test_float32_is_for_the_block_alone_and_puts_back_the_very_numbers():
    model = tiny_model(dtype=torch.bfloat16)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    with pytest.raises(KeyError), in_float32(model):
        assert model(torch.tensor([[5]])).logits.dtype == torch.float32
        raise KeyError
    assert all(
        torch.equal(weight, before[name]) and weight.dtype == torch.bfloat16
        for name, weight in model.named_parameters()
    )
