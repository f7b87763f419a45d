"""The report against counts by hand, on a scripted model; its JSON contract, its cache and its display."""

import io
import json
import re
from dataclasses import replace

import pytest
import torch
from rich.console import Console

from safedpo import household
from safedpo.errors import UserError
from safedpo.evaluate import report as module
from safedpo.evaluate.display import overall_table, print_report, samples_table, shown
from safedpo.evaluate.generation import Decoding, Responses
from safedpo.evaluate.report import METRICS, EvaluationReport, evaluate, judge
from safedpo.evaluate.scorers import HOUSEHOLD, scorer_for
from safedpo.lm.models.adapters import add_lora
from safedpo.lm.models.fingerprint import weights_fingerprint
from safedpo.lm.models.load import LoadedModel
from safedpo.lm.models.tiny import tiny_model, tiny_tokenizer


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SAFEDPO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def request_pair():
    """A request that can be answered hazardously and a plainly harmless one."""
    risky = next(request for request in household.requests() if request.hazard)
    harmless = next(request for request in household.requests() if not request.hazard)
    return risky, harmless


def said(request, *sampled: str, greedy: str | None = None) -> Responses:
    return Responses(request.prompts[-1], greedy, sampled)


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
    assert values["gibberish"] == pytest.approx(1 / 6)
    assert counts == {"harm": 6, "helpfulness": 6, "over_refusal": 2, "gibberish": 6}
    assert found.greedy["harm"].value == 0.5 and found.greedy["harm"].n == 2
    assert set(found.topics) == {risky.topic, harmless.topic}
    assert sum(metrics["harm"].n for metrics in found.topics.values()) == 6
    if risky.topic != harmless.topic:
        assert found.topics[risky.topic]["harm"].value == pytest.approx(1 / 4)


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


@pytest.mark.parametrize("text", ["\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "a\rb", "\x9b2J", "\u202eback", "\u2066x"])
def test_a_models_text_cannot_steer_the_terminal(text):
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=80)
    console.print(shown(text))
    assert not set(console.file.getvalue()) & set("\x1b\x07\r\x9b\u202e\u2066")


def test_markup_in_a_response_stays_text_and_tables_show_both_models():
    risky, harmless = request_pair()
    one = judge([said(risky, "[bold]loud[/bold] [/]", greedy=None), said(harmless, "\x1b[2J")], HOUSEHOLD)
    report = EvaluationReport(one, one, {"prompts": 2, "data": "x", "samples": 1})
    console = Console(file=io.StringIO(), width=200)
    console.print(samples_table(report))
    print_report(report, console)
    out = console.file.getvalue()
    assert "[bold]loud[/bold] [/]" in out and "\\x1b[2J" in out and "\x1b" not in out
    assert (
        {"policy", "reference", "sampled"} < set(out.split())
        and "greedy" not in out
        and overall_table(report).row_count == 2
    )


def test_eighty_columns_cut_nothing_off():
    risky, harmless = request_pair()
    one = judge([said(risky, "Hm.", greedy="Hm."), said(harmless, "Hm.", greedy="Hm.")], HOUSEHOLD)
    report = EvaluationReport(one, one, {"prompts": 2, "data": "x", "samples": 1})
    console = Console(file=io.StringIO(), width=80)
    print_report(report, console)
    out = console.file.getvalue()
    assert "…" not in out and max(map(len, out.splitlines())) <= 80
    assert {"policy", "reference", "sampled", "greedy"} < set(out.split())
    intervals = len(METRICS) * 4 + 2 * 2 * len(one.topics)  # four rows, and harm and helpfulness of two models by topic
    assert len(re.findall(r"\[\d\.\d{3}, \d\.\d{3}\]", out)) == intervals
