"""The short run that the kill and the two-process tests start.

python killed.py OUTPUT_DIR [SETTING=NUMBER ...]      runs it
python killed.py --kill OUTPUT_DIR TIMES              kills it -9 at random moments, starting it again each time
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

from safedpo.lm.models.fingerprint import weights_fingerprint
from safedpo.lm.models.load import LoadedModel
from safedpo.lm.models.tiny import tiny_model, tiny_tokenizer
from safedpo.lm.training.run import train
from safedpo.records import Record


def main(folder: str, **settings) -> None:
    unsafe = [(False, False), (False, True), (True, False)]
    records = [
        Record(
            f"question {i}",
            (f"yes {i} " * (1 + i % 3), f"no {i} " * (1 + i % 5)),
            unsafe[i % 3],
            0,
            int(unsafe[i % 3][0]),
            i + 1,
        )
        for i in range(30)
    ]
    model = tiny_model()
    loaded = LoadedModel(model, tiny_tokenizer(), "tiny", "cpu", model.dtype, "as asked", weights_fingerprint(model))
    settings = {"batch_size": 4, "epochs": 4, "save_steps": 2, **settings}
    train(loaded, records, folder, learning_rate=0.01, device="cpu", disable_tqdm=True, **settings)


def fork(folder: Path) -> int:
    """Start the run in a child that has everything imported already; this process itself computes nothing."""
    child = os.fork()
    if child == 0:
        main(str(folder))
        os._exit(0)
    return child


def kill_at_random(home: Path, times: int) -> None:
    """Let one run finish (home/whole); kill others at moments spread over its duration until they have died `times`."""
    started = time.monotonic()
    os.waitpid(fork(home / "whole"), 0)
    duration, draw, killed, finished = time.monotonic() - started, random.Random(0), 0, 0
    while killed < times:
        child = fork(home / f"killed-{finished}")
        time.sleep(draw.random() * duration)
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        killed += os.WIFSIGNALED(status)
        finished += os.WIFEXITED(status)  # it was done before the blow: the next one begins another run
        if os.WIFEXITED(status) and os.WEXITSTATUS(status):
            raise SystemExit(f"a run did not go on after a kill: exit code {os.WEXITSTATUS(status)}")
    if os.waitpid(fork(home / f"killed-{finished}"), 0)[1]:
        raise SystemExit("the last run did not go on")
    print(f"killed {killed} times, {finished + 1} runs finished")


if __name__ == "__main__":
    if sys.argv[1] == "--kill":
        kill_at_random(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main(sys.argv[1], **{name: int(value) for name, value in (a.split("=") for a in sys.argv[2:])})
