"""Claims about preferences and the optimum: sections 2 and 3.1 of the paper, and what follows from them."""

from decimal import Decimal, localcontext

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import entr, rel_entr
from torch import Tensor

from safedpo.finite.claims.claim import Claim, generator, largest, random_policies, relative
from safedpo.finite.claims.transform import table_of
from safedpo.finite.optimum import (
    expectation,
    kl,
    log_partition,
    objective,
    optimal_policy,
    optimal_value,
    safe_part,
    tv,
)
from safedpo.finite.pairs import pairs_loss, population
from safedpo.finite.world import FiniteWorld, random_world
from safedpo.losses import reward_margin

BETAS = (0.05, 0.5, 5.0)


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
        total = sum(terms, Decimal(0))
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


def small_beta(seed: int, worlds: int) -> float:
    world, beta = random_world(seed, worlds), 1e-9
    best = world.reward.masked_fill(world.unsafe, -torch.inf).amax(-1)
    return largest(optimal_value(world, beta) - best, expectation(optimal_policy(world, beta), world.reward) - best)


def large_beta(seed: int, worlds: int) -> float:
    world, beta = random_world(seed, worlds), 1e6
    start = safe_part(world, world.ref_logps)
    spread = (world.reward - expectation(start, world.reward)[:, None]).abs()
    return largest(beta * tv(optimal_policy(world, beta), start) - expectation(start, spread) / 2)


def shift_invariance(seed: int, worlds: int) -> float:
    """A reward plus a number for each prompt: the same labels, the same optima, and that number more of value."""
    world = random_world(seed, worlds)
    shift = 3 * torch.randn(worlds, 1, generator=generator(seed), dtype=torch.float64)
    moved = FiniteWorld(world.ref_logps, world.reward + shift, world.unsafe, world.cost)
    differences = [table_of(population(moved), world) - table_of(population(world), world)]
    for beta in BETAS:
        differences.append(relative(optimal_value(moved, beta), optimal_value(world, beta) + shift[:, 0]))
        for penalty in (0.0, 2.0, np.inf):
            differences.append(
                tv(optimal_policy(moved, beta, penalty=penalty), optimal_policy(world, beta, penalty=penalty))
            )
    return largest(*differences)


def entropy_and_kl(seed: int, worlds: int) -> float:
    world, pairs, differences = random_world(seed, worlds), population(random_world(seed, worlds)), []
    first, second = torch.triu_indices(world.answers, world.answers, offset=1)
    wins = (world.reward[:, first] - world.reward[:, second]).sigmoid().numpy()
    for policy in random_policies(world, 3, seed):
        for beta in BETAS:
            reward = beta * (policy - world.ref_logps)
            held = (reward[:, first] - reward[:, second]).sigmoid().clamp(1e-300, 1.0).numpy()
            lost = (reward[:, second] - reward[:, first]).sigmoid().clamp(1e-300, 1.0).numpy()
            entropy = entr(wins) + entr(1 - wins)
            expected = (entropy + rel_entr(wins, held) + rel_entr(1 - wins, lost)).sum()
            loss = pairs_loss(pairs, policy, world.ref_logps, beta=beta, delta=0.0)
            differences.append(relative(loss, torch.tensor(expected)))
    return largest(*differences)


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
    Claim("beta-to-zero", "as β → 0 the value and E_π*[r] go to the best safe reward", "derived", 1e-6, small_beta),
    Claim(
        "beta-to-infinity",
        "as β → ∞ π* goes to the safe part of π_ref: β TV → E|r − E r| / 2 under it",
        "derived",
        1e-4,
        large_beta,
    ),
    Claim(
        "bradley-terry-shift",
        "a reward plus any f(x) gives the same labels and the same optima: preferences fix r up to a number a prompt",
        "section 2.1, derived",
        1e-10,
        shift_invariance,
    ),
    Claim(
        "loss-entropy-kl",
        "E L = H(p) + KL(p ‖ σ(m)) for each pair, so the loss is least exactly where σ(m) = p",
        "DPO (arXiv 2305.18290), derived",
        1e-10,
        entropy_and_kl,
    ),
)
