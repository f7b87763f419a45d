"""Stored results behind one door: their numbers are those of the files, and other data or another reference is refused."""

import json
import shutil

import pytest

from safedpo.errors import UserError
from safedpo.evaluate import results as module
from safedpo.evaluate.results import METRICS, adapters, stored_results
from safedpo.files import shipped
from tests.edited import edited

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
    assert len(prompts) == len(set(prompts)) == 150 and scores.shape == (150, 3)
    assert scores.mean().item() == pytest.approx(results.reference["helpfulness"]["value"], abs=1e-9)


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
        (lambda r: r.must_rest_on("abc"), "rests on the reference .* is abc"),
    ],
)
def test_what_is_not_there_is_named(ask, says):
    with pytest.raises(UserError, match=says):
        ask(stored_results())


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A shipped data folder of one's own, to damage."""
    for part in ("household", "adapters/sweep"):
        shutil.copytree(shipped("data") / part, tmp_path / "data" / part)
    (tmp_path / "data" / "results" / "household").mkdir(parents=True)
    shutil.copy(HOME / "sweep.json", tmp_path / "data" / "results" / "household")
    monkeypatch.setattr(module, "shipped", lambda name: tmp_path / name)
    monkeypatch.setattr("safedpo.household.load", lambda part: tmp_path / "data" / "household" / f"{part}.jsonl")
    stored_results()  # whole so far
    return tmp_path / "data"


@pytest.mark.parametrize("part, says", [("train", "other data .*train.jsonl"), ("test", "other prompts .*test.jsonl")])
def test_results_of_other_data_are_refused(copied, part, says):
    file = copied / "household" / f"{part}.jsonl"
    file.write_text("\n".join(file.read_text(encoding="utf-8").splitlines()[1:]) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=says):
        stored_results()


def test_results_of_another_reference_are_refused(copied):
    file = copied / "adapters" / "sweep" / "delta-5" / "run.json"
    edited(file, fingerprints={"reference": "feedfacefeedface"})
    with pytest.raises(
        UserError, match="rests on the reference 3ec61a0ccbd7ad53, that of the adapter in .*delta-5 is feed"
    ):
        stored_results()


def test_damaged_missing_and_unfinished_sweeps_are_named(tmp_path):
    with pytest.raises(UserError, match="sweep.json is missing; give the output directory"):
        stored_results(tmp_path)
    (tmp_path / "sweep.json").write_text('{"runs": [')
    with pytest.raises(UserError, match="sweep.json is damaged"):
        stored_results(tmp_path)
    (tmp_path / "sweep.json").write_text('{"runs": []}')
    with pytest.raises(UserError, match="not what `safedpo sweep` writes: 'fingerprints' is missing"):
        stored_results(tmp_path)
    whole = json.loads((HOME / "sweep.json").read_text()) | {"runs": [], "reference": None}
    (tmp_path / "sweep.json").write_text(json.dumps(whole))
    with pytest.raises(UserError, match="has no finished run yet; start it again"):
        stored_results(tmp_path)
    with pytest.raises(UserError, match="holds no adapters"):
        adapters(tmp_path)
