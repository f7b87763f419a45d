"""A short run that the tests of several processes start: python one_run.py FOLDER JSON.

Beside `train`'s own settings JSON may hold `source` (a model's folder; else the tiny model), `end_after` (die after that
step, as if killed) and `gradients` (a file for the gradients of every step, whole).
"""

import json
import os
import sys

import torch
from transformers import TrainerCallback

from safedpo.errors import UserError
from safedpo.lm.launch import leave_launch
from safedpo.lm.models import loading
from safedpo.lm.models.fingerprint import weights_fingerprint
from safedpo.lm.models.load import LoadedModel
from safedpo.lm.models.tiny import tiny_model, tiny_tokenizer
from safedpo.lm.training.run import sft, train
from safedpo.records import Record
from tests.lm.training.processes import on_cpu

UNSAFE = [(False, False), (False, True), (True, False)]


class Watch(TrainerCallback):
    def __init__(self, end_after, gradients):
        self.end_after, self.gradients, self.seen = end_after, gradients, []

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        if self.gradients:
            found = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
            self.seen.append({n: g.full_tensor() if hasattr(g, "full_tensor") else g.clone() for n, g in found.items()})

    def on_step_begin(self, args, state, control, **kwargs):
        if self.end_after is not None and state.global_step == self.end_after:
            os._exit(7)

    def on_train_end(self, args, state, control, **kwargs):
        if self.gradients and args.process_index == 0:
            torch.save(self.seen, self.gradients)


def records(n=30):
    return [
        Record(f"question {i}", (f"yes {i} " * (1 + i % 3), f"no {i} " * (1 + i % 5)), flags, 0, int(flags[0]), i + 1)
        for i, flags in ((i, UNSAFE[i % 3]) for i in range(n))
    ]


def main(folder, source=None, end_after=None, gradients=None, pairs=30, kind="train", devices=False, **settings):
    if devices:
        print_devices()
    if source is None:
        model = tiny_model()
        source = LoadedModel(model, tiny_tokenizer(), "tiny", "cpu", model.dtype, "", weights_fingerprint(model))
    settings = {"epochs": 2, "save_steps": 2, "learning_rate": 0.01, "device": "cpu", "disable_tqdm": True, **settings}
    run = {"train": train, "sft": sft}[kind]
    run(source, records(pairs), folder, callbacks=[Watch(end_after, gradients)], **settings)


def print_devices():
    """Say which process reads weights from a file."""
    read = loading.AutoModelForCausalLM.from_pretrained

    def reading(*args, **kwargs):
        print(f"process {os.environ.get('RANK', '0')} reads weights", flush=True)
        return read(*args, **kwargs)

    loading.AutoModelForCausalLM.from_pretrained = reading


if __name__ == "__main__":
    on_cpu.allow()
    try:
        main(sys.argv[1], **json.loads(sys.argv[2]))
    except UserError as error:
        sys.exit(str(error))
    finally:
        leave_launch()
