"""`safedpo reproduce`: the plan starts nothing; every joint runs, is interrupted and continues; mistakes are one message."""

import json
import os
from pathlib import Path

import pytest

from safedpo.evaluate.paper.reproduce import run as running
from safedpo.evaluate.paper.reproduce.tiers import TIERS
from safedpo.lm.training import run as training
from safedpo.records import as_row, read_records
from tests.cli.command import safedpo  # noqa: F401  (fixture)
from tests.cli.test_cli import mistake  # noqa: F401  (fixture)
from tests.evaluate.paper.reproduce.made import stand_ins
from tests.sparing import slow_but
from tests.stop_at import StopAt

CAPS = ("--max-steps", 3, "--limit", 6, "--max-new-tokens", 6)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SAFEDPO_CACHE", str(tmp_path / "cache"))


def options(given: dict) -> list[str]:
    return [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", value)]


@pytest.mark.parametrize("tier", slow_but(["24gb"], list(TIERS)))
def test_the_plan_names_every_command_and_starts_nothing(safedpo, tmp_path, tier):  # noqa: F811
    code, out, err = safedpo("reproduce", "--tier", tier, "--output-dir", tmp_path / "r", "--json", tmp_path / "p.json")
    assert code == 0 and not err and "Nothing was started" in out and not (tmp_path / "r").exists()
    stages = json.loads((tmp_path / "p.json").read_text())["stages"]
    for stage in stages:
        assert not stage["command"] or stage["command"] in out
        assert stage["costs"] and all(cost in out for cost in stage["costs"])
    assert "--split test --revision main" in out and ("safedpo merge" in out) == (tier != "paper")


@pytest.mark.slow
def test_every_joint_on_real_rows_interrupted_and_continued(safedpo, tmp_path, monkeypatch, capsys):  # noqa: F811
    """Each training is interrupted, then scoring between its two models; the fourth start finishes, a fifth does nothing."""
    folder = os.environ.get("SAFEDPO_REAL_DATA")
    if not folder:
        pytest.skip("SAFEDPO_REAL_DATA does not name a folder with PKU-SafeRLHF samples")
    given = stand_ins(tmp_path, list(read_records(Path(folder) / "pku_saferlhf_500.jsonl").records))
    target = tmp_path / "r"
    command = ["reproduce", "--tier", "t4", "--output-dir", target, *options(given), *CAPS]
    command += ["--judge", given["model"]]  # a bad judge, which answers out of format: the joint is what is tried
    assert safedpo(*command)[0] == 0 and not target.exists()
    whole = training._logged
    monkeypatch.setattr(training, "_logged", lambda config, more: [*whole(config, more), StopAt(2)])
    assert safedpo(*command, "--run")[0] == 130
    assert (target / "data" / "train.jsonl").exists() and not (target / "sft" / "adapter_config.json").exists()
    monkeypatch.setattr(training, "_logged", whole)

    from safedpo.evaluate.scorers import saved

    def no_cost(source, **how):
        if str(source) == given["cost_model"]:
            raise KeyboardInterrupt
        return load(source, **how)

    load = saved.load_score_model
    monkeypatch.setattr(saved, "load_score_model", no_cost)
    code, out, _ = safedpo(*command, "--run")
    assert code == 130 and "supervised fine-tuning" in out and "data: train" not in out
    rows = [json.loads(line) for line in (target / "evaluation/safedpo/samples-policy.jsonl").read_text().splitlines()]
    assert len(rows) == 6 and all("reward" in row and "cost" not in row for row in rows)
    monkeypatch.setattr(saved, "load_score_model", load)
    before = (target / "safedpo" / "run.json").stat().st_mtime_ns
    code, out, err = safedpo(*command, "--run", "--json", tmp_path / "o.json")
    assert code == 0, err
    assert "SafeDPO\n" not in out and (target / "safedpo" / "run.json").stat().st_mtime_ns == before
    assert (target / "judge-safedpo.json").exists() and "out of format" in out
    check_outcome(json.loads((tmp_path / "o.json").read_text()), target)
    code, again, _ = safedpo(*command, "--run")
    assert code == 0 and " of " not in again.partition("| method")[0]
    assert out.endswith(again)
    assert "[to do]" not in safedpo(*command)[1]


def check_outcome(found: list[dict], target: Path) -> None:
    """The table against the scores in the samples, by hand."""
    value = {(row["method"], row["metric"]): row["value"] for row in found}
    assert value["SFT", "helpfulness"] == 0 and value["DPO-HELPFUL", "helpfulness"] == pytest.approx(10)
    samples = {}
    for name, who in (("safedpo", "policy"), ("dpo-helpful", "policy"), ("safedpo", "reference")):
        lines = (target / "evaluation" / name / f"samples-{who}.jsonl").read_text().splitlines()
        samples[name, who] = [json.loads(line) for line in lines]
    mean = {key: sum(row["reward"] for row in rows) / len(rows) for key, rows in samples.items()}
    zero, ten = mean["safedpo", "reference"], mean["dpo-helpful", "policy"]
    assert value["SafeDPO", "helpfulness"] == pytest.approx(10 * (mean["safedpo", "policy"] - zero) / (ten - zero))
    costs = [row["cost"] for row in samples["safedpo", "policy"]]
    assert value["SafeDPO", "harmlessness"] == pytest.approx(-sum(costs) / len(costs))
    assert value["SafeDPO", "harmless ratio"] == pytest.approx(100 * sum(cost <= 0 for cost in costs) / len(costs))


def test_mistakes_of_reproduce_are_one_message(mistake, tmp_path, monkeypatch):  # noqa: F811
    target = ("--output-dir", tmp_path / "r")
    assert "no tier '8gb'; there are t4, 24gb, 80gb, paper" in mistake("reproduce", "--tier", "8gb", *target)
    assert "--data mine.jsonl is a file; name a file of held-out" in mistake(
        "reproduce", "--tier", "t4", "--data", "mine.jsonl", *target
    )
    assert "leave --test out" in mistake("reproduce", "--tier", "t4", "--test", "t.jsonl", *target)
    assert "leave --revision out" in mistake(
        "reproduce", "--tier", "t4", "--data", "a.jsonl", "--test", "t.jsonl", "--revision", "r", *target
    )
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", _unreachable)
    assert "the hub did not answer for the data set PKU-Alignment/PKU-SafeRLHF-30K, revision main: no route" in mistake(
        "reproduce", "--tier", "t4", "--run", *target
    )
    assert not (tmp_path / "r").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    assert "holds no plan.json (found thesis.txt)" in mistake(
        "reproduce", "--tier", "t4", "--output-dir", tmp_path / "full", "--run"
    )


def _unreachable(*args, **named):
    raise ConnectionError("no route to the host\nand more")


def test_a_folder_of_another_plan_is_refused_with_what_differs(mistake, safedpo, tmp_path, records):  # noqa: F811
    given = stand_ins(tmp_path, records)
    command = ["reproduce", "--tier", "t4", "--output-dir", tmp_path / "r", *options(given)]
    running.write_json(tmp_path / "r.json", {})
    (tmp_path / "r").mkdir()
    asked = running.Asked("t4", **given, limit=3)
    running.write_json(tmp_path / "r" / "plan.json", running.asdict(asked), seal=True)
    for more in ((), ("--run",)):
        assert "holds another plan (limit 3, not None); give another output_dir" in mistake(*command, *more)
    assert safedpo(*command, "--limit", "3")[0] == 0
    file = tmp_path / "r" / "plan.json"
    file.write_text(file.read_text().replace('"limit": 3', '"limit": 4'))
    assert "plan.json is damaged" in mistake(*command, "--limit", "4")


def test_data_saves_the_usable_rows_as_they_are_read(safedpo, mistake, tmp_path, records):  # noqa: F811
    source, target = tmp_path / "pairs.jsonl", tmp_path / "saved.jsonl"
    rows = [json.dumps(as_row(record)) for record in records]
    source.write_text("\n".join([*rows[:3], '{"prompt": "only"}', *rows[3:]]) + "\n")
    assert safedpo("data", source, "--save", target)[0] == 2 and not target.exists()
    code, out, _ = safedpo("data", source, "--skip-bad-rows", "--save", target)
    assert code == 0 and f"24 rows are in {target}" in out
    assert [as_row(one) for one in read_records(target).records] == [as_row(one) for one in records]
    assert "name a file that ends in .jsonl" in mistake("data", source, "--save", tmp_path / "saved.csv")


def test_merge_and_score_on_the_command_line(safedpo, mistake, tmp_path):  # noqa: F811
    assert "holds no LoRA adapter" in mistake("merge", tmp_path, "--out", tmp_path / "m")
    (tmp_path / "evaluation.json").write_text('{"policy": {}, "settings": {"scorer": "household"}}')
    assert "another judge" in mistake("score", tmp_path, "--cost-model", "c")
    assert "leave --data out" in mistake("score", tmp_path, "--cost-model", "c", "--data", "d.csv")
