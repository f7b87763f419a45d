"""A policy beside its reference on prompts without an exact scorer: tiny models, a list of prompts, preference data."""

import json

import pytest
import torch

from safedpo.errors import UserError
from safedpo.evaluate.generation import Decoding
from safedpo.evaluate.scorers import policy as module
from safedpo.evaluate.scorers.policy import Judges, measure_policy
from safedpo.evaluate.scorers.score_head import load_score_model
from safedpo.lm.models.adapters import add_lora
from safedpo.lm.models.fingerprint import weights_fingerprint
from safedpo.lm.models.load import LoadedModel
from safedpo.lm.models.tiny import tiny_model, tiny_tokenizer
from tests.evaluate.scorers.test_score_head import head_model


@pytest.fixture
def trained() -> LoadedModel:
    model = tiny_model()
    fingerprint = weights_fingerprint(model)
    adapted = add_lora(model)
    with torch.no_grad():
        for name, tensor in adapted.named_parameters():
            if "lora_B" in name:
                tensor.normal_(generator=torch.Generator().manual_seed(1))
    return LoadedModel(adapted, tiny_tokenizer(), "tiny", "cpu", torch.float32, "as asked", fingerprint)


@pytest.fixture
def prompts(tmp_path):
    rows = [{"prompt": f"question {i}?", "label": "safe" if i % 2 else "unsafe", "type": "x"} for i in range(8)]
    file = tmp_path / "prompts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_policy_and_reference_are_measured_on_their_own_responses(tmp_path, trained, prompts):
    reward = head_model(tmp_path / "reward")
    judges = Judges(reward_model=str(reward), refusals=True)
    decoding = Decoding(samples=2, greedy=False, max_new_tokens=6)
    found = measure_policy(trained, prompts, judges, decoding=decoding, progress=False)
    assert list(found.metrics) == ["policy", "reference"] and found.exchanges["policy"] != found.exchanges["reference"]
    scorer = load_score_model(reward, device="cpu")
    for name, exchanges in found.exchanges.items():
        assert len(exchanges) == 16
        by_hand = list(scorer.scores(exchanges))
        assert found.metrics[name]["helpfulness"].value == pytest.approx(sum(by_hand) / 16, abs=1e-3)
        assert found.metrics[name]["over_refusal"].prompts == found.metrics[name]["refusal_of_unsafe"].prompts == 4
    content = json.loads(found.save(tmp_path / "out").read_text())
    assert content["policy"]["helpfulness"]["n"] == 16 and content["settings"]["scorer"]["reward_model"] == str(reward)
    rows = [json.loads(line) for line in (tmp_path / "out" / "samples-policy.jsonl").read_text().splitlines()]
    assert (
        rows[3]["reward"] == found.columns["policy"].reward[3] and {"prompt", "response", "refusal"} <= rows[3].keys()
    )


def test_preference_data_says_nothing_of_safe_prompts(tmp_path, trained):
    row = {
        "prompt": "q?", "response_0": "a", "response_1": "b", "is_response_0_safe": True, "is_response_1_safe": False,
        "better_response_id": 0, "safer_response_id": 0,
    }  # fmt: skip
    (tmp_path / "d.jsonl").write_text(json.dumps(row) + "\n")
    decoding = Decoding(samples=1, greedy=False, max_new_tokens=3)
    found = measure_policy(trained, tmp_path / "d.jsonl", Judges(), decoding=decoding, progress=False)
    assert set(found.metrics["policy"]) == {"refusal"}


def test_a_score_model_that_cannot_be_read_is_refused_before_any_response_is_sampled(
    tmp_path, monkeypatch, trained, prompts
):
    monkeypatch.setattr(module, "generate", lambda *args, **named: pytest.fail("sampled"))
    tiny_model().save_pretrained(tmp_path / "m")
    tiny_tokenizer().save_pretrained(tmp_path / "m")
    with pytest.raises(UserError, match="has no score head"):
        measure_policy(trained, prompts, Judges(cost_model=str(tmp_path / "m")))
    with pytest.raises(UserError, match="named as reward and as cost model"):
        measure_policy(trained, prompts, Judges("a/b", "a/b"))
