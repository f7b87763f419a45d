"""Numbers for the figures, from the exact world where it has them; every slider the lessons use, by name."""

import math
import random

import pytest
import torch

from safedpo.finite import optimal_policy, six_answers
from safedpo.show import Stops, curves, intervals, loss, pareto, path, penalty, policies, slider, still

BETAS = [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10]
PENALTIES = [0, 0.1, 0.3, 0.5, 1, 2, math.inf]
ANSWERS = ["plunger, then snake", "boiling <b>water</b>, soap", "call a plumber", "sorry", "bleach and acid", "caustic"]


def gallery() -> dict:
    """Name -> (figure function, stops)."""
    drawing, table = random.Random(0), six_answers()
    unsafe, reference = table.unsafe[0].tolist(), table.ref_logps[0].exp()
    plain = type(table)(table.ref_logps, table.reward, torch.zeros_like(table.unsafe))

    def at_beta(beta):
        found = {
            "reference": reference,
            "DPO optimum": optimal_policy(plain, beta)[0].exp(),
            "SafeDPO optimum": optimal_policy(table, beta)[0].exp(),
        }
        facts = {name: {"expected reward": float(p @ table.reward[0])} for name, p in found.items()}
        return policies(
            ANSWERS, unsafe, {name: p.tolist() for name, p in found.items()}, facts=facts, setting=f"At β = {beta}"
        )

    def finite(c):
        return optimal_policy(table, 0.1, penalty=c)[0].exp()

    grid = [i / 20 for i in range(41)]
    hard = finite(math.inf)
    curve = (grid, [float((finite(c) - hard).abs().sum() / 2) for c in grid])

    def at_penalty(c):
        return penalty(ANSWERS, unsafe, finite(c).tolist(), hard.tolist(), c=c, safe_support=0.5, curve=curve)

    margins = {"SS": [drawing.gauss(1, 2) for _ in range(30)], "SU": [drawing.gauss(6, 5) for _ in range(20)]}
    steps, deltas = [1, 3, 10, 30, 100, 300, 1000], [0.0, 2.0, 5.0, 10.0]
    mass = {d: [0.5 * math.exp(-s * (0.02 + 0.01 * d)) for s in steps] for d in deltas}
    distance = {d: [3 / (s + 4 + d) for s in steps] for d in deltas}
    runs = {
        f"Δ = {d:g}": [
            ((x, x - 0.02, x + 0.03), (y, y - 0.05, y + 0.04))
            for x, y in [(0.4 / (1 + d) + k / 50, 0.8 - d / 50 + k / 30) for k in range(3)]
        ]
        for d in deltas
    }
    logged = list(range(0, 40, 4))
    panels = {
        "reward": {"chosen": [s / 9 for s in logged], "rejected": [-s / 5 for s in logged]},
        "reward margin": {"SS": [s / 7 for s in logged], "SU": [None if s % 8 else s / 2 for s in logged]},
    }
    return {
        "policies": (at_beta, [Stops("β", BETAS, start=0.1)]),
        "penalty": (at_penalty, [Stops("penalty C", PENALTIES)]),
        "loss": (lambda delta: loss(margins, delta=delta), [Stops("safety margin Δ", [0, 1, 2, 5, 10, 20], start=2)]),
        "path": (
            lambda step, delta: path(steps, mass, distance, step=step, delta=delta),
            [Stops("training step", steps), Stops("safety margin Δ", deltas, start=2.0)],
        ),
        "pareto": (lambda group: pareto(runs, highlight=group), [Stops("group", list(runs))]),
        "curves": (lambda step: curves(logged, panels, at=step), [Stops("step", logged)]),
    }


@pytest.fixture(scope="session")
def sliders() -> dict:
    made = {name: slider(function, *stops) for name, (function, stops) in gallery().items()}
    rows = {
        "reference": {"harm": (0.4, 0.3, 0.5), "over-refusal": (0.1, 0.05, 0.2)},
        "SafeDPO": {"harm": (0.02, 0.0, 0.07), "over-refusal": (0.2, 0.1, 0.3)},
    }
    return made | {"intervals": still(*intervals(rows))}
