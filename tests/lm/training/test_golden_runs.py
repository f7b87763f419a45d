"""Short runs give the numbers that they gave before the rooms were rearranged: a move must change nothing.

`golden_runs.json` was written by the code of 21 November 2026 before the move (losses of each step, closing metrics), with the
settings below; gradients were cut at 1 then by default, which is now said.
"""

import json
from pathlib import Path

import pytest

from safedpo.lm import sft, train

GOLDEN = json.loads(Path(__file__).with_name("golden_runs.json").read_text(encoding="utf-8"))
SETTINGS = {"batch_size": 4, "epochs": 2, "learning_rate": 1e-3, "lora_r": 4, "device": "cpu", "dtype": "float32"}
SETTINGS |= {"disable_tqdm": True, "seed": 1, "max_grad_norm": 1.0}
RUNS = {
    "safedpo": {"delta": 10.0},
    "dpo-helpful": {"loss": "dpo", "rule": "helpful"},
    "harmless": {"delta": 2.0, "rule": "harmless"},
    "full": {"delta": 5.0, "full": True},
}


@pytest.mark.parametrize("name", GOLDEN)
def test_a_short_run_gives_the_numbers_it_gave_before_the_move(loaded, records, tmp_path, name):
    if name == "sft":
        run = sft(loaded(), records, tmp_path / name, **SETTINGS)
    else:
        run = train(loaded(), records, tmp_path / name, beta=0.1, **RUNS[name], **SETTINGS)
    stored = json.loads((run.folder / "run.json").read_text(encoding="utf-8"))["metrics"]
    assert [row["loss"] for row in run.log] == pytest.approx(GOLDEN[name]["losses"], rel=1e-5, abs=1e-5)
    assert {key: stored[key] for key in GOLDEN[name]["metrics"]} == pytest.approx(
        GOLDEN[name]["metrics"], rel=1e-5, abs=1e-5
    )
