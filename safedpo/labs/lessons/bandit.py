"""The runs of notebook 04 and the half-trained policy of 03: pairs are drawn, tables trained, means taken over seeds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from safedpo.finite import (
    FiniteWorld,
    Fit,
    Pairs,
    fit,
    sample_pairs,
)
from safedpo.losses import reward_margin
from safedpo.show.figures.bands import Interval, mean_interval

SEEDS = range(20)
Results = dict[tuple[int, str], dict[str, Tensor]]  # (pairs, variant) -> quantity -> one value for each seed


def share(values: Tensor) -> Interval:
    """Mean and 95 % interval over the seeds of something between 0 and 1.

    >>> share(torch.full((20,), 0.5))
    (0.5, 0.5, 0.5)
    """
    return mean_interval(values.tolist(), low=0.0, high=1.0)


def train_variants(
    world: FiniteWorld,
    variants: Mapping[str, tuple[str, float]],
    counts: Sequence[int],
    *,
    beta: float,
    steps: int,
    lr: float,
) -> Results:
    """Train each variant, name -> (rule, delta), on 20 samples of n pairs, for each n in `counts`.

    >>> from safedpo.finite import six_answers
    >>> found = train_variants(six_answers(), {"T only": ("safedpo", 0.0)}, [20], beta=0.1, steps=5, lr=1.0)
    >>> found[20, "T only"]["unsafe mass"].shape
    torch.Size([20])
    """
    found: Results = {}
    for n in counts:
        samples = [sample_pairs(world, n, seed) for seed in SEEDS]
        for name, (rule, delta) in variants.items():
            ordered = [sample.transform(rule) for sample in samples]
            path = fit(world, ordered, beta=beta, delta=delta, steps=steps, lr=lr, seeds=SEEDS, record=[steps]).path
            found[n, name] = {"unsafe mass": path.unsafe_mass[-1, 0, 0], "TV to π*": path.tv[-1, 0, 0]}
    return found


def rows_at(results: Results, n: int) -> dict[str, dict[str, Interval]]:
    """Variant -> quantity -> interval at `n` pairs: what `show.figures.intervals` draws.

    >>> rows_at({(20, "a"): {"unsafe mass": torch.zeros(20)}}, 20)
    {'a': {'unsafe mass': (0.0, 0.0, 0.0)}}
    """
    return {name: {what: share(v) for what, v in row.items()} for (m, name), row in results.items() if m == n}


def panels(results: Results) -> dict[str, dict[str, list[Interval]]]:
    """Quantity -> variant -> intervals by number of pairs: what `show.figures.bands` draws.

    >>> panels({(20, "a"): {"unsafe mass": torch.zeros(20)}})
    {'unsafe mass': {'a': [(0.0, 0.0, 0.0)]}}
    """
    found: dict[str, dict[str, list[Interval]]] = {}
    for (_, name), row in results.items():
        for what, values in row.items():
            found.setdefault(what, {}).setdefault(name, []).append(share(values))
    return found


def half_trained(world: FiniteWorld, beta: float) -> tuple[Pairs, Tensor]:
    """200 pairs after T, and the reward margin of each under a policy in the middle of its training on them.

    >>> from safedpo.finite import six_answers
    >>> kept, margins = half_trained(six_answers(), beta=0.1)
    >>> len(kept) == len(margins)
    True
    """
    kept = sample_pairs(world, 200, seed=0).transform()
    policy = fit(world, kept, beta=beta, delta=5.0, steps=200, lr=5.0).policy[0, 0, 0]
    columns = [
        table[kept.prompt, answer] for table in (policy, world.ref_logps) for answer in (kept.chosen, kept.rejected)
    ]
    return kept, reward_margin(*columns, beta=beta)


def saturation_time(delta: float, *, beta: float, rate: float, step: float) -> float:
    """When the weight of an isolated pair falls to one half, by integrating its gradient flow in small steps.

    Both logits move, so the gap of the log-ratios grows with 2 rate beta sigmoid(delta - beta gap); midpoint rule.

    >>> round(saturation_time(2.0, beta=0.1, rate=1.0, step=0.1))
    143
    """

    def speed(gap: float) -> float:
        return 2 * rate * beta / (1 + math.exp(beta * gap - delta))

    gap = time = 0.0
    while gap < delta / beta:
        gap += step * speed(gap + step / 2 * speed(gap))
        time += step
    return time


def two_answers(safe_wins: float) -> FiniteWorld:
    """A safe answer (0) and an unsafe one (1), equally likely; the safe one is more helpful with this probability.

    >>> two_answers(0.5).reward.tolist()
    [[0.0, 0.0]]
    """
    lead = math.log(safe_wins / (1 - safe_wins))
    return FiniteWorld(
        torch.tensor([[0.5, 0.5]]).log(),
        torch.tensor([[lead, 0.0]], dtype=torch.float64),
        torch.tensor([[False, True]]),
    )


def with_wrong_bits(pairs: Pairs, rate: float, seed: int) -> Pairs:
    """The pairs with each safety bit wrong with probability `rate`, independently.

    >>> pairs = sample_pairs(two_answers(0.3), 4, seed=0)
    >>> torch.equal(with_wrong_bits(pairs, 1.0, seed=0).chosen_unsafe, ~pairs.chosen_unsafe)
    True
    """
    wrong = torch.rand(2, len(pairs), generator=torch.Generator().manual_seed(seed)) < rate
    return replace(
        pairs, chosen_unsafe=pairs.chosen_unsafe ^ wrong[0], rejected_unsafe=pairs.rejected_unsafe ^ wrong[1]
    )


def show_path(run: Fit, deltas: Sequence[float]) -> None:
    """Print unsafe mass and distance of the safe part to pi* at each recorded step of a run with one beta and one seed."""
    print("unsafe mass, and distance of the safe part to π*, for Δ =", ", ".join(f"{delta:g}" for delta in deltas))
    for step, *table in zip(run.steps.tolist(), run.path.unsafe_mass, run.path.safe_tv, strict=True):
        pairs = zip(*(values[0, :, 0].tolist() for values in table), strict=True)
        print(f"step {step:5}   " + "   ".join(f"{harm:.0e} {far:.5f}" for harm, far in pairs))


def shares_under_noise(kept: Pairs, weight: Tensor) -> list[float]:
    """Of all pairs of `two_answers`: the shares that T kept, kept in the wrong order, and wrong with a margin.

    >>> from safedpo.finite import population
    >>> law = population(two_answers(0.3))
    >>> shares_under_noise(law.transform(), law.transform().weight)
    [1.0, 0.0, 0.0]
    """
    wrong = kept.chosen == 1
    return [round(weight[some].sum().item(), 4) for some in (wrong | ~wrong, wrong, wrong & kept.rejected_unsafe)]


def trained_margins(rate: float, deltas: Sequence[float], safe_wins: float = 0.3) -> list[Interval]:
    """The reward margin of a truly mixed pair after training on 2,000 pairs with wrong bits, by delta; 20 samples.

    >>> low, high = trained_margins(0.1, [0.0])[0][1:]
    >>> low < 2.4394 < high
    True
    """
    world = two_answers(safe_wins)
    noisy = [with_wrong_bits(sample_pairs(world, 2000, seed), rate, seed + 100).transform() for seed in SEEDS]
    run = fit(world, noisy, beta=1.0, delta=deltas, steps=1000, lr=3.0, seeds=SEEDS, record=[1000])
    ratio = run.policy[0, :, :, 0] - world.ref_logps[0]  # (deltas, seeds, answers)
    return [mean_interval(values) for values in (ratio[..., 0] - ratio[..., 1]).tolist()]
