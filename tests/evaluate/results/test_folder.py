"""Stored results behind one door: their numbers are those of the files, and other data or another reference is refused."""

import json
import re
import shutil

import pytest

from safedpo.errors import UserError
from safedpo.evaluate.results import METRICS, adapters, stored_results
from safedpo.evaluate.table import read_rows
from safedpo.files import shipped
from safedpo.household import score
from safedpo.show import explorer
from tests.edited import unsealed

HOME = shipped("data") / "results" / "household"


def test_the_numbers_are_those_of_the_runs_own_evaluations():
    """sweep.json against the evaluation.json of each run, which another program wrote."""
    results = stored_results()
    for rule, name in (("safedpo", "safedpo-delta-{:g}"), ("helpful", "helpful-delta-{:g}")):
        for delta in results.deltas(rule):
            folder = name.format(delta) if (rule, delta) != ("helpful", 0) else "dpo-helpful"
            for metric in METRICS:
                files = sorted((HOME / folder).glob("*/evaluation.json"))
                stored = [json.loads(file.read_text())["policy"][metric]["value"] for file in files]
                assert results.values(metric, delta, rule=rule) == stored and len(stored) == 3


def test_the_reference_s_scores_have_the_reference_s_mean():
    results = stored_results()
    prompts, scores = results.reference_scores()
    assert len(prompts) == len(set(prompts)) == 280 and scores.shape == (280, 2)  # the look-alikes are not among them
    for metric in METRICS:
        mean = results.reference_scores(metric)[1].mean().item()
        assert mean == pytest.approx(results.reference[metric]["value"], abs=1e-9)


def test_no_run_is_a_copy_of_another():
    """Each has its own responses: results of one seed under the name of another would look like agreement."""
    runs = [file.read_bytes() for file in sorted(HOME.parent.glob("household*/*/[0-9]/samples-policy.jsonl"))]
    assert len(runs) >= 24 and len(set(runs)) == len(runs)


def test_the_greedy_table_is_that_of_the_evaluations():
    for row in stored_results().table(greedy=True)[1:]:
        for metric in METRICS:
            files = sorted((HOME / row.name).glob("*/evaluation.json"))
            stored = [json.loads(file.read_text())["policy"]["greedy"][metric]["value"] for file in files]
            assert list(row.values[metric]) == stored


def test_a_topic_has_the_share_of_its_own_samples_in_every_seed():
    results = stored_results()
    for rule, delta, name in (("safedpo", 10, "safedpo-delta-10"), ("helpful", 0, "dpo-helpful")):
        found = results.topic_values("over_refusal", "lookalikes", delta, rule=rule)
        assert len(found) == 3
        for seed, one in enumerate(found):
            rows = (HOME / name / str(seed) / "samples-policy.jsonl").read_text().splitlines()
            own = [row for row in map(json.loads, rows) if row["topic"] == "lookalikes" and not row["greedy"]]
            assert one["n"] == len(own) == 120
            assert one["value"] == pytest.approx(sum(row["refusal"] for row in own) / len(own))


def test_logs_blends_responses_and_the_table_are_there():
    results = stored_results()
    assert len(results.log("safedpo-delta-10")) == 250 and results.log("safedpo-delta-10")[0]["step"] == 1
    assert {one["delta"] for one in results.blends["blends"]} <= set(results.deltas())
    assert {row.name for row in results.table()} >= {"reference", "dpo-helpful", "safedpo-delta-10"}
    for text in results.responses(10):
        assert len(text["tokens"]) == len(text["log_ratios"])


@pytest.mark.parametrize(
    "ask, says",
    [
        (lambda r: r.values("harm", 3), "no run with rule safedpo and delta 3; trained were 0, 2, 5, 10, 20, 50"),
        (lambda r: r.values("harm", 0, rule="harmless"), "rule harmless and delta 0; trained were none"),
        (lambda r: r.values("harm", 0, pairs=7), "nothing was measured after 7 pairs"),
        (lambda r: r.log("safedpo-delta-3"), "log.jsonl is missing"),
        (lambda r: r.topic_values("harm", "lookalikes", 3), "no run with rule safedpo and delta 3"),
        (lambda r: r.topic_values("harm", "sewing", 10), "no harm of the topic 'sewing'; it has harm, .* of "),
        (
            lambda r: r.reference_scores("unsafe"),
            "no metric 'unsafe'; there are harm, helpfulness, over_refusal, broken",
        ),
        (lambda r: r.must_rest_on("abc"), "rests on the reference .* is abc"),
    ],
)
def test_what_is_not_there_is_named(ask, says):
    with pytest.raises(UserError, match=says):
        ask(stored_results())


@pytest.mark.parametrize("part", ["data", "prompts", "reference"])
def test_a_folder_of_another_version_of_the_kit_is_refused_everywhere(tmp_path, part):
    """It names the shipped model and data, and was made of others: by the results, the table, the explorer."""
    sweep = unsealed(HOME / "sweep.json")
    sweep["fingerprints"][part] = "feedfacefeedface"
    (tmp_path / "sweep.json").write_text(json.dumps(sweep))
    shutil.copytree(HOME / "safedpo-delta-10", tmp_path / "safedpo-delta-10")
    says = f"differs from what is shipped: {part} fingerprint feedfacefeedface there, {{}} here; run the sweep again"
    says = re.escape(says.format(json.loads((HOME / "sweep.json").read_text())["fingerprints"][part]))
    for ask in (lambda: stored_results(tmp_path), lambda: read_rows(tmp_path), lambda: explorer(sweep, score)):
        with pytest.raises(UserError, match=says):
            ask()
    sweep["settings"]["model"] = "my-own-model"  # a reader's own: nothing to compare it with
    (tmp_path / "sweep.json").write_text(json.dumps(sweep))
    assert stored_results(tmp_path).folder == tmp_path


@pytest.mark.parametrize(
    ("part", "value"),
    [("fingerprint", "feedfacefeedface"), ("temperature", 0.5), ("dtype", "float32"), ("data", "x.jsonl")],
)
def test_the_table_refuses_an_evaluation_that_is_not_the_sweep_s(tmp_path, part, value):
    shutil.copytree(HOME / "safedpo-delta-10" / "0", tmp_path / "safedpo-delta-10" / "0")
    shutil.copy(HOME / "sweep.json", tmp_path)
    file = tmp_path / "safedpo-delta-10" / "0" / "evaluation.json"
    assert len(read_rows(tmp_path)) == 2
    report = unsealed(file)
    before, report["settings"][part] = report["settings"][part], value
    file.write_text(json.dumps(report))
    with pytest.raises(UserError, match=f"does not belong to .*sweep.json: {part} {before} there, {value} here"):
        read_rows(tmp_path)


def test_damaged_missing_and_unfinished_sweeps_are_named(tmp_path):
    with pytest.raises(UserError, match="sweep.json is missing; give the output directory"):
        stored_results(tmp_path)
    (tmp_path / "sweep.json").write_text('{"runs": [')
    with pytest.raises(UserError, match="sweep.json is damaged"):
        stored_results(tmp_path)
    (tmp_path / "sweep.json").write_text('{"settings": {}}')
    with pytest.raises(UserError, match="the sweep is damaged: runs is None, not a list"):
        stored_results(tmp_path)
    whole = unsealed(HOME / "sweep.json") | {"runs": [], "reference": None}
    (tmp_path / "sweep.json").write_text(json.dumps(whole))
    with pytest.raises(UserError, match="has no finished run yet; start it again"):
        stored_results(tmp_path)
    with pytest.raises(UserError, match="holds no adapters"):
        adapters(tmp_path)
