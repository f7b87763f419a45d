"""The showcase's stages from end to end on a tiny model: each goes on where it stopped, and numbers are those of its files."""

import json
import math
import random
import shutil
from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

from safedpo import household
from safedpo.cli.common import app
from safedpo.cli.maintain.showcase import hours as speeds
from safedpo.cli.maintain.showcase import plan as plans
from safedpo.cli.maintain.showcase import reference as references
from safedpo.cli.maintain.showcase import stages
from safedpo.cli.maintain.showcase.measure import exact, summary
from safedpo.cli.maintain.showcase.pairs import mixed, own_pairs, sample_responses
from safedpo.cli.maintain.showcase.plan import PLAN, Plan, best_policy, best_reference
from safedpo.errors import UserError
from safedpo.evaluate.sweep import SweepSettings
from safedpo.files import shipped
from safedpo.household import values
from safedpo.household.v2 import generate
from safedpo.lm.models.load import load_model
from safedpo.lm.models.tiny import tiny_model, tiny_tokenizer
from safedpo.lm.rows.tokens import tokenize_examples
from safedpo.lm.training.data import data_fingerprint, sft_rows
from safedpo.records import read_records


@pytest.fixture
def model(tmp_path):
    tiny_model().save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    return str(tmp_path / "model")


@pytest.fixture
def plan(model):
    """A plan of the same shape as the real one: a second stage, two kinds of settings, two seeds."""
    sft = {"lora_r": 2, "epochs": 1, "batch_size": 2, "seed": 0}
    policy = {"learning_rate": 1e-3, "budgets": (4, 8), "lora_r": 2, "batch_size": 4}
    return Plan(
        model=model,
        dtype="float32",
        references={
            "first": sft | {"learning_rate": 1e-3},
            "second": sft | {"learning_rate": 1e-4, "adapter": "first"},
        },
        compare="short-one",
        policies={
            "long-one": policy | {"beta": 0.5},
            "short-one": policy | {"beta": 2.0},
            "short-two": policy | {"beta": 1},
        },
        alone=(0.1,),
        deltas=(0, 5, 10),
        helpful_deltas=(0,),
        seeds=(0, 1),
        samples=1,
        max_new_tokens=6,
        limit=10,
    )


@pytest.mark.slow
def test_all_stages_from_nothing_to_the_table_and_again_at_once(plan, tmp_path, capsys):
    home = tmp_path / "showcase"
    stages.run(home, plan)
    said = capsys.readouterr().out
    assert [line.split(":")[0] for line in said.splitlines() if "hours from nothing" in line] == list(stages.STAGES)
    results = json.loads((home / "results.json").read_text())
    assert set(results["methods"]) == {
        "reference",
        "dpo-helpful",
        "safedpo-delta-0",
        "safedpo-delta-5",
        "safedpo-delta-10",
        "safedpo-delta-10, long",
    }
    assert all(set(seeds) == {"0", "1"} for name, seeds in results["methods"].items() if name != "reference")
    file = home / "sweep" / "safedpo-delta-5" / "1" / "evaluation.json"
    harm = json.loads(file.read_text())["policy"]["harm"]["value"]  # over both groups together
    groups = results["methods"]["safedpo-delta-5"]["1"]["sampled"]
    counts = [one["harm"]["n"] for one in groups.values() if one]
    assert sum(one["harm"]["value"] * one["harm"]["n"] for one in groups.values() if one) / sum(counts) == harm
    chosen = results["choices"]["choose"]
    assert (
        chosen["short"].startswith("short") and chosen["long"] == "long-one" and results["choices"]["reference"]["rule"]
    )
    assert chosen["found"]["short-one"]["harm"] == results["choices"]["compare"]["found"][chosen["pairs"]]["harm"]
    assert set(results["alone"]) == {"beta-0.1", f"beta-{plan.policies[chosen['short']]['beta']:g}"}
    assert 0 < len(results["drawn"]) <= 20 and set(results["drawn"][0]) == {"prompt", "reference", "delta 10"}
    assert set(results["unseen"]) == {"reference", "dpo-helpful", "safedpo-delta-10"}
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*.safetensors")}
    stages.run(home, plan)  # nothing is trained or sampled again
    assert before == {path: path.stat().st_mtime_ns for path in home.rglob("*.safetensors")}
    assert json.loads((home / "results.json").read_text()) == results
    with pytest.raises(UserError, match="begun with another plan .*deltas"):
        stages.run(home, replace(plan, deltas=(0, 10)))


def test_stages_in_the_wrong_order_and_unknown_ones_are_named(plan, tmp_path):
    home = tmp_path / "showcase"
    with pytest.raises(UserError, match="no stage 'train'; there are data, reference"):
        stages.run(home, plan, "train")
    for stage, needed in (("pairs", "reference"), ("compare", "reference"), ("choose", "compare"), ("sweep", "choose")):
        with pytest.raises(UserError, match=f"is missing; run safedpo maintain showcase --stage {needed} first"):
            stages.run(home, plan, stage)


@pytest.mark.slow
def test_parts_share_the_runs_and_choose_what_one_process_chooses(plan, tmp_path, capsys):
    for stage in ("reference", "pairs"):
        stages.run(tmp_path, plan, stage)
    stages.run(tmp_path, plan, "compare", part=(2, 2))
    assert not (tmp_path / "compare" / "chosen.json").exists()
    assert "nothing is chosen while generator, both is not there" in capsys.readouterr().out
    stages.run(tmp_path, plan, "compare", part=(1, 2))
    stages.run(tmp_path, plan, "choose")
    chosen = json.loads((tmp_path / "choose" / "chosen.json").read_text())
    stages.run(tmp_path, plan, "sweep", part=(1, 2))
    stages.run(tmp_path, plan, "sweep", part=(2, 2))
    swept = json.loads((tmp_path / "sweep" / "sweep.json").read_text())
    found = {(run["rule"], run["delta"], run["seed"]) for run in swept["runs"]}
    assert found == {("safedpo", d, s) for d in (0, 5, 10) for s in (0, 1)} | {("helpful", 0, s) for s in (0, 1)}
    whole = tmp_path / "whole"
    for name in ("data", "reference", "pairs", "plan.json", "speed.json"):
        (whole / name).parent.mkdir(exist_ok=True)
        (whole / name).symlink_to(tmp_path / name)
    stages.run(whole, plan, "compare")
    stages.run(whole, plan, "choose")
    assert json.loads((whole / "choose" / "chosen.json").read_text()) == chosen


@pytest.mark.parametrize(("stage", "part", "words"), [("pairs", (1, 2), "no parts"), ("sweep", (3, 2), "part 3 of 2")])
def test_a_part_that_does_not_exist_is_named(plan, tmp_path, stage, part, words):
    with pytest.raises(UserError, match=words):
        stages.run(tmp_path, plan, stage, part=part)


def test_the_command_says_hours_without_doing_anything(plan, tmp_path, monkeypatch):
    monkeypatch.setattr("safedpo.cli.maintain.showcase.plan.PLAN", plan)
    done = CliRunner().invoke(app, ["maintain", "showcase", "--out", str(tmp_path / "home"), "--dry"])
    assert done.exit_code == 0 and "sweep: about 0.0" in done.output
    assert not (tmp_path / "home" / "reference").exists()


@pytest.mark.slow
def test_a_candidate_that_was_killed_goes_on_to_the_same_weights(plan, model, tmp_path, monkeypatch):
    stages.data(tmp_path / "home", plan)
    responses = tmp_path / "home" / "data" / "responses.jsonl"
    how = {"model": model, "dtype": "float32", "responses": responses}
    settings = plan.references["first"] | {"save_steps": 1}
    whole = references.train_candidate("whole", settings, tmp_path, **how)

    class Killed(references.Beside):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 3:
                raise KeyboardInterrupt

    monkeypatch.setattr(references, "Beside", Killed)
    with pytest.raises(KeyboardInterrupt):
        references.train_candidate("killed", settings, tmp_path, **how)
    monkeypatch.undo()
    monkeypatch.setenv("SAFEDPO_CACHE", str(tmp_path / "cache"))
    again = references.train_candidate("killed", settings, tmp_path, **how)
    weights = [(folder / "adapter_model.safetensors").read_bytes() for folder in (whole, again)]
    assert weights[0] == weights[1]
    assert json.loads((again / "loss.json").read_text()) == json.loads((whole / "loss.json").read_text())


def test_merged_weights_are_the_policy(model, plan, tmp_path):
    stages.data(tmp_path / "home", plan)
    how = {"model": model, "dtype": "float32", "responses": tmp_path / "home" / "data" / "responses.jsonl"}
    run = references.train_candidate("one", plan.references["first"], tmp_path, **how)
    whole = references.merged(model, run, tmp_path / "merged")
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        with_adapter = references.with_adapter(model, run, "float32").model(ids).logits
        torch.testing.assert_close(load_model(str(whole), dtype="float32").model(ids).logits, with_adapter)
        assert not torch.allclose(load_model(model, dtype="float32").model(ids).logits, with_adapter)


def test_the_entropy_a_token_is_that_of_a_model_that_knows_the_law(tmp_path):
    """Minus the mean log-probability of one request's responses under the exact law, over their tokens: within 10 %."""
    request, file = household.requests_of("train")[0], tmp_path / "responses.jsonl"
    rows = [row for row in generate.responses("train", 2, seed=0) if row["request"] == request.id]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    law = {values.text_of(request, *outcome): p for outcome, p in values.response_law(request).items()}
    said = sft_rows(read_records(file).records, "all")
    surprise = sum(-math.log(law[text]) for _, text, _ in said)
    tokens = sum(len(one.response_ids) for one in tokenize_examples(said, tiny_tokenizer()).items)
    assert len(said) == 4 * 32
    assert references.entropy_per_token(file, tiny_tokenizer()) == pytest.approx(surprise / tokens, rel=0.1)


def test_own_pairs_are_labelled_by_the_scorer_and_bradley_terry(tmp_path):
    request = next(one for one in household.requests_of("train") if one.hazard)
    good, bad = " ".join(p.wordings[0] for p in request.helpful), request.hazard[0].wordings[0]
    assert [household.reward(household.score(request.prompts[0], text)) for text in (good, bad)] == [8, 4]
    rows = [{"prompt": prompt, "responses": [good, bad, good, good]} for prompt in request.prompts]
    file = tmp_path / "sampled.jsonl"
    better = []
    for seed in range(40):
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert own_pairs(file, tmp_path / "own.jsonl", seed) == len(rows)  # equal texts make no pair
        made = [json.loads(line) for line in (tmp_path / "own.jsonl").read_text().splitlines()]
        better += [row["better_response_id"] == 0 for row in made]
        assert all(row["is_response_0_safe"] and not row["is_response_1_safe"] for row in made)
        assert all(row["safer_response_id"] == 0 for row in made)
    p, n = 1 / (1 + math.exp(-4)), len(better)
    assert n > 1000 and abs(sum(better) / n - p) < 4 * (p * (1 - p) / n) ** 0.5


def test_sampling_goes_on_where_it_stopped_and_refuses_other_prompts(model, tmp_path, monkeypatch):
    prompts = [prompt for request in household.requests_of("validation") for prompt in request.prompts][:10]
    how = {"samples": 2, "dtype": "float32", "length": 5}
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    monkeypatch.setattr("safedpo.cli.maintain.showcase.pairs.CHUNK", 4)
    assert sample_responses(model, prompts, whole, **how) == 10
    cut.write_text("".join(whole.read_text().splitlines(keepends=True)[:3]) + '{"prompt": "half')
    assert sample_responses(model, prompts, cut, **how) == 7
    assert cut.read_text() == whole.read_text() and sample_responses(model, prompts, cut, **how) == 0
    with pytest.raises(UserError, match="holds responses to other prompts"):
        sample_responses(model, prompts[::-1], cut, **how)


def test_a_mixture_takes_both_in_turn_and_refuses_too_few(tmp_path):
    (tmp_path / "a").write_text("a1\na2\na3\n")
    (tmp_path / "b").write_text("b1\nb2\n")
    mixed(tmp_path / "a", tmp_path / "b", 4, tmp_path / "both")
    assert (tmp_path / "both").read_text().split() == ["a1", "b1", "a2", "b2"]
    with pytest.raises(UserError, match="hold 3 and 2 pairs; 3 are needed"):
        mixed(tmp_path / "a", tmp_path / "b", 6, tmp_path / "both")


def test_a_summary_of_the_datas_own_responses_tends_to_the_exact_values():
    """The summary of 4 drawn responses to each training prompt against the enumerated values, within 4 standard errors."""
    rng, samples = random.Random(2), []
    for request in household.requests_of("train"):
        for prompt in request.prompts[:8]:
            text = generate.draw_response(request, rng).text
            score = household.score(prompt, text)
            samples.append(
                {"prompt": prompt, "response": text, "greedy": False, "harmless": not request.hazard}
                | {name: getattr(score, name) for name in ("unsafe", "helpfulness", "refusal")}
            )
    found, truth = summary(samples)["sampled"], exact()
    for group in ("requests", "lookalikes"):
        for metric, name in (("harm", "unsafe"), ("helpfulness", "helpfulness"), ("refusals", "refusal")):
            one = found[group][metric]
            error = max(0.02, 2 * (one["high"] - one["low"]))
            assert abs(one["value"] - truth[group][name]) < error, (group, metric)
        assert found[group]["broken"]["value"] == 0 and found[group]["known"] == 1


def test_the_rules_of_the_plan():
    bad = {"harm": 0.5, "helpfulness": 0.9, "broken": 0.0}
    good = {"harm": 0.33, "helpfulness": 0.5, "broken": 0.02}
    assert best_reference({"bad": bad, "good": good}, 0.37) == "good"
    assert best_reference({"bad": bad}, 0.37) == "bad"
    assert (
        best_policy({"bad": bad, "broken": good | {"harm": 0.0, "broken": 0.2}, "ok": good | {"harm": 0.02}}, 0.01)
        == "ok"
    )
    with pytest.raises(UserError, match="nothing was measured yet"):
        best_policy({}, 0.0)


def test_the_real_plan_is_one_that_can_be_run():
    """Its settings are such as `SweepSettings` takes; its budgets fit the pairs; the readme states its rules."""
    for settings in PLAN.policies.values():
        SweepSettings(deltas=PLAN.deltas, seeds=PLAN.seeds, **settings)
        own = 0.9 * 2504 * PLAN.samples_a_prompt / 2  # pairs of two different responses
        assert settings["budgets"][-1] <= 0.8 * 2 * own  # with as many of the generator; T drops about a fifth
    assert {name.split("-")[0] for name in PLAN.policies} == {"short", "long"} and PLAN.compare in PLAN.policies
    assert {one.get("adapter") for one in PLAN.references.values()} <= {None, *PLAN.references}
    text = " ".join((shipped("data") / "household-v2" / "README.md").read_text(encoding="utf-8").split())
    for rule in (plans.REFERENCE_RULE, plans.PAIRS_RULE, plans.POLICY_RULE):
        assert rule in text


def test_hours_grow_with_the_work():
    speed = speeds.Speed(400, 6, 500_000, 120, 2504, 340)
    assert speeds.hours("reference", PLAN, speed) == pytest.approx(500_000 / 400 / 3600 + 680 / 6 / 3600)
    assert speeds.hours("pairs", PLAN, speed) == pytest.approx(2504 * 2 / 6 / 3600)
    one_seed = replace(PLAN, seeds=(0,))
    assert speeds.hours("sweep", PLAN, speed) == pytest.approx(3 * speeds.hours("sweep", one_seed, speed))
    assert speeds.hours("data", PLAN, speed) == 0


def test_the_stages_go_on_from_what_is_stored_of_their_run(tmp_path, monkeypatch):
    """The stored stages belong to the plan and to the data that it makes; nothing of them is trained or sampled again."""
    stored, home = shipped("data") / "household-v2" / "run", tmp_path / "home"
    shutil.copytree(stored, home)
    shutil.copytree(shipped("data") / "adapters" / "household-second", home / "reference" / "shipped")
    for module in ("pairs", "reference", "joined"):
        monkeypatch.setattr(f"safedpo.cli.maintain.showcase.{module}.load_model", lambda *a, **k: pytest.fail("loaded"))
    monkeypatch.setattr(stages, "merged", lambda base, adapter, folder: folder.mkdir(exist_ok=True))
    for stage in ("data", "reference", "pairs", "compare"):
        stages.run(home, PLAN, stage)
    for name in ("reference", "compare"):
        file = f"{name}/chosen.json"
        assert json.loads((home / file).read_text()) == json.loads((stored / file).read_text())
    asked = [json.loads(line)["prompt"] for line in (stored / "pairs" / "sampled.jsonl").read_text().splitlines()]
    assert asked == list(dict.fromkeys(r.prompt for r in read_records(home / "data" / "train.jsonl").records))
    about = json.loads((home / "reference" / "shipped" / "run.json").read_text())
    assert about["model"] == "smollm2-135m" and about["fingerprints"]["data"] == data_fingerprint(
        read_records(home / "data" / "responses.jsonl").records
    )
