"""What a person sees during a run: one bar with the numbers that matter, and a file with all of them."""

import json
from pathlib import Path

from tqdm.auto import tqdm
from transformers import TrainerCallback

SHOWN = {"loss": "loss", "rewards/margins": "margin", "SU/rewards/margins": "SU", "rewards/accuracies": "acc"}


class LiveLine(TrainerCallback):
    """A progress bar over the steps; behind it the loss, the reward margin (all, and safe-over-unsafe), accuracy."""

    def __init__(self):
        self.bar = None

    def on_train_begin(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
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


class LogFile(TrainerCallback):
    """`log.jsonl`: one row a logged step, keys sorted. A resumed run first writes again what its checkpoint knows."""

    def __init__(self, path: Path):
        self.path = path

    def on_train_begin(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            rows = [row for row in state.log_history if "loss" in row]
            self.path.write_text("".join(json.dumps(row, sort_keys=True) + "\n" for row in rows), encoding="utf-8")

    def on_log(self, args, state, control, logs=None, **kwargs):
        if state.is_world_process_zero and "loss" in (logs or {}):
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(state.log_history[-1], sort_keys=True) + "\n")
