"""Curves that grow while a model trains: a plotly widget fed by the trainer's log."""

import time
from collections.abc import Sequence

from safedpo.show import curves

try:
    from transformers import TrainerCallback
except ImportError:  # without transformers nothing is trained, and nothing calls back
    TrainerCallback = object

# Panel -> line -> name in the trainer's log. Both log-probabilities stand there, not only their difference.
PANELS = {
    "log-probability": {"chosen": "logps/chosen", "rejected": "logps/rejected"},
    "reward margin": {
        "safe over safe": "SS/rewards/margins",
        "safe over unsafe": "SU/rewards/margins",
        "swapped": "US/rewards/margins",
    },
}
SMOOTH = 0.8  # weight of the past in the moving average: single steps of a few pairs are noise


class LiveCurves(TrainerCallback):
    """Pass it to `train(callbacks=[live])` and display `live.widget` in the cell before.

    The lines are moving averages of the log; at most one redraw a second, so that drawing costs the run nothing.
    """

    def __init__(self):
        import plotly.graph_objects as go

        # The figure that `curves` draws of two empty steps gives the layout; the lines are filled while training.
        drawn, _ = curves([0, 1], {panel: {line: [0.0, 0.0] for line in lines} for panel, lines in PANELS.items()})
        self.widget = go.FigureWidget(drawn)
        self.lines = [(trace, PANELS[panel][trace.name]) for panel, trace in self._traces()]
        self.drawn_at = 0.0

    def on_log(self, args, state, control, logs=None, **kwargs):
        if "loss" in (logs or {}) and time.monotonic() - self.drawn_at > 1:
            self.draw(state.log_history)

    def on_train_end(self, args, state, control, **kwargs):
        self.draw(state.log_history)

    def draw(self, log: list[dict]) -> None:
        """Show the log so far."""
        rows = [row for row in log if "loss" in row]
        if not rows:
            return
        steps = [row["step"] for row in rows]
        with self.widget.batch_update():
            for axis in self.widget.select_xaxes():
                axis.range = [0, max(steps)]
            for axis in self.widget.select_yaxes():
                axis.autorange = True
            for trace, name in self.lines:
                trace.x, trace.y = steps, smooth([row.get(name) for row in rows])
        self.drawn_at = time.monotonic()

    def _traces(self):
        titles = [panel for panel, lines in PANELS.items() for _ in lines]
        named = [trace for trace in self.widget.data if trace.hoverinfo != "skip"]
        return zip(titles, named, strict=True)


def closing_curves(log: Sequence[dict]) -> tuple[list[int], dict[str, dict[str, list[float | None]]]]:
    """The steps and smoothed lines of a finished run's log, panel by panel, as `safedpo.show.curves` takes them.

    >>> steps, panels = closing_curves([{"step": 1, "logps/chosen": -3.0}, {"step": 2, "logps/chosen": -2.0}])
    >>> steps, panels["log-probability"]["chosen"]
    ([1, 2], [-3.0, -2.8])
    """
    panels = {
        panel: {line: smooth([row.get(name) for row in log]) for line, name in lines.items()}
        for panel, lines in PANELS.items()
    }
    return [row["step"] for row in log], panels


def smooth(values: list[float | None]) -> list[float | None]:
    """A moving average that starts at the first value and keeps its place where nothing was logged.

    >>> smooth([1.0, None, 2.0])
    [1.0, None, 1.2]
    """
    averaged, past = [], None
    for value in values:
        if value is not None:
            past = value if past is None else SMOOTH * past + (1 - SMOOTH) * value
        averaged.append(past if value is not None else None)
    return averaged
