import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from safedpo.errors import UserError
from safedpo.lm.models.adapters import add_lora
from safedpo.lm.models.fingerprint import weights_fingerprint
from safedpo.lm.models.tiny import tiny_model
from safedpo.lm.rows.logprobs import response_logps
from safedpo.lm.rows.packing import pack_pairs
from safedpo.lm.rows.tokens import tokenize_pairs
from safedpo.lm.training import reference
from safedpo.lm.training.reference import reference_identity, reference_logps


@pytest.fixture
def pairs(records, tokenizer):
    return tokenize_pairs(records, tokenizer).items


def trained_policy():
    policy = add_lora(tiny_model())
    for name, parameter in policy.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return policy


def parts(folder):
    return sorted(folder.rglob("part-*.safetensors"))


def test_values_are_those_of_the_base_weights_pair_by_pair(pairs):
    policy = trained_policy().train()
    found = reference_logps(policy, pairs)
    one_by_one = torch.stack([response_logps(tiny_model(), pack_pairs([p])) for p in pairs], 1)
    torch.testing.assert_close(found, one_by_one.detach(), rtol=1e-5, atol=1e-4)
    assert policy.training and not found.requires_grad
    assert (response_logps(policy, pack_pairs(pairs[:1])) - found[:, 0]).abs().max() > 0.1  # adapters are on again


def test_a_second_call_reads_the_cache(pairs, tmp_path, monkeypatch):
    first = reference_logps(tiny_model(), pairs, folder=tmp_path)
    monkeypatch.setattr(reference, "response_logps", lambda *a: pytest.fail("computed again"))
    assert torch.equal(reference_logps(tiny_model(), pairs, folder=tmp_path), first)


def test_an_interrupted_computation_goes_on_where_it_stopped(pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(reference, "PART", 4)
    whole = reference_logps(tiny_model(), pairs, folder=tmp_path / "a")
    calls = []

    def counted(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return response_logps(*args)

    monkeypatch.setattr(reference, "response_logps", counted)
    with pytest.raises(KeyboardInterrupt):
        reference_logps(tiny_model(), pairs, folder=tmp_path / "b")
    done = len(parts(tmp_path / "b"))
    assert 0 < done < len(parts(tmp_path / "a")) and not list((tmp_path / "b").rglob(".*"))
    calls.clear()
    monkeypatch.setattr(reference, "response_logps", lambda *args: (calls.append(1), response_logps(*args))[1])
    assert torch.equal(reference_logps(tiny_model(), pairs, folder=tmp_path / "b"), whole)
    assert len(calls) == len(parts(tmp_path / "a")) - done


def test_two_processes_share_the_parts(pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(reference, "PART", 4)
    alone = reference_logps(tiny_model(), pairs, folder=tmp_path / "a")

    def other():
        assert len(parts(tmp_path / "b")) == 3
        reference_logps(tiny_model(), pairs, folder=tmp_path / "b", rank=1, world=2)

    assert torch.equal(reference_logps(tiny_model(), pairs, folder=tmp_path / "b", rank=0, world=2, wait=other), alone)


def test_the_identity_changes_with_weights_dtype_tokens_and_order(pairs):
    base = weights_fingerprint(tiny_model())
    names = [
        reference_identity(base, "torch.float32", pairs),
        reference_identity(base, "torch.bfloat16", pairs),
        reference_identity(weights_fingerprint(tiny_model(seed=1)), "torch.float32", pairs),
        reference_identity(base, "torch.float32", pairs[1:]),
        reference_identity(base, "torch.float32", pairs[::-1]),
    ]
    assert len(set(names)) == len(names)
    assert weights_fingerprint(trained_policy()) == base  # a half-trained policy has the identity of its reference


def damaged(how, file):
    """A part of the cache, spoilt in one of the ways that were tried."""
    content = bytearray(file.read_bytes())
    if how == "cut":
        content = content[:50]
    elif how == "empty":
        content = bytearray()
    elif how == "another identity":
        save_file(load_file(file), file, metadata={"identity": "another"})
        return
    elif how == "without a sha256":
        with safe_open(file, "pt") as stored:
            identity = stored.metadata()["identity"]
        save_file(load_file(file), file, metadata={"identity": identity})
        return
    else:
        content[int(how)] ^= 1 << 7
    file.write_bytes(content)


@pytest.mark.parametrize("how", ["cut", "empty", "another identity", "without a sha256", 3, 40, -1, -2, -9, -33, -64])
def test_a_damaged_part_is_computed_again(pairs, tmp_path, how, capsys):
    """-1 is the sign of a value: -182.6 became +182.6, and the run went on with it."""
    whole = reference_logps(tiny_model(), pairs, folder=tmp_path)
    (mine,) = parts(tmp_path)
    damaged(how, mine)
    assert torch.equal(reference_logps(tiny_model(), pairs, folder=tmp_path), whole)
    assert "computed again" in capsys.readouterr().out
    reference_logps(tiny_model(), pairs, folder=tmp_path)
    assert "computed again" not in capsys.readouterr().out


def test_a_log_probability_above_zero_is_refused(pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(reference, "response_logps", lambda model, batch: -response_logps(model, batch))
    with pytest.raises(UserError, match="at most 0"):
        reference_logps(tiny_model(), pairs, folder=tmp_path)
    assert not parts(tmp_path)


def test_a_value_that_is_not_finite_names_its_rows(pairs, tmp_path):
    model = tiny_model()
    with torch.no_grad():
        model.model.embed_tokens.weight[pairs[2].prompt_ids[-4]] = torch.nan
    with pytest.raises(UserError, match="no finite log-probability"):
        reference_logps(model, pairs, folder=tmp_path)
