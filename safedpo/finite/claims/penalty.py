"""Claims about the finite penalty and the safe support: Assumption 4.1 and Proposition 4.2 of the paper."""

import numpy as np
import torch

from safedpo.finite.claims.claim import Claim, generator, largest, relative
from safedpo.finite.optimum import (
    InfeasiblePromptError,
    log_partition,
    log_partition_unsafe,
    optimal_policy,
    optimal_value,
    required_penalty,
    safe_part,
    tv,
    unsafe_mass,
)
from safedpo.finite.world import FiniteWorld, random_world

BETAS = (0.05, 0.5, 5.0)
PENALTIES = (0.0, 0.5, 2.0)


def tv_is_unsafe_mass(seed: int, worlds: int) -> float:
    world = random_world(seed, worlds)
    return largest(
        *(
            tv(optimal_policy(world, beta, penalty=c), optimal_policy(world, beta))
            - unsafe_mass(world, optimal_policy(world, beta, penalty=c))
            for beta in BETAS
            for c in PENALTIES
        )
    )


def tv_closed_form(seed: int, worlds: int) -> float:
    world = random_world(seed, worlds)
    return largest(
        *(
            tv(optimal_policy(world, beta, penalty=c), optimal_policy(world, beta))
            - torch.sigmoid(log_partition_unsafe(world, beta) - log_partition(world, beta) - c / beta)
            for beta in BETAS
            for c in PENALTIES
        )
    )


def safe_part_of_penalised(seed: int, worlds: int) -> float:
    world = random_world(seed, worlds)
    return largest(
        *(
            tv(safe_part(world, optimal_policy(world, beta, penalty=c)), optimal_policy(world, beta))
            for beta in BETAS
            for c in PENALTIES
        )
    )


def limit_of_penalty(seed: int, worlds: int) -> float:
    world = random_world(seed, worlds)
    rises, last = [], []
    for beta in BETAS:
        # From C = 0 to where every world's e^(-C/beta) Z_u/Z_s is below e^-30, so the last TV is below 1e-13.
        enough = beta * (30 + (log_partition_unsafe(world, beta) - log_partition(world, beta)).clamp(min=0).max())
        path = torch.stack(
            [
                tv(optimal_policy(world, beta, penalty=share * enough.item()), optimal_policy(world, beta))
                for share in torch.linspace(0, 1, 31).tolist()
            ]
        )
        rises.append(path.diff(dim=0).clamp(min=0))
        last.append(path[-1])
    return largest(*rises, *last)


def penalty_for_tv(seed: int, worlds: int) -> float:
    world = random_world(seed, worlds)
    differences = []
    for beta in BETAS:
        for tau in (1e-2, 1e-4):
            for prompt, penalty in enumerate(required_penalty(world, beta, tau).tolist()):
                reached = tv(optimal_policy(world, beta, penalty=penalty), optimal_policy(world, beta))[prompt]
                # Where even C = 0 is within tau, the least C is 0 and tau need not be reached.
                differences.append(reached / tau - 1 if penalty > 0 else (reached - tau).clamp(min=0))
    return largest(*differences)


def price_of_support(seed: int, worlds: int) -> float:
    differences = []
    for safe_support in (0.5, 0.1, 1e-2, 1e-4, 1e-8, 1e-300):
        drawn = random_world(seed, worlds, safe_support=safe_support)
        world = FiniteWorld(drawn.ref_logps, torch.zeros_like(drawn.reward), drawn.unsafe)
        for beta in BETAS:
            formula = beta * np.log((1 - safe_support) / safe_support * (1 - 1e-3) / 1e-3)
            differences.append(relative(required_penalty(world, beta, 1e-3), torch.tensor(formula)))
    return largest(*differences)


def sufficient_penalty(seed: int, worlds: int) -> float:
    tau, excess = 1e-3, []
    for safe_support in (0.5, 1e-4):
        world = random_world(seed, worlds, safe_support=safe_support)
        worst_case = world.reward[world.unsafe].max() - world.reward[~world.unsafe].min()
        for beta in BETAS:
            penalty = worst_case + beta * np.log((1 - safe_support) / safe_support * (1 - tau) / tau)
            reached = tv(optimal_policy(world, beta, penalty=max(penalty.item(), 0.0)), optimal_policy(world, beta))
            excess.append((reached / tau - 1).clamp(min=0))
    return largest(*excess)


def support_moves_value_only(seed: int, worlds: int) -> float:
    differences = []
    half = random_world(seed, worlds, safe_support=0.5)
    for safe_support in (1e-3, 1e-30, 1e-300):
        poor = random_world(seed, worlds, safe_support=safe_support)  # the same world but for the mass of its safe part
        for beta in BETAS:
            differences.append(tv(optimal_policy(poor, beta), optimal_policy(half, beta)))
            fall = beta * np.log(safe_support / 0.5)
            differences.append(relative(optimal_value(poor, beta), optimal_value(half, beta) + fall))
    return largest(*differences)


def no_support_no_optimum(seed: int, worlds: int) -> float:
    world = random_world(seed, worlds)
    prompt = int(torch.randint(worlds, (1,), generator=generator(seed)))
    ref_logps = world.ref_logps.clone()
    ref_logps[prompt] = ref_logps[prompt].masked_fill(~world.unsafe[prompt], -torch.inf).log_softmax(-1)
    infeasible = FiniteWorld(ref_logps, world.reward, world.unsafe)
    try:
        optimal_policy(infeasible, 0.5)
    except InfeasiblePromptError as error:
        finite = unsafe_mass(infeasible, optimal_policy(infeasible, 0.5, penalty=100.0))[prompt]
        return largest(torch.tensor(float(error.prompt != prompt)), finite - 1)
    return float("inf")


CLAIMS = (
    Claim("tv-unsafe-mass", "TV(π_C, π*) is the unsafe mass of π_C", "derived", 1e-12, tv_is_unsafe_mass),
    Claim("tv-closed-form", "TV(π_C, π*) = e^{−C/β} Z_u / (Z_s + e^{−C/β} Z_u)", "derived", 1e-12, tv_closed_form),
    Claim(
        "penalty-safe-part",
        "π_C restricted to the safe answers is π*, for every C",
        "derived",
        1e-12,
        safe_part_of_penalised,
    ),
    Claim(
        "penalty-limit", "TV(π_C, π*) never rises with C and vanishes as C → ∞", "Prop. 4.2", 1e-12, limit_of_penalty
    ),
    Claim(
        "penalty-for-tv",
        "the least C with TV(π_C, π*) ≤ τ is β log[(Z_u/Z_s)(1−τ)/τ], or 0",
        "derived",
        1e-8,
        penalty_for_tv,
    ),
    Claim(
        "price-of-support",
        "with equal rewards that C is β log[((1−δ)/δ)(1−τ)/τ]: poor support δ costs β log(1/δ)",
        "Assumption 4.1, derived",
        1e-10,
        price_of_support,
    ),
    Claim(
        "penalty-sufficient",
        "C = max_u r − min_s r + β log[((1−δ)/δ)(1−τ)/τ] is enough for TV ≤ τ",
        "Assumption 4.1, derived",
        1e-9,
        sufficient_penalty,
    ),
    Claim(
        "support-to-zero",
        "as the safe support δ → 0, π* does not move and its value falls by β log(1/δ)",
        "Assumption 4.1, derived",
        1e-10,
        support_moves_value_only,
    ),
    Claim(
        "no-support",
        "at δ = 0 π* does not exist (the prompt is named) and every π_C is all unsafe",
        "Assumption 4.1",
        1e-12,
        no_support_no_optimum,
    ),
)
