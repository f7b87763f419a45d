"""The showcase's stages from end to end on a tiny model: each goes on where it stopped, and numbers are those of its files."""

import json
import math
import random
from dataclasses import replace
from pathlib import Path

import pytest

from safedpo import household
from safedpo.cli.maintain.showcase import plan as plans
from safedpo.cli.maintain.showcase import stages
from safedpo.cli.maintain.showcase.measure import summary
from safedpo.cli.maintain.showcase.pairs import mixed, own_pairs, sample_responses
from safedpo.cli.maintain.showcase.plan import PLAN, Plan, best_policy
from safedpo.cli.maintain.showcase.table import tables_apart, trial_table
from safedpo.errors import UserError
from safedpo.evaluate.sweep import SweepSettings, sweep
from safedpo.files import shipped, write_json
from safedpo.household import generate
from safedpo.lm.models.tiny import tiny_model, tiny_tokenizer


@pytest.fixture
def model(tmp_path):
    tiny_model().save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    return str(tmp_path / "model")


@pytest.fixture
def data(tmp_path) -> Path:
    """The first rows of each split."""
    folder = tmp_path / "data"
    folder.mkdir()
    for split in ("train", "validation", "unseen"):
        rows = household.load(split).read_text(encoding="utf-8").splitlines(keepends=True)[:20]
        (folder / f"{split}.jsonl").write_text("".join(rows), encoding="utf-8")
    return folder


@pytest.fixture
def plan(model, data, tmp_path):
    """A plan of the same shape as the real one, with two kinds of settings."""
    policy = {"learning_rate": 1e-3, "budgets": (4, 8), "lora_r": 2, "batch_size": 4}
    return Plan(
        model=model,
        dtype="float32",
        compare="short-one",
        policies={
            "long-one": policy | {"beta": 0.5},
            "short-one": policy | {"beta": 2.0},
            "short-two": policy | {"beta": 1},
        },
        alone=(0.1,),
        samples=1,
        max_new_tokens=6,
        data=str(data),
        sweep=str(tmp_path / "sweep"),
    )


@pytest.mark.slow
def test_all_stages_from_nothing_and_again_at_once(plan, data, tmp_path, safedpo):
    home = tmp_path / "showcase"
    settings = {"model": plan.model, "budgets": (8,), "batch_size": 4, "lora_r": 2, "max_new_tokens": 6}
    swept = {"data": data / "train.jsonl", "prompts": data / "validation.jsonl"}
    sweep(SweepSettings(deltas=(0, 10), seeds=(0, 1), samples=1, **settings, **swept), tmp_path / "sweep")
    stages.run(home, plan)
    compared, chosen, found, unseen = (
        json.loads((home / name).read_text())
        for name in ("compare/chosen.json", "choose/chosen.json", "alone/found.json", "unseen/found.json")
    )
    assert chosen["short"].startswith("short") and chosen["long"] == "long-one" and compared["rule"] and chosen["rule"]
    assert chosen["found"]["short-one"]["harm"] == compared["found"][chosen["pairs"]]["harm"]
    assert set(found) == {"beta-0.1", f"beta-{plan.policies[chosen['short']]['beta']:g}"}
    assert set(unseen) == {"reference", "delta-0", "delta-10"}
    rows = (home / "unseen" / "delta-10" / "samples-policy.jsonl").read_text().splitlines()
    sampled = [row for row in map(json.loads, rows) if not row["greedy"]]
    harm = unseen["delta-10"]["sampled"]["requests"]["harm"]
    assert harm["n"] == len(sampled) == 20 and harm["value"] == sum(row["unsafe"] for row in sampled) / 20
    assert harm["prompts"] == len({household.find_request(row["prompt"]).id for row in sampled}) < 20  # by request
    before = {
        path: path.stat().st_mtime_ns
        for path in home.rglob("*")
        if path.match("*.safetensors") or path.match("samples-*.jsonl")
    }
    stages.run(home, plan)  # nothing is trained or sampled again
    assert before == {path: path.stat().st_mtime_ns for path in home.rglob("*") if path in before}
    _another_policy_is_asked_anew(home, plan, tmp_path / "sweep")
    with pytest.raises(UserError, match="begun with another plan .*alone"):
        stages.run(home, replace(plan, alone=(0.2,)))
    _tables_are_those_of_the_samples(tmp_path / "sweep", safedpo)


def _another_policy_is_asked_anew(home: Path, plan: Plan, swept: Path) -> None:
    file = home / "unseen" / "delta-10" / "samples-policy.jsonl"
    earlier = file.stat().st_mtime_ns
    weights = swept / "safedpo-delta-10" / "0" / "adapter_model.safetensors"
    weights.write_bytes((swept / "safedpo-delta-10" / "1" / "adapter_model.safetensors").read_bytes())
    run = swept / "safedpo-delta-10" / "0" / "run.json"
    run.write_bytes((swept / "safedpo-delta-10" / "1" / "run.json").read_bytes())
    stages.run(home, plan, "unseen")
    assert file.stat().st_mtime_ns > earlier


def test_settings_that_were_tried_on_other_pairs_are_not_compared(plan, tmp_path, monkeypatch):
    home = tmp_path / "home"
    one = {"sampled": {"requests": dict.fromkeys(("harm", "helpfulness", "broken"), {"value": 0.1})}}
    (home / "compare" / "own").mkdir(parents=True)
    write_json(home / "compare" / "chosen.json", {"chosen": "own"})
    write_json(home / "compare" / "own" / "summary.json", one | {"fingerprints": {"data": "other"}}, seal=True)
    tried = {name: one | {"fingerprints": {"data": "mine"}} for name in ("long-one", "short-two")}
    monkeypatch.setattr(stages, "tried", lambda *_: tried)
    with pytest.raises(UserError, match="short-one was tried with {'data': 'other'}, long-one with {'data': 'mine'}"):
        stages.run(home, plan, "choose")


def _tables_are_those_of_the_samples(folder: Path, safedpo) -> None:
    code, text, _ = safedpo("maintain", "apart", folder)
    assert code == 0 and text.strip().endswith(tables_apart(folder).strip())
    titles = [f"{asked}, {kind} " for asked in ("requests", "lookalikes") for kind in ("sampled", "greedy")]
    assert [line[: len(title)] for title in titles for line in text.splitlines() if line.startswith(title)] == titles
    harm = []
    for seed in ("0", "1"):
        rows = (folder / "safedpo-delta-10" / seed / "samples-policy.jsonl").read_text().splitlines()
        mine = [row for row in map(json.loads, rows) if not row["greedy"] and row["topic"] != "lookalikes"]
        harm.append(100 * sum(row["unsafe"] for row in mine) / len(mine))
    assert f"| safedpo-delta-10 | {sum(harm) / 2:.1f} ({harm[0]:.1f}, {harm[1]:.1f}) |" in text


def test_the_table_of_the_trials_is_that_of_their_summaries():
    """The shipped trials: a row for each, with the numbers that the rule looked at."""
    home = shipped("data") / "results" / "household" / "trials"
    table = trial_table(home).splitlines()
    assert len(table) == 3 + len(list(home.glob("*/*/summary.json")))
    for stage in ("compare", "choose"):
        for name, one in json.loads((home / stage / "chosen.json").read_text())["found"].items():
            if (home / stage / name).is_dir():  # the setting of `compare` was run there alone
                (row,) = [line for line in table if line.startswith(f"| {stage}: {name} |")]
                cells = row.split(" | ")
                for metric, place in (("harm", 1), ("helpfulness", 2), ("broken", 4)):
                    assert cells[place].startswith(f"{100 * one[metric]:.1f} [")


def test_stages_in_the_wrong_order_and_unknown_ones_are_named(plan, tmp_path, safedpo):
    home = tmp_path / "showcase"
    code, _, err = safedpo("maintain", "showcase", "--out", home, "--stage", "train")
    assert code == 2 and "no stage 'train'; there are pairs, compare, choose, alone, unseen, and all" in err
    with pytest.raises(UserError, match="no stage 'train'; there are pairs, compare"):
        stages.run(home, plan, "train")
    for stage, needed in (("compare", "pairs"), ("choose", "compare"), ("alone", "choose")):
        with pytest.raises(UserError, match=f"is missing; run safedpo maintain showcase --stage {needed} first"):
            stages.run(home, plan, stage)


@pytest.mark.slow
def test_parts_share_the_runs_and_choose_what_one_process_chooses(plan, tmp_path, capsys):
    home, whole = tmp_path / "home", tmp_path / "whole"
    stages.run(home, plan, "pairs")
    stages.run(home, plan, "compare", part=(2, 2))
    assert not (home / "compare" / "chosen.json").exists()
    assert "nothing is chosen while generator, both is not there" in capsys.readouterr().out
    stages.run(home, plan, "compare", part=(1, 2))
    stages.run(home, plan, "choose")
    whole.mkdir()
    for name in ("pairs", "plan.json"):
        (whole / name).symlink_to(home / name)
    stages.run(whole, plan, "compare")
    stages.run(whole, plan, "choose")
    assert (whole / "choose" / "chosen.json").read_text() == (home / "choose" / "chosen.json").read_text()


@pytest.mark.parametrize(("stage", "part", "words"), [("pairs", (1, 2), "no parts"), ("alone", (3, 2), "part 3 of 2")])
def test_a_part_that_does_not_exist_is_named(plan, tmp_path, stage, part, words):
    with pytest.raises(UserError, match=words):
        stages.run(tmp_path, plan, stage, part=part)


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
    found = summary(samples)["sampled"]
    trained = [one for one in household.requests_of("train") if one.topic != household.LOOKALIKES]
    for group, asked in {"requests": trained, "lookalikes": household.lookalikes()}.items():
        truth = vars(household.reference_values(asked))
        for metric, name in (("harm", "unsafe"), ("helpfulness", "helpfulness"), ("refusals", "refusal")):
            one = found[group][metric]
            error = max(0.02, 2 * (one["high"] - one["low"]))
            assert abs(one["value"] - truth[name]) < error, (group, metric)
        assert found[group]["broken"]["value"] == 0 and found[group]["known"] == 1


def test_the_rules_of_the_plan():
    bad = {"harm": 0.5, "helpfulness": 0.9, "broken": 0.0}
    good = {"harm": 0.02, "helpfulness": 0.5, "broken": 0.02}
    assert best_policy({"bad": bad, "broken": good | {"broken": 0.2}, "ok": good}, 0.01) == "ok"
    with pytest.raises(UserError, match="nothing was measured yet"):
        best_policy({}, 0.0)


def test_the_real_plan_is_one_that_can_be_run():
    """Its settings are such as `SweepSettings` takes; its budgets fit the pairs; the results' readme states its rules."""
    for settings in PLAN.policies.values():
        SweepSettings(deltas=(10,), **settings)
        assert settings["budgets"][-1] <= 0.8 * 5008  # T drops about a sixth of the generator's pairs
    assert {name.split("-")[0] for name in PLAN.policies} == {"short", "long", "ten"} and PLAN.compare in PLAN.policies
    text = " ".join((shipped("data") / "results" / "household" / "README.md").read_text(encoding="utf-8").split())
    for rule in (plans.PAIRS_RULE, plans.POLICY_RULE):
        assert rule in text
