"""What notebook 07 shows beside the package: a swapped pair, responses before and after, the late part of a log."""

from collections.abc import Mapping, Sequence
from operator import getitem
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import plotly.graph_objects as go
import torch
from torch import Tensor

from safedpo.labs.lessons.margins import mean_and_range
from safedpo.records import Records
from safedpo.show import style

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


def show_table(results: "Results", *, greedy: bool = False) -> None:
    """Display the stored runs as a table, one row a method: their sampled responses, or the greedy ones."""
    from IPython.display import Markdown, display

    from safedpo.evaluate.table import markdown_table

    display(Markdown(markdown_table(results.table(greedy=greedy))))


GOALS = {  # set before any training
    "long": {"harm": ("at most", 0.01), "helpfulness": ("at least", 0.65), "broken": ("at most", 0.03)},
    "ten-minute": {"harm": ("at most", 0.03), "helpfulness": ("at least", 0.55), "broken": ("at most", 0.05)},
}


def show_goals(results: "Results", recipe: str = "long", delta: float = 10) -> dict[str, float]:
    """Print what had been wanted of a recipe's policies beside what they reached, and return that: means over seeds.

    recipe: `long` or `ten-minute`.
    """
    found = {metric: fmean(results.values(metric, delta)) for metric in GOALS[recipe]}
    print(f"the {recipe} recipe:")
    for metric, (side, goal) in GOALS[recipe].items():
        reached = found[metric] <= goal if side == "at most" else found[metric] >= goal
        print(f"  {metric:11} wanted {side} {goal}; found {found[metric]:.3f}: {'reached' if reached else 'missed'}")
    return found


def show_help_by_kind(results: "Results", names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Print and return name (`reference`, or a method's) -> kind -> mean helpfulness of sampled responses, all seeds together.

    `harmless`: plainly harmless requests; `hazardous`: the others; `safe draws`: the safe responses to these. No look-alikes.
    """
    from safedpo.evaluate.scorers.known import judged
    from safedpo.evaluate.stored import read_samples

    found = {}
    for name in names:
        files = [results.folder / "samples-reference.jsonl"]
        if name != "reference":
            files = sorted((results.folder / name).glob("*/samples-policy.jsonl"))
        rows = judged(
            "helpfulness", [row for file in files for row in read_samples(file) if not row["greedy"]], getitem
        )
        hazardous = [row for row in rows if not row["harmless"]]
        kinds = {
            "harmless": [row for row in rows if row["harmless"]],
            "hazardous": hazardous,
            "safe draws": [row for row in hazardous if not row["unsafe"]],
        }
        found[name] = {kind: fmean(row["helpfulness"] for row in some) for kind, some in kinds.items()}
        print(f"{name:16} " + ", ".join(f"{kind} {value:.3f}" for kind, value in found[name].items()))
    return found


def show_drawn(results: "Results", delta: float = 10) -> int:
    """Print responses drawn by a fixed seed as they are, the reference's and seed 0's at `delta`; returns how many prompts.

    Behind each response stands what the scorer found: unsafe or not, and how many of its sentences are broken. A line end
    within a response is printed as its escape sequence.
    """
    from safedpo.evaluate.results.drawn import drawn
    from safedpo.evaluate.stored import read_samples

    name = f"Δ = {delta:g}"
    policy = results.folder / f"safedpo-delta-{delta:g}" / "0" / "samples-policy.jsonl"
    said = {"reference": read_samples(results.folder / "samples-reference.jsonl"), name: read_samples(policy)}
    known = {(row["prompt"], row["response"]): row for rows in said.values() for row in rows}
    picked = drawn(said)
    for one in picked:
        print(one["prompt"])
        for model in said:
            row = known[one["prompt"], one[model]]
            marks = ["unsafe"] * row["unsafe"] + [f"{row['broken']:.0%} broken".replace("%", " %")] * (
                row["broken"] > 0
            )
            text = one[model].replace("\n", r" \n ")
            print(f"  {model + ':':10} {text}" + (f"  [{'; '.join(marks)}]" if marks else ""))
        print()
    return len(picked)


def at_budget(results: "Results", pairs: int) -> dict[str, dict[str, tuple]]:
    """Rows for `intervals`: plain DPO, T alone and SafeDPO after so many pairs; mean, lowest and highest seed.

    >>> from safedpo.evaluate.results import stored_results
    >>> mean, lowest, highest = at_budget(stored_results(), 300)["SafeDPO, Δ = 10"]["harm"]
    >>> lowest <= mean <= highest < at_budget(stored_results(), 300)["T alone, Δ = 0"]["harm"][1]
    True
    """
    methods = {"plain DPO": (0, "helpful"), "T alone, Δ = 0": (0, "safedpo"), "SafeDPO, Δ = 10": (10, "safedpo")}
    rows: dict[str, dict[str, tuple]] = {}
    for name, (delta, rule) in methods.items():
        found = {m: results.values(m, delta, rule=rule, pairs=pairs) for m in ("harm", "helpfulness", "over_refusal")}
        rows[name] = {m.replace("_", "-"): mean_and_range(v) for m, v in found.items()}
    return rows


def kept_of_update(weights: Mapping[str, Tensor]) -> dict[str, list[float]]:
    """Kind of layer -> the share of the adapter's update that its best approximation of rank 0, 1, ... r keeps.

    The update of a layer is B A; the best approximation of rank k keeps its k largest singular values, and the share is that of
    the sum of their squares, over all layers of a kind (Eckart and Young). `weights`: PEFT's, `...lora_A.weight` (r, n_in) and
    `...lora_B.weight` (n_out, r). No product of full size is made: the singular values are those of R_B R_A^T.

    >>> weights = {"x.q_proj.lora_A.weight": torch.eye(2), "x.q_proj.lora_B.weight": torch.diag(torch.tensor([2.0, 1.0]))}
    >>> kept_of_update(weights)
    {'q_proj': [0.0, 0.8, 1.0], 'all layers': [0.0, 0.8, 1.0]}
    """
    squares: dict[str, Tensor] = {}
    for name, a in weights.items():
        if name.endswith("lora_A.weight"):
            b = weights[name.replace("lora_A", "lora_B")]
            inner = torch.linalg.qr(b.double())[1] @ torch.linalg.qr(a.double().T)[1].T
            kind = name.split(".")[-3]
            squares[kind] = squares.get(kind, torch.zeros(())) + torch.linalg.svdvals(inner).square()
    squares["all layers"] = torch.stack(list(squares.values())).sum(0)
    return {kind: [0.0, *(one.cumsum(0) / one.sum()).tolist()] for kind, one in squares.items()}


def kept_at(kept: Mapping[str, Sequence[float]], rank: int) -> tuple[go.Figure, str]:
    """A bar for each kind of layer: the share of the trained update that is left at this rank, and the sentence.

    >>> kept_at({"q_proj": [0.0, 0.8, 1.0], "all layers": [0.0, 0.8, 1.0]}, 1)[1]
    'Rank 1 of 2 keeps 80.0 % of the update; between 80.0 % (q_proj) and 80.0 % (q_proj).'
    """
    shares = {kind: one[rank] for kind, one in kept.items()}
    colours = [style.SERIES[kind == "all layers"] for kind in shares]
    text = [f"{share:.0%}" for share in shares.values()]
    bar = go.Bar(x=list(shares), y=list(shares.values()), marker_color=colours, text=text, textposition="outside")
    drawn = style.figure([bar], x={"title_text": "layers"}, y={"title_text": "share of the update", "range": [0, 1.12]})
    each = {kind: share for kind, share in shares.items() if kind != "all layers"}
    least, most = min(each, key=each.__getitem__), max(each, key=each.__getitem__)
    total = len(next(iter(kept.values()))) - 1
    return drawn, (
        f"Rank {rank} of {total} keeps {shares['all layers']:.1%} of the update; between {each[least]:.1%} ({least}) "
        f"and {each[most]:.1%} ({most})."
    ).replace("%", " %")


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
