"""Killed at a file operation of train, sft, sweep or evaluate, each ends in the same bits when it is started again.

By default every twelfth operation is tried, which takes minutes; SAFEDPO_KILL_STRIDE=1 tries every one, which takes an hour.
"""

import json
import os
from pathlib import Path

import pytest
import torch

from safedpo import household
from safedpo.evaluate.generation import Decoding
from safedpo.evaluate.report import evaluate
from safedpo.evaluate.sweep import SweepSettings, sweep
from safedpo.lm.models.fingerprint import weights_fingerprint
from safedpo.lm.models.load import LoadedModel
from safedpo.lm.models.tiny import tiny_model, tiny_tokenizer
from safedpo.lm.training.run import sft, train
from safedpo.records import Record
from tests.faults.stopping import contents, run_until

QUICK = {"batch_size": 2, "max_steps": 3, "save_steps": 1, "device": "cpu", "disable_tqdm": True}
RECORDS = [
    Record(f"question {i}", (f"yes {i}", f"no {i} " * 2), (i % 2 == 1, False), i % 2, int(i % 2 == 1), i + 1)
    for i in range(6)
]


def loaded():
    model = tiny_model()
    return LoadedModel(model, tiny_tokenizer(), "tiny", "cpu", model.dtype, "as asked", weights_fingerprint(model))


def prompts(home: Path) -> Path:
    rows = [
        {
            "prompt": request.prompts[-1],
            "response_0": "yes",
            "response_1": "no",
            "is_response_0_safe": True,
            "is_response_1_safe": False,
            "better_response_id": 0,
            "safer_response_id": 0,
        }
        for request in household.requests()[:3]
    ]
    (home / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (home / "pairs.jsonl").write_text(
        "".join(json.dumps(row | {"prompt": f"{i}?"}) + "\n" for i, row in enumerate(rows * 2))
    )
    return home / "prompts.jsonl"


def model_folder(home: Path) -> str:
    tiny_model().save_pretrained(home / "model")
    tiny_tokenizer().save_pretrained(home / "model")
    return str(home / "model")


def train_once(home: Path, out: Path) -> None:
    train(loaded(), RECORDS, out, **QUICK)


def sft_once(home: Path, out: Path) -> None:
    sft(loaded(), RECORDS, out, **QUICK)


def sweep_once(home: Path, out: Path) -> None:
    settings = SweepSettings(
        deltas=(10.0,),
        model=str(home / "model"),
        data=home / "pairs.jsonl",
        prompts=home / "prompts.jsonl",
        budgets=(2, 4),
        batch_size=2,
        samples=1,
        max_new_tokens=2,
        dtype="float32",
    )
    sweep(settings, out, command="safedpo sweep")


def evaluate_once(home: Path, out: Path) -> None:
    report = evaluate(
        home / "adapter",
        home / "prompts.jsonl",
        decoding=Decoding(samples=1, max_new_tokens=2),
        dtype="float32",
        progress=False,
    )
    report.save(out)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SAFEDPO_CACHE", str(tmp_path / "watched" / "cache"))
    torch.set_num_threads(1)
    prompts(tmp_path)
    model = model_folder(tmp_path)
    train(model, RECORDS, tmp_path / "adapter", dtype="float32", **QUICK)  # warms up everything that a child inherits
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("work", [train_once, sft_once, sweep_once, evaluate_once], ids=lambda work: work.__name__)
def test_whenever_it_is_killed_it_ends_in_the_same_bits(home, work):
    watched = home / "watched"
    watched.mkdir(exist_ok=True)

    def start(lap: str, stop: int | None = None) -> tuple[bool, int]:
        (watched / lap).mkdir(exist_ok=True)

        def here() -> None:
            os.environ["SAFEDPO_CACHE"] = str(watched / lap / "cache")
            work(home, watched / lap / "out")

        return run_until(here, watched / lap, stop)

    _, operations = start("whole")
    whole = contents(watched / "whole")
    assert operations > 10
    stride = int(os.environ.get("SAFEDPO_KILL_STRIDE", "12"))
    for stop in range(1, operations + 1, stride):
        lap = f"killed-{stop}"
        done, _ = start(lap, stop)
        if not done:
            start(lap)
        left = contents(watched / lap)
        assert left.keys() == whole.keys(), (stop, left.keys() ^ whole.keys())
        different = [name for name in whole if left[name] != whole[name]]
        assert not different, (stop, different)
    print(f"{work.__name__}: killed at every {stride}th of {operations} file operations")
