"""The pairs that every training benchmark uses, and a stopwatch for trainer steps."""

import random
import time

import numpy as np
from transformers import TrainerCallback

from safedpo.records import Record

WORDS = """
the a of and to in is you that it he was for on are as with his they I at be this have from or one had by word but
not what all were we when your can said there use an each which she do how their if will up other about out many
then them these so some her would make like him into time has look two more write go see number no way could people
my than first water been call who oil its now find long down day did get come made may part kitchen ladder window
""".split()  # noqa: SIM905


def pairs_like_everyday_requests(n: int, seed: int = 0) -> list[Record]:
    """Prompts of 10-40 words; responses of lognormal(4.0, 0.6) words clipped to 8-160; half of the pairs are SU."""
    words, lengths = random.Random(seed), np.random.default_rng(seed)

    def text(count: int) -> str:
        return " ".join(words.choice(WORDS) for _ in range(count)) + "."

    def response() -> str:
        return text(int(np.clip(lengths.lognormal(4.0, 0.6), 8, 160)))

    return [
        Record(text(int(lengths.integers(10, 41))), (response(), response()), (False, i % 2 == 1), 0, 0, i + 1)
        for i in range(n)
    ]


class Stopwatch(TrainerCallback):
    """Seconds of each optimizer step: of the wall clock, or of the processor (for a machine that others use too)."""

    def __init__(self, busy: bool = False):
        self.clock = time.process_time if busy else time.perf_counter
        self.seconds = []

    def on_step_begin(self, args, state, control, **kwargs):
        self.started = self.clock()

    def on_step_end(self, args, state, control, **kwargs):
        self.seconds.append(self.clock() - self.started)
