"""The runs of notebooks 05 and 10: each method along its own parameter, and all of them on the same sampled pairs."""

from collections.abc import Collection, Mapping, Sequence

import torch

from safedpo.finite import FiniteWorld, expected_reward, kl, objective, optimal_policy, sample_pairs, tv, unsafe_mass
from safedpo.finite.methods import (
    METHODS,
    OPTIMA,
    Outcome,
    best_multiplier,
    dual_gradient,
    dual_value,
    expected_cost,
    safer_by_cost,
)
from safedpo.labs.ledger import Table
from safedpo.show import Slider, Stops, curves, pareto, slider
from safedpo.show.figures.bands import Interval, mean_interval
from safedpo.show.figures.frontier import Point, dual, frontier

__all__ = [
    "TRADES",
    "at_limit",
    "clouds",
    "cost_table",
    "counted",
    "dual_by_price",
    "means",
    "measured",
    "on_200_pairs",
    "pareto_of_optima",
    "rounds",
    "trade_offs",
]

_PRICES = [0.0, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.5, 2.5, 4.0, 6.0]
TRADES: dict[
    str, tuple[str, str | None, Sequence[float | None]]
] = {  # method: its parameter, the keyword, eleven places
    "SafeDPO": ("Δ", "delta", [0, 0.5, 1, 2, 3, 4, 5, 7, 10, 20, 50]),
    "Δ only": ("Δ", "delta", [4 * price for price in _PRICES]),
    "SACPO": ("λ", "lam", _PRICES),
    "P-SACPO": ("q (λ = 10)", "q", [0, 0.01, 0.03, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1]),
    "C-DPO": ("limit on E[c]", "limit", [1.3, 1, 0.7, 0.4, 0.2, 0, -0.2, -0.5, -0.8, -1, -1.3]),
    "Safe RLHF": ("λ", "lam", [0, 0.1, 0.2, 0.35, 0.5, 0.7, 1, 1.5, 2.5, 4, 5]),
    "MODPO": ("weight w on reward", "weight", [1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.01]),
    "BFPO": ("", None, [None] * 11),
    "SEE-DPO": ("γ", "gamma", [0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 2, 4, 10]),
}
SHORT = {  # methods that sample: enough for 200 pairs
    "C-DPO": {"samples": 2000, "tolerance": 0.1, "steps": 60},
    "PD-DPO": {"samples": 2000, "tolerance": 0.02, "steps": 60},
}


def trade_offs(world: FiniteWorld, beta: float) -> dict[str, list[Point]]:
    """Method -> (parameter, unsafe mass, expected reward, TV to pi*) of its exact optimum at each of its places.

    >>> from safedpo.finite import six_answers
    >>> trade_offs(six_answers(), 0.5)["SafeDPO"][0][:2]
    (0.0, 0.0)
    """
    best = optimal_policy(world, beta)
    points: dict[str, list[Point]] = {}
    for name, (_, keyword, values) in TRADES.items():
        for value in values:
            own = {"lam": 10.0} if name == "P-SACPO" else {}
            own |= {keyword: float(value)} if keyword and value is not None else {}
            policy = OPTIMA[name.replace("Δ", "Delta")](world, beta=beta, **own)
            row = (unsafe_mass(world, policy).item(), expected_reward(world, policy).item(), tv(policy, best).item())
            points.setdefault(name, []).append((float(value or 0), *row))
    return points


def pareto_of_optima(points: Mapping[str, Sequence[Point]], optimum: tuple[float, float]) -> Slider:
    """`trade_offs` as a figure: one slider picks the method, the other moves along its parameter; `optimum` is pi*'s point."""
    named = {method: one[0] for method, one in TRADES.items()}
    stops = Stops("method", list(TRADES), start="SACPO"), Stops("its parameter", list(range(11)), start=5)
    return slider(lambda name, at: frontier(points, named, method=name, place=at, optimum=optimum), *stops)


def dual_by_price(world: FiniteWorld, beta: float, *, limits: Sequence[float]) -> Slider:
    """The dual function and its slope over the price lambda, with the price at which it is least; one curve a limit."""
    lams = [0.05 * k for k in range(31)]
    values, slopes = (
        {limit: [f(world, lam, beta, limit).item() for lam in lams] for limit in limits}
        for f in (dual_value, dual_gradient)
    )
    best = {limit: best_multiplier(world, beta, limit) for limit in limits}
    ends = min(map(min, values.values())), max(map(max, values.values()))
    places = Stops("λ", list(range(31)), start=1, text=lambda place: f"{lams[place]:.2f}")
    return slider(
        lambda limit, place: dual(lams, values[limit], slopes[limit], place=place, best=best[limit], ends=ends),
        Stops("limit", list(limits), start=0.0),
        places,
    )


def at_limit(world: FiniteWorld, beta: float, name: str, limit: float) -> dict[str, float]:
    """Reward, cost, objective (reward minus beta KL) and KL to the reference of a method's exact optimum at a limit.

    >>> from safedpo.finite import six_answers
    >>> round(at_limit(six_answers(), 0.5, "C-DPO", 0.0)["reward"], 2)
    1.04
    """
    policy = OPTIMA[name](world, beta=beta, limit=limit)
    found = {
        "reward": expected_reward(world, policy),
        "cost": expected_cost(world, policy),
        "objective": objective(world, policy, beta, penalty=0.0),
        "KL": kl(policy, world.ref_logps),
    }
    return {what: value.item() for what, value in found.items()}


def rounds(outcome: Outcome) -> Slider:
    """The path of a dual loop: lambda, expected cost and unsafe mass, round by round."""
    at = list(range(1, len(outcome.history) + 1))
    titles = {"λ": "lambda", "expected cost": "cost", "unsafe mass": "unsafe_mass"}
    panels = {title: {outcome.method: [row[key] for row in outcome.history]} for title, key in titles.items()}
    return slider(lambda place: curves(at, panels, at=place), Stops("round", at, start=at[-1]))


def clouds(measured: Mapping[str, Mapping[str, Sequence[float]]]) -> Slider:
    """Harm against expected reward, one dot for each sample of each method; the slider picks the method."""
    dots = {
        name: [
            ((harm,) * 3, (reward,) * 3)
            for harm, reward in zip(row["unsafe mass"], row["expected reward"], strict=True)
        ]
        for name, row in measured.items()
    }
    across, up = (-0.03, 1.03), (-0.2, 1.8)
    return slider(lambda name: pareto(dots, highlight=name, x_range=across, y_range=up), Stops("method", list(dots)))


def on_200_pairs(
    world: FiniteWorld, beta: float, names: Sequence[str], *, steps: int, rlhf_steps: int
) -> dict[str, list[Outcome]]:
    """Each method on the same twenty samples of 200 pairs."""
    data = [safer_by_cost(world, sample_pairs(world, 200, seed), seed=seed) for seed in range(20)]
    short = SHORT | {"Safe RLHF": {"steps": rlhf_steps}}
    return {
        name: [
            METHODS[name](world, one, beta=beta, seed=seed, **short.get(name, {"steps": steps, "tolerance": 1.0}))
            for seed, one in enumerate(data)
        ]
        for name in names
    }


def measured(world: FiniteWorld, beta: float, outcomes: Sequence[Outcome]) -> dict[str, list[float]]:
    """Unsafe mass, expected reward and TV to pi*, one value for each sample."""
    logps = torch.stack([one.logps for one in outcomes])
    return {
        "unsafe mass": unsafe_mass(world, logps).mean(-1).clamp(0, 1).tolist(),
        "expected reward": (logps.exp() * world.reward).sum((-2, -1)).tolist(),
        "TV to π*": tv(logps, optimal_policy(world, beta)).mean(-1).tolist(),
    }


def cost_table(means: Mapping[str, Mapping[str, Interval]], runs: Mapping[str, Sequence[Outcome]]) -> Table:
    """Each method's means with intervals, and what its first run needed; the nearest to pi* first."""
    lines = []
    for name, row in sorted(means.items(), key=lambda item: item[1]["TV to π*"][0]):
        used = runs[name][0].costs
        numbers = [f"{v:.3f} [{low:.3f}, {high:.3f}]" for v, low, high in row.values()]
        counts = (used.tables, sum(used.labels.values()), used.samples, used.steps, f"{used.seconds:.2f}")
        lines.append((name, *numbers, *map(str, counts)))
    head = ("method", "unsafe mass", "expected reward", "TV to π*", "tables", "labels", "samples", "steps", "seconds")
    return Table(head, lines)


def counted(outcomes: Mapping[str, Outcome], names: Collection[str] = ()) -> Table:
    """What one run of each method used: tables, kinds of labels, samples, gradient steps, and where its formula is from.

    Of `names`, those without an outcome are said not to have been run yet.

    >>> from safedpo.finite.methods import Costs
    >>> one = Outcome("demo", torch.zeros(1, 1), Costs(2, {"better": 9}, 40, 300), "derived", 0.0)
    >>> counted({"demo": one}).lines
    [('demo', '2', 'better', '40', '300', 'derived')]
    >>> counted({}, {"demo"}).lines[0][:2]
    ('demo', 'not run yet')
    """
    lines = []
    for name, one in outcomes.items():
        used = one.costs
        labels = ", ".join(used.labels) or "those of given models"
        lines.append((name, str(used.tables), labels, f"{used.samples:,}", f"{used.steps:,}", one.source))
    lines += [(name, "not run yet", "", "", "", "") for name in sorted(set(names) - outcomes.keys())]
    return Table(("method", "tables", "labels", "samples", "steps", "source"), lines)


def means(world: FiniteWorld, beta: float, runs: Mapping[str, Sequence[Outcome]]) -> dict[str, dict[str, Interval]]:
    """Method -> quantity -> mean over the samples with its 95 % interval; an unsafe mass below 0 is none."""
    return {
        name: {
            what: mean_interval(values, low=0.0 if what != "expected reward" else float("-inf"))
            for what, values in measured(world, beta, outcomes).items()
        }
        for name, outcomes in runs.items()
    }
