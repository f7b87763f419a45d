"""What Python computes for the state that the page shows, compared with the numbers of the page."""

import math

import torch

from safedpo.finite import (
    FiniteWorld,
    InfeasiblePromptError,
    expected_reward,
    fit,
    flip_bits,
    kl,
    optimal_policy,
    population,
    sample_pairs,
    tv,
    unsafe_mass,
)
from safedpo.transform import GROUPS, order_pairs
from tests.browser.playground.driver import Playground


def python_world(state: dict) -> FiniteWorld:
    weights = torch.tensor([one["reference"] for one in state["answers"]], dtype=torch.float64)
    weights = weights if weights.sum() > 0 else torch.ones_like(weights)
    rewards, bits = ([[one[name] for one in state["answers"]]] for name in ("reward", "unsafe"))
    return FiniteWorld((weights / weights.sum()).log()[None], rewards, bits)


def python_pairs(state: dict, world: FiniteWorld):
    drawn = state["data"] == "drawn"
    return flip_bits(sample_pairs(world, state["n"], state["seed"]) if drawn else population(world), state["noise"])


def close(page: float | None, python: float | None, tolerance: float) -> bool:
    """Equal up to the tolerance; what JSON cannot hold comes as None, and both must be without a number then."""
    if page is None or not math.isfinite(page):
        return python is None or not math.isfinite(python)
    return python is not None and abs(page - python) <= tolerance * max(1.0, abs(python))


def check_policy(found: dict, name: str, logps: torch.Tensor | None, world, best, tolerance: float) -> None:
    """The policy and its five measures, computed by Python, are those of the page."""
    page = found["logps"][name]
    if logps is None:
        assert page is None and all(value is None for value in found["measures"][name].values())
        return
    for answer, (there, here) in enumerate(zip(page, logps[0].tolist(), strict=True)):
        assert close(math.exp(there) if there is not None else 0.0, math.exp(here), tolerance), (name, answer)
    python = {
        "unsafeMass": unsafe_mass(world, logps).item(),
        "expectedReward": expected_reward(world, logps).item(),
        "klReference": kl(logps, world.ref_logps).item(),
        "tvOptimum": None if best is None else tv(logps, best).item(),
        "klOptimum": None if best is None else kl(best, logps).item(),
    }
    for measure, value in python.items():
        assert close(found["measures"][name][measure], value, tolerance), (
            name,
            measure,
            value,
            found["measures"][name],
        )


def check_optima(playground: Playground, tolerance: float = 1e-9) -> tuple[FiniteWorld, torch.Tensor | None]:
    state, found = playground.state(), playground.numbers()
    world = python_world(state)
    try:
        best = optimal_policy(world, state["beta"])
    except InfeasiblePromptError:
        best = None
    check_policy(found, "reference", world.ref_logps, world, best, tolerance)
    priced = optimal_policy(world, state["beta"], penalty=state["penalty"])
    check_policy(found, "penalty", priced, world, best, tolerance)
    check_policy(found, "best", best, world, best, tolerance)
    return world, best


def check_counts(playground: Playground, world: FiniteWorld) -> None:
    """Weights by group, and what the rule keeps, swaps and drops, against `safedpo.transform`."""
    state, counts = playground.state(), playground.numbers()["counts"]
    pairs = python_pairs(state, world)
    for number, group in enumerate(GROUPS):
        assert close(counts[group], pairs.weight[pairs.group == number].sum().item(), 1e-9), group
    flags = torch.stack([pairs.chosen_unsafe, pairs.rejected_unsafe], dim=-1)
    column, keep = order_pairs(torch.zeros_like(pairs.prompt), flags, state["rule"])
    expected = {"kept": keep, "swapped": keep & (column == 1), "dropped": ~keep}
    for fate, mask in expected.items():
        assert close(counts[fate], pairs.weight[mask].sum().item(), 1e-9), fate


def check_run(playground: Playground, tolerance: float = 1e-6) -> None:
    """Everything on the page against Python: optima, pairs, the policy after its steps, and the path of the run."""
    world, best = check_optima(playground)
    check_counts(playground, world)
    state, found = playground.state(), playground.numbers()
    ordered = python_pairs(state, world).transform(state["rule"])
    deltas = [state["delta"], 0.0]
    # `fit` measures distances to pi*; where there is none it gets a world without bits (the pairs carry their own).
    table = world if best is not None else FiniteWorld(world.ref_logps, world.reward, torch.zeros_like(world.unsafe))
    run = fit(
        table,
        ordered,
        loss=state["loss"],
        beta=state["beta"],
        delta=deltas,
        lr=state["lr"],
        steps=found["step"],
        record=range(found["step"] + 1),
    )
    check_policy(found, "trained", run.policy[0, 0, 0], world, best, tolerance)
    if found["beside"]:
        for there, here in zip(found["beside"], run.policy[0, 1, 0, 0].tolist(), strict=True):
            assert close(math.exp(there), math.exp(here), tolerance)
    columns = {"reward": run.path.reward, "chosen": run.path.chosen_logps, "rejected": run.path.rejected_logps}
    if best is not None:
        columns |= {"unsafe": run.path.unsafe_mass, "tv": run.path.tv, "kl": run.path.kl}
    for name, column in columns.items():
        assert len(found["path"][name]) == found["step"] + 1
        for step, (there, here) in enumerate(zip(found["path"][name], column[:, 0, 0, 0].tolist(), strict=True)):
            assert close(there, here, tolerance), (name, step, there, here)
