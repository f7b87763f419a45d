"""Two processes (gloo, on the CPU) are the same computation as one with the same global batch."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

SCRIPT = Path(__file__).with_name("killed.py")
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
ACCELERATE = [
    sys.executable,
    "-m",
    "accelerate.commands.accelerate_cli",
    "launch",
    "--multi_gpu",
    "--num_processes=2",
    "--num_machines=1",
    "--mixed_precision=no",
    "--dynamo_backend=no",
    "--main_process_port=0",
]


def start(launcher, folder, cache, **settings):
    # accelerate starts several local processes only as "multi_gpu"; ACCELERATE_USE_CPU makes them CPU processes.
    environment = {**os.environ, "SAFEDPO_CACHE": str(cache), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    command = [*launcher, str(SCRIPT), str(folder), *(f"{name}={value}" for name, value in settings.items())]
    done = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        output, _ = done.communicate(timeout=400)
    except subprocess.TimeoutExpired:
        os.killpg(done.pid, signal.SIGKILL)  # the launcher's children too
        raise
    assert done.returncode == 0, output[-3000:]
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [TORCHRUN, ACCELERATE], ids=["torchrun", "accelerate"])
def test_the_same_losses_metrics_and_adapter_as_one_process(tmp_path, launcher):
    """30 pairs in steps of 8 leave 6 for the last: a ragged step weighs its pairs by their true number."""
    one = start([sys.executable], tmp_path / "one", tmp_path / "a", batch_size=8)
    two = start(launcher, tmp_path / "two", tmp_path / "b", batch_size=4)  # 4 on each of two processes
    assert [row["pairs"] for row in one] == [row["pairs"] for row in two] == [8, 8, 8, 6] * 4
    for a, b in zip(one, two, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            assert b[name] == pytest.approx(a[name], rel=1e-4, abs=2e-4), (a["step"], name)
    first, second = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("one", "two"))
    assert first.keys() == second.keys()
    for name in first:
        assert (first[name] - second[name]).abs().max() < 1e-3, name


@pytest.mark.slow
def test_a_process_may_have_no_pair_in_the_last_step(tmp_path):
    """29 pairs in steps of 28: one of the two processes has nothing to do in the last step, and nobody waits for it."""
    one = start([sys.executable], tmp_path / "one", tmp_path / "a", batch_size=28, max_pairs=29, epochs=2)
    two = start(TORCHRUN, tmp_path / "two", tmp_path / "b", batch_size=14, max_pairs=29, epochs=2)
    assert [row["pairs"] for row in two] == [row["pairs"] for row in one] == [28, 1, 28, 1]
    assert [row["loss"] for row in two] == pytest.approx([row["loss"] for row in one], abs=2e-4)
