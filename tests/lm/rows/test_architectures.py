"""Every architecture is exact in a packed row, or refused before any work; nothing in between."""

from pathlib import Path

import pytest
import torch
import transformers

from safedpo.cli.maintain.architectures import MARKS, table, verdict
from safedpo.errors import UserError
from safedpo.lm.models.fingerprint import weights_fingerprint
from safedpo.lm.models.gate.check import gate
from safedpo.lm.models.load import LoadedModel, dropout_off
from safedpo.lm.models.tiny import tiny_tokenizer
from safedpo.lm.rows.attention import use_packed_attention
from safedpo.lm.rows.fused import fuse_lora, unfuse_lora
from safedpo.lm.rows.logprobs import response_logps
from tests.lm.rows.architectures import REFUSED, names, pairs, plain_logps, row, tiny, with_lora

FAST = [
    "llama3-rope",
    "gpt2",
    "granite",
    "falcon-multi-query",
    "deepseek_v3",
    "phimoe",
    "mistral-w8",
    "gemma2-w8",
    "gemma3_text-w8",
    "gpt_oss-w8",
    "llama4-w8",
    "gemma4-w8",
    "qwen3-w64",
    "lfm2",
    "mpt",
    "gpt_neo",
    "llama-dynamic-rope",
]


def cases():
    return [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in names()]


def loaded(name):
    transformers.utils.logging.set_verbosity_error()
    model = tiny(name)
    dropout_off(model)
    return LoadedModel(model, tiny_tokenizer(), name, "cpu", model.dtype, "", weights_fingerprint(model))


def with_gradients(policy, logps):
    policy.zero_grad()
    (logps * torch.linspace(-1, 1, len(logps))).sum().backward()
    gradients = {name: p.grad.clone() for name, p in policy.named_parameters() if p.grad is not None}
    return logps.detach(), gradients


def relative(found, wanted):
    """|found - wanted| / |wanted| over all gradients together, L2."""
    names = found.keys() | wanted.keys()
    apart = [(found.get(n, torch.zeros(())) - wanted.get(n, torch.zeros(()))).square().sum() for n in names]
    return (sum(apart) / sum(g.square().sum() for g in wanted.values())).sqrt().item()


@pytest.mark.filterwarnings("ignore")  # transformers warns about the odd sizes of tiny configurations
@pytest.mark.parametrize("name", cases())
def test_exact_or_refused_before_any_work(name):
    one = loaded(name)
    if name in REFUSED:
        with pytest.raises(UserError, match=REFUSED[name]):
            gate(one, pairs(), say=False)
        return
    assert gate(one, pairs(), say=False)["difference"] < 1e-3
    policy = with_lora(one.model)
    truth, true_gradients = with_gradients(policy, plain_logps(policy, pairs()))
    paths = ["dense", "packed"] if one.model._supports_attention_backend else ["dense"]
    for path in paths:
        if path == "packed" and not use_packed_attention(one.model):
            continue
        fuse_lora(policy.train())
        logps, gradients = with_gradients(policy, response_logps(policy, row()))
        unfuse_lora(policy.eval())
        assert (logps - truth).abs().max() < 1e-4, path
        assert relative(gradients, true_gradients) < 1e-4, path


def test_there_are_enough_of_them():
    kinds = {name.rsplit("-w", 1)[0] for name in names()}
    assert len(kinds) >= 55 and len(names()) >= 100 and len(FAST) >= 12
    assert set(REFUSED) <= set(names()) and set(FAST) <= set(names())


def block():
    text = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    return text.split(MARKS[0])[1].split(MARKS[1])[0].strip()


def test_the_readme_lists_every_one_under_what_it_is():
    expected = table({name: REFUSED.get(name, "exact") for name in names()})
    assert block() == expected


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_readme_has_the_table_that_the_command_prints():
    transformers.utils.logging.set_verbosity_error()
    assert block() == table({name: verdict(name) for name in names()})
