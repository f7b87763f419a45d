"""What a person sees during a run: one bar with the numbers that matter, and a file with all of them."""

import json
from pathlib import Path

from tqdm.auto import tqdm
from transformers import TrainerCallback

from safedpo.files import read_json, read_lines, write_text

SHOWN = {"loss": "loss", "rewards/margins": "margin", "SU/rewards/margins": "SU", "rewards/accuracies": "acc"}


class LiveLine(TrainerCallback):
    """A progress bar over the steps; behind it the loss, the reward margin (all, and safe-over-unsafe), accuracy."""

    def __init__(self):
        self.bar = None

    def on_train_begin(self, args, state, control, **kwargs):
        if args.process_index == 0:  # `state` says yes on every process
            self.bar = tqdm(total=state.max_steps, initial=state.global_step, desc="training", unit="step")

    def on_log(self, args, state, control, logs=None, **kwargs):
        if self.bar is not None and logs and "loss" in logs:
            self.bar.update(state.global_step - self.bar.n)
            self.bar.set_postfix({short: f"{logs[name]:.3g}" for name, short in SHOWN.items() if name in logs})

    def on_train_end(self, args, state, control, **kwargs):
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)
            self.bar.close()
            self.bar = None


def log_text(history: list[dict]) -> str:
    r"""The rows of a Trainer's history that `log.jsonl` holds.

    >>> log_text([{"step": 1, "loss": 0.5}, {"train_loss": 0.5}])
    '{"loss": 0.5, "step": 1}\n'
    """
    return "".join(json.dumps(row, sort_keys=True) + "\n" for row in history if "loss" in row)


def read_log(folder: Path) -> list[dict]:
    """The rows of `log.jsonl`, one a logged step; `UserError` where its bytes are not those that `run.json` notes.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home:
    ...     _ = (Path(home) / "log.jsonl").write_text('{"step": 1}')
    ...     read_log(Path(home))
    [{'step': 1}]
    """
    file, run = folder / "log.jsonl", folder / "run.json"
    noted = read_json(run).get("files") if run.exists() else None
    sha256 = noted.get(file.name) if isinstance(noted, dict) else None
    return read_lines(file, way_out="it is written by a run that logs; make the run again", sha256=sha256)


class LogFile(TrainerCallback):
    """`log.jsonl`: one row a logged step, keys sorted. A resumed run first writes again what its checkpoint knows."""

    def __init__(self, path: Path):
        self.path = path

    def on_train_begin(self, args, state, control, **kwargs):
        if args.process_index == 0:
            write_text(self.path, log_text(state.log_history))

    def on_step_end(self, args, state, control, **kwargs):
        # With a row an epoch, the row is due before the checkpoint of the epoch's last step, or a resumed run misses it.
        last = state.epoch == int(state.epoch) or state.global_step >= state.max_steps
        if control.should_save and args.logging_strategy == "epoch" and last:
            control.should_log = True
        return control

    def on_log(self, args, state, control, logs=None, **kwargs):
        if args.process_index == 0 and "loss" in (logs or {}):
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(state.log_history[-1], sort_keys=True) + "\n")
