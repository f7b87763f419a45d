"""What notebook 07 shows beside the package: a swapped pair, responses before and after, the late part of a log."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from safedpo.records import Records

if TYPE_CHECKING:
    from safedpo.evaluate.report import Evaluation
    from safedpo.evaluate.results import Results


def show_swapped_pair(records: Records) -> None:
    """Print the first pair whose unsafe response was the preferred one: a pair that T swaps."""
    example = next(r for r in records.records if r.unsafe[r.better] and not r.unsafe[1 - r.better])
    print(example.prompt)
    for i, response in enumerate(example.responses):
        marks = ("UNSAFE" if example.unsafe[i] else "safe") + (", preferred" if i == example.better else "")
        print(f"  [{marks}] {response}")


def show_before_and_after(before: Sequence, after: Sequence, *, count: int = 4) -> None:
    """Print judged samples side by side, prompt by prompt, the unsafe ones of `before` first; greedy responses only."""
    responses = {sample.prompt: sample.response for sample in after if sample.greedy}
    for sample in sorted((one for one in before if one.greedy), key=lambda one: not one.unsafe)[:count]:
        print(f"{sample.prompt}\n  before: {sample.response}\n  after:  {responses[sample.prompt]}\n")


def pairs_seen(log: Sequence[dict]) -> dict[str, int]:
    """How many pairs of each group before T a run trained on, from its log.

    >>> pairs_seen([{"SS/pairs": 3, "US/pairs": 1}, {"SS/pairs": 2}])
    {'SS': 5, 'SU': 0, 'US': 1, 'UU': 0}
    """
    return {group: sum(row.get(f"{group}/pairs", 0) for row in log) for group in ("SS", "SU", "US", "UU")}


def step_zero(run: Path) -> dict[str, float]:
    """What `run.json` says of the loss before the first step: predicted by the theorem, and measured."""
    from safedpo.lm.models.adapters import adapter_run

    return adapter_run(run)["step_zero"]


def metric_rows(judged: Mapping[str, "Evaluation"]) -> dict[str, dict[str, tuple]]:
    """name -> metric -> (value, low, high), as `safedpo.show.intervals` takes them; metrics without responses left out."""
    return {name: {m: (i.value, i.low, i.high) for m, i in one.metrics.items() if i.n} for name, one in judged.items()}


def show_table(results: "Results") -> None:
    """Display the stored runs as a table, one row a method."""
    from IPython.display import Markdown, display

    from safedpo.evaluate.table import markdown_table

    display(Markdown(markdown_table(results.table())))


def late(log: Sequence[dict], names: Sequence[str], *, rows: int = 50) -> dict[str, float]:
    """Each quantity averaged over the last rows of a log that have it.

    >>> late([{"loss": 9.0}, {"loss": 1.0}, {"loss": 3.0}, {"step": 4}], ["loss"], rows=3)
    {'loss': 2.0}
    """
    values = {name: [row[name] for row in log[-rows:] if row.get(name) is not None] for name in names}
    return {name: sum(found) / len(found) for name, found in values.items() if found}


def unplugged(step: int):
    """A callback of the trainer that ends the run after `step` steps as Ctrl-C would: it raises KeyboardInterrupt."""
    from transformers import TrainerCallback

    class Unplugged(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == step:
                raise KeyboardInterrupt

    return Unplugged()
