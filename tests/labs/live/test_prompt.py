"""The live prompt on a tiny model: weights follow the sliders, answers are the policy's own, bad prompts are refused."""

import pytest
import torch

from safedpo.evaluate.generation import Decoding, generate
from safedpo.labs.live import prompt as module
from safedpo.labs.live.prompt import MOST_TOKENS, STRENGTHS, LivePrompt
from safedpo.lm.blending.load import load_adapters
from safedpo.lm.models.adapters import add_lora
from safedpo.lm.models.fingerprint import weights_fingerprint
from safedpo.lm.models.load import LoadedModel
from safedpo.lm.models.tiny import tiny_model, tiny_tokenizer


@pytest.fixture
def live(tmp_path):
    for delta in (0, 10):
        policy = add_lora(tiny_model(), seed=delta)
        draw = torch.Generator().manual_seed(delta)
        with torch.no_grad():
            for name, tensor in policy.named_parameters():
                if ".lora_" in name:
                    tensor.normal_(std=0.3, generator=draw)
        policy.save_pretrained(tmp_path / str(delta))
    model = tiny_model()
    loaded = LoadedModel(model, tiny_tokenizer(), "tiny", "cpu", torch.float32, "as asked", weights_fingerprint(model))
    blend = load_adapters(loaded, {delta: tmp_path / str(delta) for delta in (0, 10)})
    return LivePrompt(loaded, blend, [0, 3, 10], max_new_tokens=8)


def greedy(live, prompt) -> str:
    decoding = Decoding(samples=0, max_new_tokens=8)
    return generate(live.policy.model, live.policy.tokenizer, [prompt], decoding, progress=False)[0].greedy


def test_the_weights_follow_the_sliders(live):
    assert live.blend.weights == {0: 0, 10: 1} and "trained with delta 10" in live.label.value
    live.delta.value = 3
    between = live.blend.weights
    assert sum(between.values()) == pytest.approx(1) and min(between.values()) > 0 and "a blend" in live.label.value
    live.strength.value = STRENGTHS[2]
    assert live.blend.weights == {delta: pytest.approx(0.5 * weight) for delta, weight in between.items()}
    live.delta.value = 0
    assert live.blend.weights == {0: 0.5, 10: 0} and "beta / 0.5" in live.label.value
    live.strength.value = 0.0
    assert live.blend.weights == {0: 0, 10: 0} and "the reference" in live.label.value


def test_the_answer_is_the_policy_s_and_the_bar_counts_its_tokens(live, monkeypatch):
    answers = []
    for delta in (0, 10):
        live.delta.value, live.prompt.value = delta, "Hello there"
        seen = []
        live.bar.observe(lambda change, seen=seen: seen.append(change["new"]), names="value")
        live.button.click()
        assert module.style.escape(module.visible(greedy(live, "Hello there"))) in live.said.value
        assert seen[-1] == 8 and not live.button.disabled
        answers.append(live.said.value)
    assert answers[0] != answers[1]
    assert not live.policy.model._forward_hooks  # nothing ticks on afterwards


@pytest.mark.parametrize(
    "prompt, words",
    [
        ("  \n", "write a request first"),
        ("word " * 3000, f"tokens; shorten it to {MOST_TOKENS}"),
        ("so </s> so", "contains the special token &#x27;&lt;/s&gt;&#x27;"),
    ],
)
def test_a_prompt_that_is_empty_enormous_or_spells_a_token_is_refused_in_words(live, prompt, words):
    live.prompt.value = prompt
    live.button.click()
    assert words in live.said.value and not live.button.disabled


def test_hostile_text_is_plain_text(live, monkeypatch):
    hostile = "<script>alert(1)</script><img onerror=x> $x$ \x1b[31m"
    monkeypatch.setattr("safedpo.evaluate.generation.generate", lambda *_, **__: [module_said(hostile)])
    live.prompt.value = hostile
    live.button.click()
    assert "<script" not in live.said.value and "<img" not in live.said.value and "\x1b" not in live.said.value
    assert "&lt;script&gt;" in live.said.value and r"\x1b[31m" in live.said.value


def module_said(text):
    from safedpo.evaluate.generation import Responses

    return Responses("prompt", text, ())


def test_a_fault_while_answering_leaves_the_button_usable(live, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no memory")

    monkeypatch.setattr("safedpo.evaluate.generation.generate", broken)
    live.prompt.value = "Hello"
    with pytest.raises(RuntimeError, match="no memory"):
        live.answer()
    assert not live.button.disabled and not live.policy.model._forward_hooks


def test_the_template_is_the_one_that_the_policies_were_trained_with(live):
    """ChatML or the bare prompt: other ids, so other answers."""
    live.policy.tokenizer.chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
    live.blend.template, live.prompt.value = "plain", "Hello there"
    live.button.click()
    decoding = Decoding(samples=0, max_new_tokens=8)
    plain, chat = (
        generate(live.policy.model, live.policy.tokenizer, ["Hello there"], decoding, template=one, progress=False)
        for one in ("plain", "auto")
    )
    assert plain[0].greedy != chat[0].greedy
    assert module.style.escape(module.visible(plain[0].greedy)) in live.said.value
