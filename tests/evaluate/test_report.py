"""The report against counts by hand, on a scripted model; its JSON contract, its cache and its display."""

import json
from dataclasses import replace

import pytest
import torch

from safedpo import household
from safedpo.errors import UserError
from safedpo.evaluate import report as module
from safedpo.evaluate.generation import Decoding
from safedpo.evaluate.report import EvaluationReport, evaluate, judge
from safedpo.evaluate.scorers import HOUSEHOLD, scorer_for
from safedpo.lm.models.adapters import add_lora
from safedpo.lm.models.fingerprint import weights_fingerprint
from safedpo.lm.models.load import LoadedModel
from safedpo.lm.models.tiny import tiny_model, tiny_tokenizer
from tests.evaluate.responses import request_pair, said


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SAFEDPO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def everything(request) -> str:
    return " ".join(part.wordings[0] for part in request.helpful)


def refusal() -> str:
    from safedpo.household.parts import phrases

    return phrases().refusals[0].wordings[0]


def loaded(model) -> LoadedModel:
    return LoadedModel(
        model, tiny_tokenizer(), "tiny", "cpu", torch.float32, "float32: as asked", weights_fingerprint(model)
    )


def prompt_file(tmp_path, prompts) -> str:
    rows = [
        {
            "prompt": prompt,
            "response_0": "a",
            "response_1": "b",
            "is_response_0_safe": True,
            "is_response_1_safe": True,
            "better_response_id": 0,
            "safer_response_id": 0,
        }
        for prompt in prompts
    ]
    file = tmp_path / "test.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def test_the_metrics_are_the_shares_one_counts_by_hand():
    risky, harmless = request_pair()
    hazard = risky.hazard[0].wordings[0]
    found = judge(
        [
            said(risky, hazard, everything(risky), refusal(), "zq zq zq zq zq zq zq", greedy=hazard),
            said(harmless, refusal(), everything(harmless), greedy=everything(harmless)),
        ],
        HOUSEHOLD,
    )
    values = {name: interval.value for name, interval in found.metrics.items()}
    counts = {name: interval.n for name, interval in found.metrics.items()}
    assert values["harm"] == pytest.approx(1 / 6)
    assert values["helpfulness"] == pytest.approx(2 / 6)
    assert values["over_refusal"] == pytest.approx(1 / 2)  # the refusal of the risky request is not counted
    assert values["broken"] == pytest.approx(1 / 6)
    assert counts == {"harm": 6, "helpfulness": 6, "over_refusal": 2, "broken": 6}
    assert found.greedy["harm"].value == 0.5 and found.greedy["harm"].n == 2
    assert set(found.topics) == {risky.topic, harmless.topic}
    assert sum(metrics["harm"].n for metrics in found.topics.values()) == 6
    if risky.topic != harmless.topic:
        assert found.topics[risky.topic]["harm"].value == pytest.approx(1 / 4)


def test_requests_that_only_look_unsafe_count_for_over_refusal_alone():
    risky, harmless = request_pair()
    lookalike = household.lookalikes()[0]
    asked = [
        said(risky, everything(risky)),
        said(harmless, refusal()),
        said(lookalike, refusal(), everything(lookalike)),
    ]
    found = judge(asked, HOUSEHOLD)
    assert {name: interval.n for name, interval in found.metrics.items()} == {
        "harm": 2,
        "helpfulness": 2,
        "over_refusal": 3,
        "broken": 2,
    }
    assert found.metrics["helpfulness"].value == 1 / 2 and found.metrics["over_refusal"].value == pytest.approx(2 / 3)
    alone = found.topics["lookalikes"]  # where nothing else was asked, every metric is theirs
    assert {name: interval.value for name, interval in alone.items()} == {
        "harm": 0,
        "helpfulness": 1 / 2,
        "over_refusal": 1 / 2,
        "broken": 0,
    }


def test_without_a_harmless_request_over_refusal_is_not_zero_but_nothing():
    risky, _ = request_pair()
    assert judge([said(risky, refusal())], HOUSEHOLD).metrics["over_refusal"].value is None


def test_json_follows_the_contract_and_saving_keeps_every_sample(tmp_path):
    risky, harmless = request_pair()
    one = judge([said(risky, "Hm.", greedy="Ha."), said(harmless, "\x1b[2J\u202e", greedy="So.")], HOUSEHOLD)
    report = EvaluationReport(one, one, {"prompts": 2, "data": "x", "samples": 1})
    stored = json.loads(report.save(tmp_path / "out").read_text())
    for model in ("policy", "reference"):
        for metric in ("harm", "helpfulness", "over_refusal"):
            assert {"value", "low", "high", "n"} <= set(stored[model][metric])
            assert {"value", "low", "high", "n"} <= set(stored[model]["greedy"][metric])
    lines = (tmp_path / "out" / "samples-policy.jsonl").read_text().splitlines()
    assert [json.loads(line)["response"] for line in lines] == ["Ha.", "Hm.", "So.", "\x1b[2J\u202e"]
    alone = EvaluationReport(one, None, report.settings)
    assert "reference" not in alone.to_json()


def test_a_policy_with_an_adapter_is_set_beside_its_reference(tmp_path):
    risky, harmless = request_pair()
    data = prompt_file(tmp_path, [risky.prompts[-1], harmless.prompts[-1]])
    policy = add_lora(tiny_model())
    with torch.no_grad():
        for name, tensor in policy.named_parameters():
            if "lora_B" in name:
                tensor.normal_(generator=torch.Generator().manual_seed(1))
    decoding = Decoding(samples=1, max_new_tokens=5)
    report = evaluate(loaded(policy), data, decoding=decoding, progress=False)
    plain = evaluate(loaded(tiny_model()), data, decoding=decoding, progress=False)
    assert plain.reference is None
    assert report.reference.samples == plain.policy.samples != report.policy.samples
    assert report.settings["fingerprint"] == weights_fingerprint(tiny_model())
    assert report.settings["prompts"] == 2 and report.settings["max_new_tokens"] == 5


def test_the_reference_is_sampled_once_and_again_for_other_weights_or_decoding(tmp_path, monkeypatch, cache):
    risky, _ = request_pair()
    data, calls = prompt_file(tmp_path, [risky.prompts[-1]]), []
    real = module.generate
    monkeypatch.setattr(module, "generate", lambda *args, **named: calls.append(1) or real(*args, **named))
    decoding = Decoding(samples=1, max_new_tokens=3)

    def run(seed=0, decoding=decoding):
        calls.clear()
        report = evaluate(loaded(add_lora(tiny_model(seed=seed))), data, decoding=decoding, progress=False)
        return len(calls), report.reference.samples

    first, again = run(), run()
    assert (first[0], again[0]) == (2, 1) and first[1] == again[1]
    assert run(seed=1)[0] == 2
    assert run(decoding=replace(decoding, seed=9))[0] == 2
    files = sorted((cache / "responses").glob("*.json"))
    whole = {file: file.read_text() for file in files}
    content = json.loads(whole[files[0]])
    shorter = json.dumps(content | {"responses": content["responses"][:-1]})
    edited = json.dumps(content).replace('"greedy": "', '"greedy": "not ')
    for text in ("[{", "[]", "{}", shorter, edited, json.dumps(content["responses"]), "[" * 50_000):
        for file in files:
            file.write_text(text)
        damaged = run()
        assert damaged == first  # sampled again, not believed
    assert run() == again


def test_data_without_a_scorer_is_refused_before_any_model_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "load_policy", lambda *args, **named: pytest.fail("loaded a model"))
    data = prompt_file(tmp_path, ["Write a sonnet about rust.", request_pair()[0].prompts[0]])
    with pytest.raises(UserError, match="no scorer for 1 of 2 prompts, the first being 'Write a sonnet"):
        evaluate("run", data)
    assert scorer_for([request_pair()[0].prompts[0]]) is HOUSEHOLD
