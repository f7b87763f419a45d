"""Claims about the optimum: sections 2.2, 3.1 and Proposition 4.2 of the paper, and what follows from them."""

from decimal import Decimal, localcontext

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from safedpo.finite.claims.claim import Claim, generator, largest, random_policies, relative
from safedpo.finite.optimum import (
    InfeasiblePromptError,
    expectation,
    kl,
    log_partition,
    log_partition_unsafe,
    objective,
    optimal_policy,
    optimal_value,
    required_penalty,
    safe_part,
    tv,
    unsafe_mass,
)
from safedpo.finite.world import FiniteWorld, random_world
from safedpo.losses import reward_margin

BETAS = (0.05, 0.5, 5.0)
PENALTIES = (0.0, 0.5, 2.0)


def gibbs_identity(seed: int, worlds: int) -> float:
    differences = []
    for safe_support in (None, 1e-300):
        world = random_world(seed, worlds, safe_support=safe_support)
        policies = random_policies(world, 20, seed, safe=True)
        for beta in (1e-3, *BETAS, 1e3):
            value = optimal_value(world, beta) - beta * kl(policies, optimal_policy(world, beta))
            differences.append(relative(objective(world, policies, beta), value))
    return largest(*differences)


def best_of_scipy(seed: int, worlds: int) -> float:
    world = random_world(seed, min(worlds, 20), 5)
    differences = []
    for prompt in range(world.prompts):
        safe = ~world.unsafe[prompt]
        reference, reward = world.ref_logps[prompt, safe].numpy(), world.reward[prompt, safe].numpy()
        for beta in BETAS:
            found = torch.from_numpy(_maximise(reference, reward, beta))
            differences.append(found - optimal_policy(world, beta)[prompt, safe].exp())
    return largest(*differences)


def _maximise(reference: np.ndarray, reward: np.ndarray, beta: float) -> np.ndarray:
    """Maximise E[r] / beta - KL over logits with SciPy, in NumPy, knowing nothing of the closed form."""

    def cost(logits: np.ndarray) -> tuple[float, np.ndarray]:
        logps = logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()
        gain = (reward - reward.max()) / beta - logps + reference
        mean = (np.exp(logps) * gain).sum()
        return -mean, -np.exp(logps) * (gain - mean)

    exhaustive = {"gtol": 1e-12, "ftol": 0.0, "xtol": 0.0, "maxfun": 5000}  # to where float64 has no better point

    def end(start: np.ndarray):
        return minimize(cost, start, jac=True, method="TNC", options=exhaustive)

    # On the plateaus of a peaked policy a line search may give up (one problem in thousands): two starts, then once more.
    logits = end(min(end(np.zeros_like(reward)), end(reference), key=lambda found: found.fun).x).x
    return np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()


def best_of_random(seed: int, worlds: int) -> float:
    world = random_world(seed, min(worlds, 4))
    noise = torch.randn(10_000, *world.reward.shape, generator=generator(seed), dtype=torch.float64)
    excess = []
    for beta in BETAS:
        best = optimal_policy(world, beta)
        noise[5_000:] = 0.1 * noise[:5_000]  # half anywhere, half close to the optimum, where the test is sharp
        policies = (best.masked_fill(world.unsafe, 0.0) + noise).masked_fill(world.unsafe, -torch.inf).log_softmax(-1)
        excess.append(objective(world, policies, beta).amax(0) - objective(world, best, beta))
    return largest(torch.stack(excess).clamp(min=0.0))


def extremes(seed: int, worlds: int) -> float:
    differences = []
    for safe_support in (1e-300, 1e-8, 0.5):
        world = random_world(seed, min(worlds, 4), 5, safe_support=safe_support)
        for beta in (1e-3, 1.0, 1e3):
            log_z, policy = log_partition(world, beta), optimal_policy(world, beta).exp()
            for prompt in range(world.prompts):
                exact_log_z, exact = _fifty_digits(world, prompt, beta)
                shown = exact > 1e-290  # below, float64 rounds a probability to nothing
                differences.append((log_z[prompt] - exact_log_z) / abs(exact_log_z))
                differences.append((policy[prompt] - exact)[shown] / exact[shown])
    return largest(*differences)


def _fifty_digits(world: FiniteWorld, prompt: int, beta: float) -> tuple[float, Tensor]:
    """log Z_s and pi* of one prompt by 50-digit arithmetic."""
    with localcontext(prec=50):
        terms = [
            Decimal(0) if unsafe else Decimal(reference).exp() * (Decimal(reward) / Decimal(beta)).exp()
            for reference, reward, unsafe in zip(
                world.ref_logps[prompt].tolist(),
                world.reward[prompt].tolist(),
                world.unsafe[prompt].tolist(),
                strict=True,
            )
        ]
        total = sum(terms)
        return float(total.ln()), torch.tensor([float(term / total) for term in terms], dtype=torch.float64)


def log_z_cancels(seed: int, worlds: int) -> float:
    world = random_world(seed, worlds)
    first, second = torch.triu_indices(world.answers, world.answers, offset=1)
    reward = world.reward[:, first] - world.reward[:, second]
    differences = []
    for beta in BETAS:
        logps = optimal_policy(world, beta, penalty=0.0)
        columns = [table[:, answer] for table in (logps, world.ref_logps) for answer in (first, second)]
        differences.append(relative(reward_margin(*columns, beta=beta), reward))
    return largest(*differences)


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


def small_beta(seed: int, worlds: int) -> float:
    world, beta = random_world(seed, worlds), 1e-9
    best = world.reward.masked_fill(world.unsafe, -torch.inf).amax(-1)
    return largest(optimal_value(world, beta) - best, expectation(optimal_policy(world, beta), world.reward) - best)


def large_beta(seed: int, worlds: int) -> float:
    world, beta = random_world(seed, worlds), 1e6
    start = safe_part(world, world.ref_logps)
    spread = (world.reward - expectation(start, world.reward)[:, None]).abs()
    return largest(beta * tv(optimal_policy(world, beta), start) - expectation(start, spread) / 2)


CLAIMS = (
    Claim(
        "gibbs-identity",
        "E_π[r] − β KL(π‖π_ref) = β log Z_s − β KL(π‖π*) for every π on the safe answers, so π* is the unique optimum",
        "Eq. 8-9, derived",
        1e-10,
        gibbs_identity,
    ),
    Claim(
        "optimum-scipy",
        "π* = π_ref e^{r/β} / Z_s on the safe answers is where SciPy's truncated Newton method ends",
        "Eq. 9",
        1e-5,
        best_of_scipy,
    ),
    Claim(
        "optimum-random",
        "none of 10,000 random safe policies, half of them near π*, has a higher objective than π*",
        "Eq. 8-9",
        1e-12,
        best_of_random,
    ),
    Claim(
        "optimum-extremes",
        "log Z_s and π* agree with 50-digit arithmetic for safe support down to 1e-300 and β from 1e-3 to 1e3",
        "Eq. 9",
        1e-10,
        extremes,
    ),
    Claim(
        "log-z-cancels",
        "β log π/π_ref of two answers differs by r(y_1) − r(y_2) at the optimum: log Z cancels",
        "DPO (arXiv 2305.18290), Eq. 5-6",
        1e-10,
        log_z_cancels,
    ),
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
    Claim("beta-to-zero", "as β → 0 the value and E_π*[r] go to the best safe reward", "derived", 1e-6, small_beta),
    Claim(
        "beta-to-infinity",
        "as β → ∞ π* goes to the safe part of π_ref: β TV → E|r − E r| / 2 under it",
        "derived",
        1e-4,
        large_beta,
    ),
)
