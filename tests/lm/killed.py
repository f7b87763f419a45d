"""The short run that the kill and the two-process tests start: python killed.py OUTPUT_DIR [SETTING=NUMBER ...]."""

import sys

from transformers import TrainerCallback

from safedpo.lm.models import LoadedModel, weights_fingerprint
from safedpo.lm.run import train
from safedpo.lm.tiny import tiny_model, tiny_tokenizer
from safedpo.records import Record


class Tell(TrainerCallback):
    """Prints each step, so that the test knows how far the run is."""

    def on_step_end(self, args, state, control, **kwargs):
        print(state.global_step, flush=True)


def main(folder: str, **settings) -> None:
    unsafe = [(False, False), (False, True), (True, False)]
    records = [
        Record(f"question {i}", (f"yes {i} " * (1 + i % 3), f"no {i} " * (1 + i % 5)), unsafe[i % 3], 0,
               int(unsafe[i % 3][0]), i + 1)
        for i in range(30)
    ]  # fmt: skip
    model = tiny_model()
    loaded = LoadedModel(model, tiny_tokenizer(), "tiny", "cpu", model.dtype, "as asked", weights_fingerprint(model))
    settings = {"batch_size": 4, "epochs": 4, "save_steps": 2, **settings}
    train(loaded, records, folder, learning_rate=0.01, device="cpu", disable_tqdm=True, callbacks=[Tell()], **settings)


if __name__ == "__main__":
    main(sys.argv[1], **{name: int(value) for name, value in (a.split("=") for a in sys.argv[2:])})
