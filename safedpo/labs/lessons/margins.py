"""What notebook 08 shows beside the package: verdicts over seeds, lines for a figure, and the trained policies, loaded once."""

import functools
import math
import timeit
from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from safedpo.errors import UserError
from safedpo.evaluate.results import METRICS, Results, adapters, stored_results
from safedpo.files import read_json, shipped
from safedpo.household import LOOKALIKES, lookalikes, optimal_values, reference_values
from safedpo.show.style import SERIES, figure

if TYPE_CHECKING:
    from safedpo.lm.blending.blend import Blend


def title(metric: str) -> str:
    """A metric's name in print.

    >>> title("over_refusal")
    'over-refusal'
    """
    return metric.replace("_", "-")


def verdict(these: Sequence[float], those: Sequence[float]) -> str:
    """How two groups of seeds lie: "overlap", or on which side of the other group *all* of these are.

    By chance alone two groups of n and m dots lie apart, on either side, in 2 of (n + m choose n) deals.

    >>> verdict([0.1, 0.2], [0.3, 0.4]), verdict([0.1, 0.5], [0.3, 0.4]), verdict([0.1, 0.3], [0.3, 0.4])
    ('all lower', 'overlap', 'overlap')
    """
    if max(these) < min(those):
        return "all lower"
    return "all higher" if min(these) > max(those) else "overlap"


def chance(n: int, m: int) -> float:
    """The share of deals in which chance alone lays n and m dots apart, on either side: 2 / (n + m choose n).

    >>> chance(3, 3), chance(1, 1)
    (0.1, 1.0)
    """
    return 2 / math.comb(n + m, n)


def mean_and_range(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean, least and greatest. The mean is never outside the two by its rounding, as (x + x + x) / 3 can be.

    >>> mean_and_range([0.3411764705882353] * 3) == (0.3411764705882353,) * 3
    True
    """
    low, high = min(values), max(values)
    return min(max(fmean(values), low), high), low, high


def show_means(results: Results) -> None:
    """Print the mean over seeds of every metric, at every budget and margin, beside the reference."""
    for metric in METRICS:
        print(f"\n{title(metric)}: mean over seeds (reference {results.reference[metric]['value']:.3f})")
        for pairs in results.budgets:
            values = {delta: results.values(metric, delta, pairs=pairs) for delta in results.deltas()}
            print(f"  {pairs:4} pairs  " + "  ".join(f"Δ={d:g} {sum(v) / len(v):.3f}" for d, v in values.items()))


def verdicts(results: Results, against: float = 0) -> dict[tuple[str, int, float], str]:
    """(metric, budget, delta) -> the verdict on its seeds against those of the margin `against`."""
    return {
        (metric, pairs, delta): verdict(
            results.values(metric, delta, pairs=pairs), results.values(metric, against, pairs=pairs)
        )
        for metric in METRICS
        for pairs in results.budgets
        for delta in results.deltas()
        if delta != against
    }


def show_spreads(results: Results) -> None:
    """Print, at the last budget, the largest spread over the seeds of one margin, and the widest interval over prompts."""
    for metric in METRICS:
        spread = {d: max(v) - min(v) for d in results.deltas() for v in [results.values(metric, d)]}
        widest = max(spread, key=lambda delta: spread[delta])
        ends = (run["points"][-1][metric] for run in results.sweep["runs"])
        width = max(end["high"] - end["low"] for end in ends)
        print(f"  {title(metric):12} seeds {spread[widest]:.3f} (Δ = {widest:g}); prompts {width:.3f}")


def lines(results: Results, rules: Mapping[str, str], deltas: Sequence[float]) -> dict[str, dict[str, list]]:
    """Panels for `bands`: metric -> name of the rule -> (mean, lowest, highest seed) at each margin, last budget."""

    def line(metric: str, rule: str) -> list[tuple[float, float, float]]:
        groups = (results.values(metric, delta, rule=rule) for delta in deltas)
        return [mean_and_range(values) for values in groups]

    return {title(metric): {name: line(metric, rule) for name, rule in rules.items()} for metric in METRICS}


def blend_lines(results: Results) -> dict[str, dict[str, list]]:
    """Panels for `bands`: metric -> trained policy and blend -> (value, low, high) at each margin left out."""
    seed = results.blends["seed"]
    panels: dict[str, dict[str, list]] = {title(metric): {"trained": [], "blend": []} for metric in METRICS}
    for one in results.blends["blends"]:
        trained = results.points(one["delta"])[seed]
        for metric in METRICS:
            for name, found in (("trained", trained[metric]), ("blend", one["metrics"][metric])):
                panels[title(metric)][name].append((found["value"], found["low"], found["high"]))
    return panels


def divergences(errors: Mapping[float, Mapping[str, float]]) -> tuple[go.Figure, str]:
    """Bars of KL(trained ∥ other) in nats a response, one group for each margin left out, and the sentence.

    >>> divergences({2: {"blend": 0.5, "delta 0": 1.0, "delta 5": 2.0, "reference": 3.0}})[1]
    'KL from the policy trained at Δ, in nats a response: Δ = 2: blend 0.5, reference 3.'
    """
    names = ("the blend", "neighbour below", "neighbour above", "reference")
    columns = list(zip(*(row.values() for row in errors.values()), strict=True))
    bars = [
        go.Bar(
            x=[f"Δ = {delta:g}" for delta in errors],
            y=column,
            name=name,
            marker_color=colour,
            text=[f"{kl:.2g}" for kl in column],
            textposition="outside",
            textangle=0,
        )
        for name, column, colour in zip(names, columns, SERIES, strict=False)
    ]
    top = 1.1 * max(map(max, columns))
    drawn = figure(bars, x={"title_text": "left out"}, y={"title_text": "KL(trained ∥ other), nats", "range": [0, top]})
    words = "; ".join(
        f"Δ = {d:g}: blend {row['blend']:.2g}, reference {row['reference']:.2g}" for d, row in errors.items()
    )
    return drawn, f"KL from the policy trained at Δ, in nats a response: {words}."


def alone_by_beta() -> dict[float, dict[str, dict]]:
    """beta -> metric -> interval of T alone (delta 0) on validation prompts: trials stored with the results, all else alike.

    >>> sorted(alone_by_beta())
    [0.1, 0.5, 2.0]
    """
    home, found = shipped("data") / "results" / "household" / "trials" / "alone", {}
    for file in sorted(home.glob("beta-*/summary.json")):
        trial = read_json(file, seal=True, way_out="install the kit again")
        stored_results().must_rest_on(trial["fingerprints"]["reference"], f"that of {file}")
        found[float(file.parent.name.removeprefix("beta-"))] = trial["sampled"]["requests"]
    if not found:
        raise UserError(f"the trials of T alone are missing from {home}; install the kit again")
    return found


def show_alone() -> dict[float, dict[str, dict]]:
    """Print what T alone did at each beta, the largest first; returns `alone_by_beta`."""
    found = alone_by_beta()
    for beta in sorted(found, reverse=True):
        one = (f"{metric} {found[beta][metric]['value']:.3f}" for metric in ("harm", "helpfulness", "broken"))
        print(f"β = {beta:<3g} " + ", ".join(one))
    return found


def show_refused(results: Results) -> dict[str, float]:
    """Print the share of look-alikes that are refused: by the reference, at each margin, by the data and by the safe optimum.

    Returns the shares by these names, a margin's as the mean over its seeds.
    """
    own = results.reference["topics"][LOOKALIKES]["over_refusal"]
    exact = {"the data": reference_values(lookalikes()), "the safe optimum": optimal_values(lookalikes(), results.beta)}
    found = {"the reference": own["value"]} | {name: values.refusal for name, values in exact.items()}
    print(f"the reference    {own['value']:.3f} ({own['low']:.3f} to {own['high']:.3f} over prompts)")
    for delta in results.deltas():
        seeds = [one["value"] for one in results.topic_values("over_refusal", LOOKALIKES, delta)]
        found[f"Δ = {delta:g}"] = fmean(seeds)
        print(f"Δ = {delta:<12g} {fmean(seeds):.3f} ({min(seeds):.3f} to {max(seeds):.3f} over the seeds)")
    print(*(f"{name:16} {found[name]:.3f} (exact)" for name in exact), sep="\n")
    return found


def show_switch(blend: "Blend") -> None:
    """Print which margins have an adapter, and the median time of five rounds of setting the weights for each."""
    times = [timeit.timeit(functools.partial(blend.at, delta), number=1) for delta in blend.deltas * 5]
    deltas = ", ".join(f"{delta:g}" for delta in blend.deltas)
    print(f"adapters for Δ = {deltas}; a switch: {1000 * median(times):.2f} ms")


@functools.cache
def trained_policies():
    """The reference in float32, and on it the shipped adapters of the sweep as one blend; loaded once.

    Raises `UserError` where the stored results rest on another reference.
    """
    from safedpo.lm import load_model
    from safedpo.lm.blending.load import load_adapters

    loaded = load_model("smollm2-135m-household", dtype="float32")
    stored_results().must_rest_on(loaded.fingerprint)
    return loaded, load_adapters(loaded, adapters())
