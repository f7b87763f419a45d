"""A sweep on a tiny model: its runs are those of train(), its points those of evaluate(), and it survives interruption."""

import inspect
import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from safedpo import household
from safedpo.cli.evaluating import evaluate as evaluate_command
from safedpo.cli.sweeps import sweep as command
from safedpo.errors import UserError
from safedpo.evaluate.generation import Decoding
from safedpo.evaluate.report import evaluate
from safedpo.evaluate.sweep import SweepSettings, sweep
from safedpo.evaluate.sweep import folder as sweep_folder
from safedpo.evaluate.sweep import run as module
from safedpo.evaluate.sweep.points import adapter_on, in_float32, log_ratios, shown
from safedpo.evaluate.table import read_rows
from safedpo.files import exclusive, read_json, shipped
from safedpo.lm.models.adapters import add_lora
from safedpo.lm.models.fingerprint import weights_fingerprint
from safedpo.lm.models.load import load_model
from safedpo.lm.models.tiny import tiny_model, tiny_tokenizer
from safedpo.lm.training.recipes import RECIPES
from safedpo.lm.training.run import train
from safedpo.records import read_records
from tests.edited import edited
from tests.sparing import slow_but
from tests.stop_at import StopAt


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SAFEDPO_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def model(tmp_path):
    """A tiny model in a folder, in bfloat16 as on disk."""
    tiny_model(dtype=torch.bfloat16).save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    return str(tmp_path / "model")


def write(path: Path, rows) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def row(prompt: str, i: int) -> dict:
    """SS, SU and US in turn, and one UU in eight."""
    safe = (False, False) if i % 8 == 7 else [(True, True), (True, False), (False, True)][i % 3]
    return {
        "prompt": prompt,
        "response_0": f"yes {i} " * 2,
        "response_1": f"no {i} " * 3,
        "is_response_0_safe": safe[0],
        "is_response_1_safe": safe[1],
        "better_response_id": 0,
        "safer_response_id": int(not safe[0]),
    }


@pytest.fixture
def data(tmp_path):
    return write(tmp_path / "train.jsonl", [row(f"question {i}" + "?" * (i % 5), i) for i in range(24)])


@pytest.fixture
def prompts(tmp_path):
    known = [request.prompts[-1] for request in household.requests()[:3]]
    return write(tmp_path / "test.jsonl", [row(prompt, i) for i, prompt in enumerate(known)])


@pytest.fixture
def settings(model, data, prompts):
    def make(**changes):
        return SweepSettings(
            **{
                "deltas": (0.0, 10.0),
                "rules": ("safedpo",),
                "seeds": (0,),
                "model": model,
                "data": data,
                "prompts": prompts,
                "budgets": (4, 12),
                "batch_size": 4,
                "learning_rate": 0.05,
                "beta": 0.1,
                "samples": 2,
                "max_new_tokens": 6,
                "dtype": "bfloat16",
            }
            | changes
        )

    return make


def same(a: Path, b: Path) -> bool:
    a, b = (load_file(folder / "adapter_model.safetensors") for folder in (a, b))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_runs_are_those_of_train_and_points_those_of_evaluate(settings, model, data, prompts, tmp_path):
    found = sweep(settings(rules=("safedpo", "helpful")), tmp_path / "sweep", command="safedpo sweep ...")
    assert read_json(tmp_path / "sweep" / "sweep.json") == found
    assert [(run["rule"], run["delta"], run["seed"]) for run in found["runs"]] == [
        ("safedpo", 0.0, 0),
        ("safedpo", 10.0, 0),
        ("helpful", 0.0, 0),
        ("helpful", 10.0, 0),
    ]
    assert found["commands"] == ["safedpo sweep ..."]
    common = {
        "beta": 0.1,
        "learning_rate": 0.05,
        "batch_size": 4,
        "dtype": "bfloat16",
        "max_pairs": 12,
        "max_grad_norm": 100.0,
        "disable_tqdm": True,
    }
    for name, how in {
        "safedpo-delta-10": {"delta": 10.0},
        "dpo-helpful": {"loss": "dpo", "rule": "helpful"},
        "helpful-delta-10": {"delta": 10.0, "rule": "helpful"},
    }.items():
        alone = train(model, data, tmp_path / "alone" / name, **how, **common)
        assert same(alone.folder, tmp_path / "sweep" / name / "0")
    folder = tmp_path / "sweep" / "safedpo-delta-10" / "0"
    alone = evaluate(folder, prompts, decoding=Decoding(samples=2, max_new_tokens=6), dtype="bfloat16", progress=False)
    last = found["runs"][1]["points"][-1]
    for metric in ("harm", "helpfulness", "over_refusal", "broken"):
        assert last[metric] == alone.policy.metrics[metric].to_json()
        assert found["reference"][metric] == alone.reference.metrics[metric].to_json()
    greedy = [sample.response for sample in alone.policy.samples if sample.greedy]
    assert [said["greedy"] for said in last["responses"]] == greedy


def test_an_earlier_budget_is_the_adapter_after_so_many_pairs(settings, model, data, tmp_path):
    found = sweep(settings(deltas=(10.0,)), tmp_path / "sweep")
    early, last = found["runs"][0]["points"]
    assert (early["pairs"], last["pairs"]) == (4, 12)
    assert (early["harm"]["n"], last["harm"]["n"]) == (3, 6)  # 3 prompts, 1 and 2 samples
    folder = tmp_path / "sweep" / "safedpo-delta-10" / "0"
    assert not list(folder.glob("checkpoint-*")) and not (folder / "pairs-12").exists()
    stopped = {"save_steps": 1, "callbacks": [StopAt(2)], "dtype": "bfloat16", "disable_tqdm": True}
    with pytest.raises(KeyboardInterrupt):
        train(model, data, tmp_path / "alone", max_pairs=12, batch_size=4, learning_rate=0.05, **stopped)
    assert same(folder / "pairs-4", tmp_path / "alone" / "checkpoint-1")  # a step is 4 pairs
    assert not same(folder / "pairs-4", folder)


def test_log_ratios_sum_to_the_log_ratio_of_the_whole_response(settings, model, tmp_path):
    found = sweep(settings(deltas=(10.0,)), tmp_path / "sweep")
    base = load_model(model, dtype="bfloat16").model.float()
    policy = load_model(model, dtype="bfloat16", adapter=tmp_path / "sweep/safedpo-delta-10/0").model.float()
    tokenizer = tiny_tokenizer()
    for said in found["runs"][0]["points"][-1]["responses"]:
        turns = [{"role": "user", "content": said["prompt"]}]
        before = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        start = len(tokenizer(before, add_special_tokens=False)["input_ids"])
        ids = tokenizer(before + said["greedy"], add_special_tokens=False)["input_ids"]
        ids = [*ids, tokenizer.eos_token_id][: start + 6]  # at most max_new_tokens, with the EOS where it fits
        with torch.no_grad():
            gap = [
                m(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)[range(len(ids) - 1), ids[1:]][start - 1 :].sum()
                for m in (policy, base)
            ]
        assert sum(said["log_ratios"]) == pytest.approx(float(gap[0] - gap[1]), abs=2e-3)
        assert len(said["tokens"]) == len(said["log_ratios"]) == len(ids) - start <= 6
    assert any(abs(sum(said["log_ratios"])) > 0.01 for said in found["runs"][0]["points"][-1]["responses"])


def test_the_base_comes_back_bitwise(model, settings, tmp_path):
    sweep(settings(deltas=(10.0,)), tmp_path / "sweep")
    loaded = load_model(model, dtype="bfloat16")
    before = {name: tensor.clone() for name, tensor in loaded.model.state_dict().items()}
    with adapter_on(loaded, tmp_path / "sweep" / "safedpo-delta-10" / "0") as policy:
        assert weights_fingerprint(policy.model) == loaded.fingerprint
        with in_float32(policy.model):
            assert next(policy.model.parameters()).dtype == torch.float32
    after = loaded.model.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert all(after[name].dtype == torch.bfloat16 for name in after)


def test_a_text_that_spells_a_special_token_has_no_log_ratios(model):
    loaded = load_model(model, dtype="float32")
    policy = module.LoadedModel(add_lora(loaded.model), *list(vars(loaded).values())[1:])
    assert log_ratios(policy, "hi", "so </s> so", 20) == ([], [])
    assert log_ratios(policy, "hi", "so", 20) == (["s", "o", "</s>"], [0.0, 0.0, 0.0])
    assert log_ratios(policy, "hi", "so", 2)[0] == ["s", "o"]


class Stop(Exception):
    pass


@pytest.mark.parametrize("where", slow_but(["training"], ["training", "measuring"]))
def test_an_interrupted_sweep_goes_on_to_the_same_result(settings, tmp_path, monkeypatch, where):
    whole = sweep(settings(), tmp_path / "whole")
    with monkeypatch.context() as patch:
        calls = []
        if where == "training":
            real = module.KeepAdapters.on_step_end

            def at_step_5(self, args, state, control, **kwargs):
                calls.append(state.global_step)
                real(self, args, state, control, **kwargs)
                if len(calls) == 5:
                    raise Stop

            patch.setattr(module.KeepAdapters, "on_step_end", at_step_5)
        else:
            patch.setattr(module, "measure_last", lambda *given: (_ for _ in ()).throw(Stop))
        with pytest.raises(Stop):
            sweep(settings(), tmp_path / "cut")
    trained = []
    real_train = module.train
    monkeypatch.setattr(
        module, "train", lambda *given, **named: trained.append(given[2]) or real_train(*given, **named)
    )
    again = sweep(settings(), tmp_path / "cut")
    assert again["runs"] == whole["runs"] and again["reference"] == whole["reference"]
    assert len(trained) == 1  # the other run was trained before the interruption
    for run in ("safedpo-delta-0", "safedpo-delta-10"):
        assert same(tmp_path / "whole" / run / "0", tmp_path / "cut" / run / "0")
        assert same(tmp_path / "whole" / run / "0" / "pairs-4", tmp_path / "cut" / run / "0" / "pairs-4")
    trained.clear()
    sweep(settings(), tmp_path / "cut")
    assert not trained


@pytest.mark.slow
def test_more_deltas_and_seeds_join_the_same_folder_and_the_reference_is_sampled_once(settings, tmp_path, monkeypatch):
    from safedpo.evaluate import report

    calls = []
    real = report.generate
    monkeypatch.setattr(
        report, "generate", lambda model, *given, **named: calls.append(1) or real(model, *given, **named)
    )
    sweep(settings(deltas=(0.0,)), tmp_path / "sweep", command="first")
    found = sweep(settings(deltas=(10.0,), seeds=(0, 3), dtype="auto"), tmp_path / "sweep", command="second")
    assert len(calls) == 3 + 1  # three policies, one reference
    assert [(run["delta"], run["seed"]) for run in found["runs"]] == [(0.0, 0), (10.0, 0), (10.0, 3)]
    assert found["commands"] == ["first", "second"]
    rows = {line.name: line for line in read_rows(tmp_path / "sweep")}
    assert list(rows) == ["reference", "safedpo-delta-0", "safedpo-delta-10"]
    assert rows["safedpo-delta-10"].seeds == ("0", "3") and len(rows["reference"].seeds) == 1


def test_a_run_that_another_process_finishes_meanwhile_is_not_lost(settings, tmp_path):
    """One process at a time puts sweep.json together: whoever comes later finds what the others finished."""
    sweep(settings(deltas=(0.0,)), tmp_path / "sweep")
    found = json.loads((tmp_path / "sweep" / "sweep.json").read_text())
    about = {k: v for k, v in found.items() if k not in ("commands", "reference", "runs")}
    with exclusive(tmp_path / "sweep"):
        late = threading.Thread(target=sweep_folder.assemble, args=(tmp_path / "sweep", about))
        late.start()
        other = tmp_path / "sweep" / "safedpo-delta-0" / "1"
        other.mkdir()
        shutil.copy(other.parent / "0" / "points.json", other)
        edited(other / "points.json", seed=1)
        assert late.is_alive()
    late.join(timeout=20)
    assert [run["seed"] for run in json.loads((tmp_path / "sweep" / "sweep.json").read_text())["runs"]] == [0, 1]


def test_processes_that_claim_one_folder_at_the_same_moment_all_succeed(tmp_path):
    about = {"settings": {"dtype": "float32"}, "fingerprints": {"reference": "a"}, "shown_prompts": []}
    for lap in range(5):
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda _, lap=lap: sweep_folder.claim_folder(tmp_path / str(lap), about), range(6)))
        other = about | {"settings": {"dtype": "bfloat16"}}
        with pytest.raises(UserError, match="another sweep"):
            sweep_folder.claim_folder(tmp_path / str(lap), other)


def test_two_deltas_that_would_share_a_folder_are_refused():
    with pytest.raises(UserError, match="would share a folder"):
        SweepSettings(deltas=(10.0, 10.0000001))


@pytest.mark.parametrize("text", ["[]", "{", '{"settings": []}', '{"settings": {"dtype": 1}, "fingerprints": {}}'])
def test_a_damaged_sweep_is_named(tmp_path, text):
    (tmp_path / "sweep.json").write_text(text)
    with pytest.raises(UserError, match=r"sweep\.json is damaged"):
        sweep_folder.read(tmp_path)


@pytest.mark.parametrize("text", ["[]", "{}", '{"rule": "safedpo", "delta": "x"}', "[" * 50_000])
def test_damaged_points_are_named_with_what_to_do(tmp_path, text):
    (tmp_path / "m" / "0").mkdir(parents=True)
    (tmp_path / "m" / "0" / "points.json").write_text(text)
    with pytest.raises(UserError, match=r"points\.json is damaged.*start the sweep again"):
        sweep_folder.assemble(tmp_path, {"shown_prompts": []})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"deltas": (0.0, -2.0)}, "delta is -2"),
        ({"deltas": (float("inf"),)}, "delta is inf"),
        ({"deltas": (5.0, 5.0)}, "each once"),
        ({"seeds": ()}, "at least one"),
        ({"seeds": (-1,)}, "seed is -1"),
        ({"rules": ("safe",)}, "rule is 'safe'; known rules are"),
        ({"budgets": (12, 4)}, "rising multiples"),
        ({"budgets": (6,)}, "rising multiples of the batch size 4"),
        ({"budgets": (0,)}, "rising multiples"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"beta": 0.0}, "beta is 0"),
        ({"samples": 0}, "samples is 0"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_read(settings, changes, message, tmp_path):
    with pytest.raises(UserError, match=message):
        settings(**changes)


def test_too_few_pairs_another_sweep_and_a_full_folder_are_refused(settings, tmp_path, prompts):
    with pytest.raises(UserError, match="leaves 21 pairs under the rule safedpo, fewer than the last budget 24"):
        sweep(settings(budgets=(24,)), tmp_path / "few")
    assert not (tmp_path / "few").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="is not empty and holds no sweep.json .found thesis.txt"):
        sweep(settings(), tmp_path / "full")
    sweep(settings(deltas=(0.0,), budgets=(4,)), tmp_path / "one")
    with pytest.raises(UserError, match="holds another sweep .*beta: there 0.1, here 0.2"):
        sweep(settings(deltas=(0.0,), budgets=(4,), beta=0.2), tmp_path / "one")
    (tmp_path / "one" / "sweep.json").write_text("{")
    with pytest.raises(UserError, match="sweep.json is damaged"):
        sweep(settings(deltas=(0.0,), budgets=(4,)), tmp_path / "one")
    with pytest.raises(UserError, match="no scorer for 24 of 24 prompts"):
        sweep(settings(prompts=settings().data), tmp_path / "unknown")


def test_the_shown_prompts_are_spread_evenly():
    assert shown([str(i) for i in range(135)])[:3] == ["0", "8", "16"] and len(shown("ab" * 8)) == 16


def test_the_defaults_of_command_and_settings_are_those_of_the_recipe():
    settings, recipe = SweepSettings(deltas=(10,)), RECIPES["household"]
    typed = {name: option.default for name, option in inspect.signature(command).parameters.items()}
    assert typed["budgets"] == ",".join(map(str, settings.budgets)) and settings.budgets[-1] > recipe["max_pairs"]
    stored = json.loads((shipped("data") / "results" / "household" / "sweep.json").read_text())["settings"]
    for name in (
        "budgets",
        "learning_rate",
        "beta",
        "lora_r",
        "batch_size",
    ):  # so the stored command makes the stored sweep
        assert stored[name] == (list(settings.budgets) if name == "budgets" else getattr(settings, name))
    assert stored["decoding"]["samples"] == settings.samples
    for name in ("model", "batch_size", "learning_rate", "beta", "lora_r", "samples", "max_new_tokens"):
        assert typed[name] == getattr(settings, name)
    assert all(getattr(settings, name) == value for name, value in recipe.items() if name != "max_pairs")
    evaluating = inspect.signature(evaluate_command).parameters
    assert evaluating["samples"].default == Decoding().samples


@pytest.mark.slow
def test_the_command_makes_the_folder_and_prints_the_table(safedpo, model, data, prompts, tmp_path):
    home = tmp_path / "sweep"
    typed = f"--deltas 0,10 --seeds 2 --budgets 4,8 --samples 1 --max-new-tokens 4 --dtype float32 --model {model} --data {data}"
    files = "--prompts", prompts, "--output-dir", home, "--json", tmp_path / "out.json"
    code, out, err = safedpo("sweep", *typed.split(), *files)
    assert code == 0, err
    assert "| safedpo-delta-10 | " in out and "4 runs; " in out
    found = read_json(home / "sweep.json")
    assert json.loads((tmp_path / "out.json").read_text()) == found
    assert found["commands"][0].startswith("safedpo sweep --deltas 0,10 --seeds 2")
    assert {(run["delta"], run["seed"]) for run in found["runs"]} == {(0, 0), (0, 1), (10, 0), (10, 1)}
    assert len(read_records(data).records) == 24 and found["settings"]["data"] == "train.jsonl"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--deltas", "0,two"], "--deltas is '0,two'; give numbers"),
        (["--deltas", "0,,2"], "--deltas is '0,,2'"),
        (["--deltas", "nan"], "delta is nan"),
        (["--deltas", "-1"], "delta is -1"),
        (["--deltas", "0", "--seeds", "1.5"], "--seeds is '1.5'; give whole numbers"),
        (["--deltas", "0", "--seeds", "0"], "--seeds is '0'"),
        (["--deltas", "0", "--rules", "T"], "rule is 'T'"),
        (["--deltas", "0", "--budgets", "10"], "rising multiples"),
    ],
)
def test_mistakes_get_one_message(safedpo, tmp_path, arguments, message):
    code, out, err = safedpo("sweep", "--output-dir", tmp_path / "sweep", *arguments)
    assert code == 2 and message in err and "Traceback" not in err + out
    assert not (tmp_path / "sweep").exists()
