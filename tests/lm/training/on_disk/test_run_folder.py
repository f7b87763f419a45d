"""A run's folder belongs to one run: who may go on in it, who is refused, and what a finished one holds."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from safedpo.errors import UserError
from safedpo.files import file_sha256
from safedpo.lm.models.adapters import add_lora
from safedpo.lm.models.tiny import tiny_model, tiny_tokenizer
from safedpo.lm.training.on_disk.about import versions
from safedpo.lm.training.on_disk.run_folder import claim_folder, dtype_of_run, finish, held, note, tidy

ABOUT = {
    "kind": "train",
    "model": "tiny",
    "data": "d",
    "dtype": "float32",
    "settings": {"beta": 0.1},
    "fingerprints": {"data": "1"},
}


@pytest.fixture
def config(tmp_path):
    (tmp_path / "run").mkdir()
    return SimpleNamespace(output_dir=str(tmp_path / "run"), should_save=True, world_size=1)


@pytest.fixture
def run(config):
    return SimpleNamespace(
        read=lambda: json.loads((folder_of(config) / "run.json").read_text()), folder=folder_of(config)
    )


def folder_of(config):
    return Path(config.output_dir)


def test_the_same_run_goes_on_and_finds_what_it_noted(config, run):
    assert claim_folder(config, ABOUT) == {}
    assert run.read()["status"] == "running" and run.read()["versions"] == versions()
    note(config, step_zero={"measured": 0.7})
    assert claim_folder(config, ABOUT)["step_zero"] == {"measured": 0.7}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"settings": {"beta": 0.2}}, "beta: there 0.1, here 0.2"),
        ({"fingerprints": {"data": "2"}}, "data: there '1', here '2'"),
        ({"kind": "sft"}, "kind: there 'train', here 'sft'"),
        ({"settings": {"beta": 0.1, "delta": 1.0}}, "delta: there None, here 1.0"),
    ],
)
def test_another_run_is_refused_by_what_differs(config, run, change, words):
    claim_folder(config, ABOUT)
    before = run.read()
    with pytest.raises(UserError, match=words):
        claim_folder(config, ABOUT | change)
    assert run.read() == before


def test_what_says_nothing_of_the_run_may_differ(config):
    claim_folder(config, ABOUT | {"dtype_reason": "as asked", "device": "cpu"})
    assert claim_folder(config, ABOUT | {"dtype_reason": "measured", "device": "cuda"})["device"] == "cpu"


def test_a_folder_with_other_files_and_a_finished_run_are_left_alone(config, run):
    (run.folder / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match=r"holds no run\.json \(found thesis\.txt\)"):
        claim_folder(config, ABOUT)
    (run.folder / "thesis.txt").unlink()
    claim_folder(config, ABOUT)
    note(config, status="finished")
    with pytest.raises(UserError, match="holds this very run, finished"):
        claim_folder(config, ABOUT)


def test_only_the_process_that_saves_writes(config, run):
    config.should_save = False
    assert claim_folder(config, ABOUT) == {}
    note(config, status="finished")
    with held(config):
        assert list(run.folder.iterdir()) == []


def test_a_second_run_is_refused_while_the_first_holds_the_folder(config):
    with held(config), pytest.raises(UserError, match="another program is at work"), held(config):
        pytest.fail("two runs in one folder")
    with held(config):
        pass  # free again


def test_a_full_disk_in_the_middle_says_what_is_kept(config):
    with pytest.raises(UserError, match=r"cannot write .*Nothing of this run is kept; start it again"), held(config):
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("full", [False, True])
def test_a_finished_folder_names_each_of_its_files_by_sha256(config, run, full):
    (run.folder / "log.jsonl").write_text("{}\n")
    (run.folder / "checkpoint-3").mkdir()
    model = tiny_model() if full else add_lora(tiny_model(), r=2)
    finish(model, tiny_tokenizer(), run.folder, ABOUT | {"metrics": {"loss": 1.0}})
    found = run.read()
    assert found["status"] == "finished" and found["metrics"] == {"loss": 1.0}
    there = {path.name for path in run.folder.iterdir()}
    assert {*found["files"], "run.json"} == there and not any("checkpoint" in name for name in there)
    assert all(file_sha256(run.folder / name) == sha for name, sha in found["files"].items())
    weights = "model.safetensors" if full else "adapter_model.safetensors"
    assert weights in there and ("tokenizer.json" in there) == full
    assert all(torch.isfinite(tensor).all() for tensor in load_file(run.folder / weights).values())


def test_tidying_removes_what_only_a_run_on_its_way_needs(run):
    for name in ("checkpoint-1", "unrelated"):
        (run.folder / name).mkdir()
    (run.folder / ".log.jsonl.unfinished-3").touch()
    tidy(run.folder)
    assert [path.name for path in run.folder.iterdir()] == ["unrelated"]


def test_a_run_goes_on_in_the_dtype_in_which_it_began(config, run):
    (run.folder / "run.json").write_text(json.dumps({"status": "running", "dtype": "bfloat16"}))
    assert dtype_of_run(run.folder, "auto") == "bfloat16" and dtype_of_run(run.folder, "float32") == "float32"
    (run.folder / "run.json").write_text(json.dumps({"status": "finished", "dtype": "bfloat16"}))
    assert dtype_of_run(run.folder, "auto") == "auto"
    (run.folder / "run.json").write_text("{")
    assert dtype_of_run(run.folder, "auto") == "auto"
