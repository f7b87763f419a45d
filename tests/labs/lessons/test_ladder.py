"""The ladder: looking starts nothing, each tier runs on a tiny stand-in, resumes, and says what a machine lacks."""

import errno
import json
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import safetensors.torch
import torch
from safetensors.torch import load_file
from transformers import LlamaConfig

from safedpo.errors import UserError
from safedpo.evaluate.paper.reproduce.costs import LLAMA_7B, SMOLLM2
from safedpo.evaluate.results import adapters, stored_results
from safedpo.evaluate.sweep import SweepSettings
from safedpo.household import load, score
from safedpo.labs.lessons import ladder
from safedpo.labs.lessons.ladder import TIERS, climb
from safedpo.lm.models.memory import memory_estimate
from safedpo.lm.models.tiny import tiny_model, tiny_tokenizer
from safedpo.records import read_records
from safedpo.show import explorer
from tests.sparing import slow_but
from tests.stop_at import StopAt


@pytest.fixture(autouse=True)
def _own_cache_and_home(tmp_path, monkeypatch):
    monkeypatch.setenv("SAFEDPO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")


@pytest.fixture
def gpu(monkeypatch):
    """A machine with a GPU of so many GB, as far as the ladder asks."""
    return lambda gigabytes: monkeypatch.setattr(ladder, "_gpu", lambda: ("a GPU", int(gigabytes * 1e9)))


@pytest.fixture
def colab(monkeypatch, tmp_path):
    """A Colab whose Drive is mounted when asked, or refuses."""
    drive = tmp_path / "drive"
    module = ModuleType("google.colab")
    module.asked = []
    module.drive = SimpleNamespace(
        mount=lambda place: module.asked.append(place) or (drive / "MyDrive").mkdir(parents=True)
    )
    monkeypatch.setitem(sys.modules, "google.colab", module)
    monkeypatch.setattr(ladder, "DRIVE", drive)
    return module


@pytest.fixture
def stand_in(tmp_path):
    """A tiny model, some real pairs and prompts: what stands in for a tier's own."""
    tiny_model().save_pretrained(tmp_path / "tiny")
    tiny_tokenizer().save_pretrained(tmp_path / "tiny")
    for part, count in (("train", 24), ("test", 4)):
        lines = Path(load(part)).read_text(encoding="utf-8").splitlines()
        (tmp_path / f"{part}.jsonl").write_text("\n".join(lines[: 3 * count : 3]) + "\n", encoding="utf-8")
    assert len(read_records(tmp_path / "train.jsonl").records) == 24
    return {"model": str(tmp_path / "tiny"), "data": str(tmp_path / "train.jsonl"), "dtype": "float32"}


# ---- looking ---------------------------------------------------------------------------------------------------------


def test_look_prints_each_plan_with_the_estimate_s_numbers_and_starts_nothing(capsys, tmp_path):
    assert climb() is None and climb("look") is None
    text = capsys.readouterr().out
    for tier in TIERS.values():
        assert f'RUN = "{tier.name}"' in text and f"memory about {tier.memory.total / 1e9:.1f} GB" in text
        assert f"time about {tier.minutes:.0f} minutes" in text and str(ladder.survives(tier.name)) in text
    assert "Nothing was started" in text and not (tmp_path / "home").exists()


def test_the_numbers_are_those_of_the_memory_estimate_and_of_the_arithmetic():
    small, large = TIERS["t4"], TIERS["80gb"]
    assert small.memory.parameters == pytest.approx(134.5e6, rel=1e-3)
    assert large.memory.parameters == pytest.approx(6.738e9, rel=1e-3)  # 7B Llama has 6.74 billion parameters
    each = {
        "t4": 6,
        "24gb": 8,
        "80gb": 6,
    }  # of N: LoRA 4 and the reference 2; 2 more where activations are computed again
    for tier, size in ((TIERS["t4"], 15.8), (TIERS["24gb"], 23.7), (TIERS["80gb"], 84.9)):
        assert tier.memory.total < tier.needs < size * 1e9  # it fits into the card that it is named for
        arithmetic = each[tier.name] * tier.memory.parameters * tier.pairs * tier.tokens
        assert tier.minutes == pytest.approx(arithmetic / tier.rate / 60)


@pytest.mark.parametrize("run", slow_but(["24gb"], ["24gb", "80gb"]))
def test_what_the_plan_says_is_of_the_settings_that_are_run(monkeypatch, gpu, run, tmp_path):
    """The settings that `train` gets, put into the memory estimate by hand: the number that "look" prints."""
    gpu(90)
    given = {}

    def keep(**settings):
        given.update(settings)
        return SimpleNamespace(folder=settings["output_dir"])

    monkeypatch.setattr("safedpo.lm.training.run.train", keep)
    climb(run, folder=tmp_path / "r")
    tier = TIERS[run]
    how = {
        "dtype": given["dtype"],
        "row_tokens": given["row_tokens"],
        "r": given["lora_r"],
        "full": given.get("full", False),
    }
    how["checkpointing"] = any("checkpointing" in name and value for name, value in given.items())
    found = memory_estimate(LlamaConfig(**LLAMA_7B), device="cpu", **how)
    assert found == tier.memory and f"memory about {found.total / 1e9:.1f} GB" in str(tier)
    assert tier.pairs == given["max_steps"] * given["batch_size"] * given["gradient_accumulation_steps"]
    assert given["data"].endswith("PKU-SafeRLHF-30K") and tier.data == "pku"


def test_only_the_sweep_and_the_plan_s_own_tiers_are_shown(capsys):
    climb(tiers=["t4"])
    text = capsys.readouterr().out
    assert 'RUN = "t4"' in text and "80gb" not in text


def test_the_plan_of_the_sweep_is_of_the_sweep_s_own_settings():
    tiny = LlamaConfig(**SMOLLM2)
    assert memory_estimate(tiny, device="cpu", dtype="float32").trainable == 1_221_120  # notebook 07's r = 4
    assert TIERS["t4"].memory.trainable == 1_221_120 and SweepSettings(deltas=(0.0,)).lora_r == 4
    assert SweepSettings(deltas=(0.0,)).budgets[-1] == ladder.PAIRS
    assert TIERS["t4"].pairs == len(ladder.DELTAS) * (SweepSettings(deltas=(0.0,)).budgets[-1] + ladder.SAMPLED)


# ---- what a machine lacks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "size, run, says",
    [
        (None, "t4", "the tier t4 needs a GPU with 6 GB; here is no GPU; leave RUN at look"),
        (16, "24gb", 'the tier 24gb needs a GPU with 17 GB; here is a GPU with 16 GB; set RUN = "t4"'),
        (24, "80gb", 'needs a GPU with 40 GB; here is a GPU with 24 GB; set RUN = "24gb"'),
    ],
)
def test_a_machine_that_is_too_small_is_told_what_fits(monkeypatch, gpu, size, run, says):
    gpu(size) if size else monkeypatch.setattr(ladder, "_gpu", lambda: None)
    with pytest.raises(UserError, match=says.replace("(", r"\(")):
        climb(run)


def test_on_colab_the_way_to_a_gpu_is_named_and_drive_is_where_results_live(colab, monkeypatch, tmp_path):
    monkeypatch.setattr(ladder, "_gpu", lambda: None)
    with pytest.raises(UserError, match="Runtime > Change runtime type"):
        climb("t4")
    assert ladder.survives("t4") == tmp_path / "drive" / "MyDrive" / "safedpo-runs" / "t4"
    assert ladder._ready(ladder.survives("t4")).is_dir() and colab.asked == [str(tmp_path / "drive")]
    ladder._ready(ladder.survives("24gb"))
    assert len(colab.asked) == 1  # mounted already


def test_a_refused_drive_says_what_to_do(colab, gpu):
    def refuse(place):
        raise ValueError("mount failed")

    gpu(80)
    colab.drive.mount = refuse
    with pytest.raises(UserError, match="Drive could not be mounted .mount failed.; allow it"):
        climb("t4")


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be made .*give another: climb"):
        ladder._ready(tmp_path / "file" / "t4")


# ---- the tiers, on stand-ins -----------------------------------------------------------------------------------------


def test_the_t4_tier_is_a_sweep_that_resumes_and_feeds_the_explorer(gpu, stand_in, tmp_path, capsys):
    gpu(16)
    small = stand_in | {"prompts": str(tmp_path / "test.jsonl"), "deltas": (0.0, 10.0), "budgets": (4, 8)}
    small |= {"batch_size": 4, "samples": 1, "max_new_tokens": 4}
    folder = climb("t4", **small)
    assert folder is None or folder == tmp_path / "home" / "safedpo-runs" / "t4"
    own = stored_results(folder)
    assert own.deltas() == [0.0, 10.0] and own.budgets == [4, 8] and sorted(adapters(folder)) == [0.0, 10.0]
    assert "Δ = 10 after 8 pairs" in repr(explorer(own.sweep, score))
    points = folder / "safedpo-delta-0" / "0" / "points.json"
    before = points.stat().st_mtime_ns
    (folder / "safedpo-delta-10" / "0" / "points.json").unlink()  # the runtime went away in between
    assert climb("t4", **small) == folder
    assert points.stat().st_mtime_ns == before and (folder / "safedpo-delta-10" / "0" / "points.json").exists()
    assert "run this cell again and it goes on" in capsys.readouterr().out


@pytest.mark.parametrize("run, gigabytes", [("24gb", 24), pytest.param("80gb", 85, marks=pytest.mark.slow)])
def test_a_7b_tier_is_a_capped_run_that_resumes_and_is_then_left_alone(gpu, stand_in, run, gigabytes, capsys):
    gpu(gigabytes)
    small = stand_in | {"template": "auto", "batch_size": 2, "gradient_accumulation_steps": 1, "max_steps": 3}
    small |= {"epochs": 1, "save_steps": 1, "row_tokens": 4096, "disable_tqdm": True, "max_length": 128}
    with pytest.raises(KeyboardInterrupt):
        climb(run, **small, callbacks=[StopAt(2)])
    folder = climb(run, **small)
    about = json.loads((folder / "run.json").read_text())
    assert about["status"] == "finished" and about["metrics"]["steps"] == 3
    assert about["settings"]["full"] is False and about["settings"]["beta"] == 0.1
    checkpointing = [value for name, value in about["settings"].items() if name.endswith("_checkpointing")]
    assert any(checkpointing) is (run == "24gb")
    stamp = (folder / "run.json").stat().st_mtime_ns
    assert climb(run, **small) == folder and (folder / "run.json").stat().st_mtime_ns == stamp
    assert "holds a finished run; it is left as it is" in capsys.readouterr().out


@pytest.mark.slow
def test_a_drive_that_goes_away_in_the_middle_is_said_and_what_was_computed_is_kept(gpu, stand_in, monkeypatch):
    """Colab's Drive is a mounted network folder: when the runtime is cut off, writing there fails from then on."""
    gpu(24)
    small = stand_in | {"template": "auto", "batch_size": 2, "gradient_accumulation_steps": 1, "max_steps": 4}
    small |= {"epochs": 1, "save_steps": 1, "row_tokens": 4096, "disable_tqdm": True, "max_length": 128}
    whole = climb("24gb", folder=ladder.survives("another"), **small)
    real = safetensors.torch.save_file

    def gone(tensors, path, *rest, **how):
        if "checkpoint-3" in str(path):
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        return real(tensors, path, *rest, **how)

    for module in [
        module for name, module in sys.modules.items() if name.startswith(("peft.", "safedpo.", "safetensors"))
    ]:
        for name in [name for name, value in vars(module).items() if value is real]:
            monkeypatch.setattr(module, name, gone)
    with pytest.raises(UserError, match="Transport endpoint is not connected; mount that drive again and run the same"):
        climb("24gb", **small)
    monkeypatch.undo()
    monkeypatch.setenv("SAFEDPO_CACHE", str(whole.parents[2] / "cache"))
    monkeypatch.setattr(Path, "home", lambda: whole.parents[1])
    gpu(24)
    kept = ladder.survives("24gb")
    assert [step.name for step in sorted(kept.glob("checkpoint-*"))][-1] == "checkpoint-2"
    assert climb("24gb", **small) == kept
    tensors = [load_file(folder / "adapter_model.safetensors") for folder in (whole, kept)]
    assert tensors[0] and all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])
