"""Training runs on real PKU-SafeRLHF rows, and starts at the loss that the pair groups and delta predict."""

import json
import os
from pathlib import Path

import pytest

from safedpo.lm.training.run import train


@pytest.mark.parametrize(
    ("name", "first_loss"),
    [("pku_saferlhf_32.json", 3.6016), pytest.param("pku_saferlhf_500.jsonl", 2.5018, marks=pytest.mark.slow)],
)
def test_the_first_loss_on_real_rows(name, first_loss, loaded, tmp_path):
    folder = os.environ.get("SAFEDPO_REAL_DATA")
    if not folder:
        pytest.skip("SAFEDPO_REAL_DATA does not name a folder with PKU-SafeRLHF samples")
    run = train(
        loaded(),
        Path(folder) / name,
        tmp_path / "run",
        delta=10.0,
        max_steps=1,
        batch_size=4,
        max_length=4096,
        device="cpu",
        disable_tqdm=True,
    )
    found = json.loads((tmp_path / "run" / "run.json").read_text())["step_zero"]
    assert found["predicted"] == pytest.approx(first_loss, abs=5e-5)
    assert found["measured"] == pytest.approx(first_loss, abs=0.01)
    assert run.metrics["steps"] == 1
