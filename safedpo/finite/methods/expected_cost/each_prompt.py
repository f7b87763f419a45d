"""RePO: the expected cost is bounded for *each* prompt, with a price of its own (arXiv 2410.19933)."""

import torch
from torch import Tensor

from safedpo.finite.fit import NotConvergedError
from safedpo.finite.methods.checked import checked
from safedpo.finite.methods.expected_cost.dual import InfeasibleLimitError, best_multiplier, least_cost
from safedpo.finite.methods.expected_cost.lagrangian import relabel
from safedpo.finite.methods.learned import learned_world
from safedpo.finite.methods.outcome import Costs, Outcome, dpo, sample_answers
from safedpo.finite.optimum import expectation, unsafe_mass
from safedpo.finite.pairs import Pairs
from safedpo.finite.world import FiniteWorld


@checked
def prompt_multipliers(world: FiniteWorld, beta: float, limit: float) -> Tensor:
    """lambda_x for each prompt, (P,): the least price at which that prompt's own expected cost is within `limit`.

    Raises `InfeasibleLimitError` naming the first prompt where no policy is.

    >>> from safedpo.finite import six_answers
    >>> round(prompt_multipliers(six_answers(), 0.5, 0.0).item(), 4)
    0.3477
    """
    _check_limits(world, limit)
    return torch.tensor([best_multiplier(one, beta, limit) for one in _prompts(world)], dtype=torch.float64)


@checked
def repo(
    world: FiniteWorld,
    pairs: Pairs,
    *,
    beta: float,
    seed: int = 0,
    limit: float = 0.0,
    models: FiniteWorld | None = None,
    samples: int | None = 4000,
    rounds: int = 80,
    steps: int = 300,
    tolerance: float = 0.05,
) -> Outcome:
    """C-DPO's loop with a price for each prompt: lambda_x <- [lambda_x + eta_x (cost_x - limit)]+, eta_x = 1 / sup g_x''.

    RePO itself trains with a rectified penalty; this loop has its optimum [derived]. `samples` answers *a prompt*
    estimate each cost (None: exact sums). Ends when no price moved more than `tolerance` times its eta;
    `InfeasibleLimitError` names a prompt, `NotConvergedError` the last step. `multiplier` is the mean price.

    >>> from safedpo.finite import population, six_answers, tv
    >>> world = six_answers()
    >>> done = repo(world, population(world), beta=0.5, models=world, samples=None, rounds=20, steps=100)
    >>> tv(done.logps, repo_optimum(world, beta=0.5)).item() < 0.05
    True
    """
    costs, draw, history, logps = Costs(), torch.Generator().manual_seed(seed), [], world.ref_logps
    with costs.timed():
        models = learned_world("RePO's models", world, pairs, costs) if models is None else models
        costs.tables += 1
        _check_limits(models, limit)
        lam, eta = torch.zeros(world.prompts, dtype=torch.float64), 4 * beta / _spread(models) ** 2
        for _ in range(rounds):
            labelled = relabel(pairs, models.reward - lam[:, None] * models.cost)
            logps, norm = dpo("RePO", world, labelled, costs, beta, steps, None, start=logps)
            cost = _estimates(models, logps, samples, draw, costs)
            moved = (lam + eta * (cost - limit)).clamp(min=0.0)
            still = ((moved - lam).abs() / eta).max().item()
            mass = unsafe_mass(world, logps).mean().item()
            history.append({"lambda": lam.mean().item(), "cost": cost.max().item(), "unsafe_mass": mass})
            if still <= tolerance:
                source = "after arXiv 2410.19933 (the loop is derived)"
                return Outcome("RePO", logps, costs, source, norm, lam.mean().item(), tuple(history), models)
            lam = moved
    raise NotConvergedError("RePO's loop over prices", rounds, still, tolerance, loop="last step over eta")


@checked
def repo_optimum(world: FiniteWorld, *, beta: float, limit: float = 0.0) -> Tensor:
    """pi_ref exp((r - lambda_x c) / beta) / Z, (P, A), with each prompt's least price [derived].

    >>> from safedpo.finite.world import random_world
    >>> world = random_world(0, 3, 5)
    >>> limit = world.cost.amin(-1).max().item() + 0.2  # every prompt can meet it
    >>> bool((expectation(repo_optimum(world, beta=0.5, limit=limit), world.cost) <= limit + 1e-9).all())
    True
    """
    lam = prompt_multipliers(world, beta, limit)[:, None]
    return (world.ref_logps + (world.reward - lam * world.cost) / beta).log_softmax(-1)


def _estimates(models: FiniteWorld, logps: Tensor, samples: int | None, draw: torch.Generator, costs: Costs) -> Tensor:
    """Each prompt's expected cost (P,), exact or from `samples` answers."""
    if samples is None:
        return expectation(logps, models.cost)
    answers = sample_answers(logps, samples, draw)
    costs.samples += answers.numel()
    return models.cost.gather(1, answers).mean(-1)


def _check_limits(world: FiniteWorld, limit: float) -> None:
    """Raise `InfeasibleLimitError` naming the first prompt whose cheapest answer does not cost less than `limit`."""
    for x, one in enumerate(_prompts(world)):
        if not limit > least_cost(one):
            raise InfeasibleLimitError(f"RePO, prompt {x}", limit, least_cost(one))


def _prompts(world: FiniteWorld) -> list[FiniteWorld]:
    tables = zip(world.ref_logps, world.reward, world.unsafe, world.cost, strict=True)
    return [FiniteWorld(ref[None], reward[None], unsafe[None], cost[None]) for ref, reward, unsafe, cost in tables]


def _spread(world: FiniteWorld) -> Tensor:
    """The largest difference of two costs of each prompt, among answers the reference can give, (P,)."""
    never = world.ref_logps.isneginf()
    most = world.cost.masked_fill(never, -torch.inf).amax(-1)
    return (most - world.cost.masked_fill(never, torch.inf).amin(-1)).clamp(min=1e-12)
