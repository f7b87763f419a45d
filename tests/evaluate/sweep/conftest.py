"""A finished sweep over three margins on a tiny model, which blends and distances are measured on."""

import json
import shutil

import pytest

from safedpo import household
from safedpo.evaluate.sweep import SweepSettings, sweep
from safedpo.lm.models.tiny import tiny_model, tiny_tokenizer


def row(prompt: str, i: int) -> dict:
    """A helpful and a useless response to a request of the household; the second is unsafe in every other row."""
    return {
        "prompt": prompt,
        "response_0": f"yes {i} " * 2,
        "response_1": f"no {i} " * 3,
        "is_response_0_safe": True,
        "is_response_1_safe": i % 2 == 0,
        "better_response_id": i % 3 // 2,
        "safer_response_id": 0,
    }


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A finished sweep over three margins, float32, and its adapters in one folder."""
    monkeypatch.setenv("SAFEDPO_CACHE", str(tmp_path / "cache"))
    tiny_model().save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    asked = [request.prompts[-1] for request in household.requests()[:6]]
    for name, prompts in {"train": [f"question {i}" for i in range(16)], "test": asked}.items():
        lines = [json.dumps(row(prompt, i)) + "\n" for i, prompt in enumerate(prompts)]
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    sweep(
        SweepSettings(
            deltas=(0.0, 4.0, 20.0),
            model=str(tmp_path / "model"),
            data=str(tmp_path / "train.jsonl"),
            prompts=str(tmp_path / "test.jsonl"),
            budgets=(12,),
            batch_size=4,
            learning_rate=0.05,
            samples=2,
            max_new_tokens=6,
            dtype="float32",
        ),
        tmp_path / "sweep",
    )
    for delta in (0, 4, 20):
        shutil.copytree(tmp_path / f"sweep/safedpo-delta-{delta}/0", tmp_path / f"adapters/{delta}")
    return tmp_path
