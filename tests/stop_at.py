"""A run ended as Ctrl-C would end it."""

from transformers import TrainerCallback


class StopAt(TrainerCallback):
    """Raises KeyboardInterrupt after a step."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise KeyboardInterrupt
