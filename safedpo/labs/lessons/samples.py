"""More runs of notebook 04: re-used UU pairs, labels under the modified reward, prompts that share parameters."""

import math
from typing import Any

import torch
from torch import Tensor

from safedpo.finite import (
    FiniteWorld,
    Pairs,
    concatenate,
    expected_reward,
    fit,
    modified_reward,
    population,
    random_world,
    sample_pairs,
    unsafe_mass,
)
from safedpo.finite.methods import fit_shared
from safedpo.labs.lessons.bandit import SEEDS
from safedpo.losses import dpo_loss


def with_refusals(pairs: Pairs, refusal: Tensor) -> Pairs:
    """T, and each UU pair twice more: the prompt's refusal (P,) beats either unsafe answer.

    >>> from safedpo.finite import six_answers
    >>> pairs = population(six_answers())
    >>> len(with_refusals(pairs, torch.tensor([0]))) - len(pairs.transform()), int((pairs.group == 3).sum())
    (8, 4)
    """
    uu = pairs[pairs.group == 3]
    no = torch.zeros(len(uu), dtype=torch.bool)
    again = [
        Pairs(uu.prompt, refusal[uu.prompt], loser, no, ~no, no.long(), uu.weight) for loser in (uu.chosen, uu.rejected)
    ]
    return concatenate([pairs.transform(), *again])


def reuse(unsafe_answers: int, beta: float = 0.5) -> tuple[dict[str, dict[str, Tensor]], float]:
    """UU pairs dropped, re-used with a refusal, or by BFPO, on 20 samples of three pairs a prompt (30 prompts).

    Returns name -> {"unsafe mass", "mass on refusals"} -> a value for each sample, and the share of prompts that T
    leaves without a pair. The refusal is each prompt's least helpful safe answer.
    """
    world = random_world(1, prompts=30, answers=6, unsafe_answers=unsafe_answers)
    refusal = world.reward.masked_fill(world.unsafe, math.inf).argmin(-1)
    raw = [sample_pairs(world, 90, seed) for seed in SEEDS]
    dropped = [one.transform() for one in raw]
    own = {"delta": 2.0, "lr": 0.25}
    runs: dict[str, tuple[list[Pairs], dict[str, Any]]] = {
        "drop (SafeDPO)": (dropped, own),
        "refusal wins": ([with_refusals(one, refusal) for one in raw], own),
        "BFPO": (raw, {"loss": "bfpo", "lr": 0.015}),
    }
    found = {}
    for name, (pairs, settings) in runs.items():
        run = fit(world, pairs, beta=beta, steps=200, seeds=SEEDS, record=[200], **settings)
        refusing = run.policy[0, 0].exp()[:, torch.arange(30), refusal].mean(-1)
        found[name] = {"unsafe mass": run.path.unsafe_mass[-1, 0, 0], "mass on refusals": refusing}
    return found, sum(30 - len(one.prompt.unique()) for one in dropped) / (30 * len(SEEDS))


def losses_on_t(world: FiniteWorld, policy: Tensor, n: int, *, beta: float, seed: int) -> Tensor:
    """DPO's loss on T of `n` sampled pairs, (n,): the labels that people gave. A dropped pair has no loss: 0."""
    kept = sample_pairs(world, n, seed).transform()
    return _padded(_losses(world, policy, kept, beta), n)


def losses_under_r_c(world: FiniteWorld, policy: Tensor, n: int, *, beta: float, seed: int) -> Tensor:
    """DPO's loss on `n` sampled pairs, (n,), labelled by Bradley-Terry under r_c, which nobody can ask for.

    Under r_c two unsafe answers are not compared: 0 for such a pair.
    """
    pairs, score = sample_pairs(world, n, seed), modified_reward(world)
    pairs = pairs[~(world.unsafe[pairs.prompt, pairs.chosen] & world.unsafe[pairs.prompt, pairs.rejected])]
    first_wins = (score[pairs.prompt, pairs.chosen] - score[pairs.prompt, pairs.rejected]).sigmoid()
    draw = torch.Generator().manual_seed(seed + 1)
    return _padded(_losses(world, policy, pairs.swapped(torch.rand(len(pairs), generator=draw) >= first_wins), beta), n)


def shared_run(seed: int, rule: str, *, beta: float = 0.5, steps: int = 600) -> tuple[float, float, float, float]:
    """A linear softmax with 8 features on 12 prompts of 6 answers: unsafe mass, expected reward, and how far the mean
    log π of chosen and of rejected answers moved. A hazard leaves a trace in the features."""
    world, draw = random_world(seed, prompts=12, answers=6), torch.Generator().manual_seed(seed)
    features = torch.randn(12, 6, 8, generator=draw, dtype=torch.float64)
    features += world.unsafe[..., None] * torch.randn(8, generator=draw, dtype=torch.float64)
    pairs = population(world).transform(rule)
    logps = fit_shared(world, features, pairs, beta=beta, delta=2.0, steps=steps, record=[0, steps]).logps[:, 0]
    moved = [
        (pairs.weight * (logps[1] - logps[0])[pairs.prompt, answer]).sum() / pairs.weight.sum()
        for answer in (pairs.chosen, pairs.rejected)
    ]
    mass, reward = unsafe_mass(world, logps[1]).mean().item(), expected_reward(world, logps[1]).mean().item()
    return mass, reward, moved[0].item(), moved[1].item()


def _losses(world: FiniteWorld, policy: Tensor, pairs: Pairs, beta: float) -> Tensor:
    columns = (
        table[pairs.prompt, answer] for table in (policy, world.ref_logps) for answer in (pairs.chosen, pairs.rejected)
    )
    return dpo_loss(*columns, beta=beta)


def _padded(losses: Tensor, n: int) -> Tensor:
    return torch.cat([losses, torch.zeros(n - len(losses), dtype=losses.dtype)])
