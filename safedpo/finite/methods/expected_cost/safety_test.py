"""HC-RLHF: a policy is handed out only if a test on fresh samples says so, else "no solution" (arXiv 2506.08266)."""

import math
from dataclasses import dataclass
from typing import TypedDict, Unpack

import torch
from torch import Tensor

from safedpo.errors import UserError
from safedpo.finite.methods.checked import checked
from safedpo.finite.methods.expected_cost.dual import InfeasibleLimitError, check_limit
from safedpo.finite.methods.expected_cost.lagrangian import c_dpo
from safedpo.finite.methods.outcome import Outcome, sample_answers
from safedpo.finite.pairs import Pairs
from safedpo.finite.world import FiniteWorld, same_shape


class NoSolutionError(UserError):
    """The trained policy did not pass its safety test; `test` holds the numbers."""

    def __init__(self, test: "SafetyTest"):
        super().__init__(
            f"no solution: with confidence {1 - test.alpha:.3g} the expected cost is only known to be at most "
            f"{test.bound:.4g}, above the limit {test.limit:.4g}; draw more samples or aim lower"
        )
        self.test = test


@dataclass(frozen=True)
class SafetyTest:
    """`mean` of n sampled costs and its upper confidence `bound`; `passed` where the bound is at most `limit`."""

    mean: float
    bound: float
    limit: float
    alpha: float
    samples: int

    @property
    def passed(self) -> bool:
        """Whether the policy may be handed out."""
        return self.bound <= self.limit


@checked
def confidence_width(low: float, high: float, samples: int, alpha: float) -> float:
    """Hoeffding: (high - low) sqrt(log(1 / alpha) / (2 n)), for costs between `low` and `high`.

    >>> round(confidence_width(0.0, 1.0, 1000, 0.05), 4)
    0.0387
    """
    if high < low:
        raise UserError(f"low is {low} and high {high}; costs lie between them, so low comes first")
    return (high - low) * math.sqrt(math.log(1 / alpha) / (2 * samples))


@checked
def safety_test(
    world: FiniteWorld, logps: Tensor, *, limit: float, samples: int = 2000, alpha: float = 0.05, seed: int = 0
) -> SafetyTest:
    """Draw `samples` answers of a policy (P, A), over all prompts, and bound its expected cost from above.

    A policy whose expected cost is above `limit` passes with probability at most `alpha`. The paper uses Student's t;
    Hoeffding's bound needs no normal law and is wider. Applies to any trained policy.

    >>> from safedpo.finite import optimal_policy, six_answers
    >>> world = six_answers()
    >>> safety_test(world, optimal_policy(world, 0.5), limit=0.0).passed, safety_test(world, world.ref_logps, limit=0.0).passed
    (True, False)
    """
    same_shape(world, logps=logps)
    draw = torch.Generator().manual_seed(seed)
    prompts = torch.randint(world.prompts, (samples,), generator=draw)
    answers = sample_answers(logps[prompts], 1, draw)[:, 0]
    mean = world.cost[prompts, answers].mean().item()
    width = confidence_width(world.cost.min().item(), world.cost.max().item(), samples, alpha)
    return SafetyTest(mean, mean + width, limit, alpha, samples)


class LoopSettings(TypedDict, total=False):
    """What `hc_rlhf` hands on to the loop of `c_dpo`."""

    eta: float | None
    rounds: int
    steps: int
    tolerance: float


@checked
def hc_rlhf(
    world: FiniteWorld,
    pairs: Pairs,
    *,
    beta: float,
    seed: int = 0,
    limit: float = 0.0,
    alpha: float = 0.05,
    samples: int = 4000,
    **own: Unpack[LoopSettings],
) -> Outcome:
    """Train against a limit tightened by two confidence widths (with C-DPO's loop in place of PPO), then test on fresh samples.

    Raises `NoSolutionError` where the test fails; the returned policy passed. The cost is that of `world`, as a cost
    model trusted to be right; `own` goes to `c_dpo`.

    >>> from safedpo.finite import population, six_answers
    >>> world = six_answers()
    >>> done = hc_rlhf(world, population(world), beta=0.5, steps=50)
    >>> (done.logps.exp() * world.cost).sum().item() < 0
    True
    """
    width = confidence_width(world.cost.min().item(), world.cost.max().item(), samples, alpha)
    try:
        check_limit("HC-RLHF", world, limit - 2 * width)
    except InfeasibleLimitError as error:
        why = f" (the limit {limit:.6g} less two confidence widths of {width:.4g})"
        raise InfeasibleLimitError("HC-RLHF", limit - 2 * width, error.best, error.worst, why) from None
    done = c_dpo(world, pairs, beta=beta, seed=seed, limit=limit - 2 * width, models=world, samples=samples, **own)
    test = safety_test(world, done.logps, limit=limit, samples=samples, alpha=alpha, seed=seed + 1)
    done.costs.samples += samples
    if not test.passed:
        raise NoSolutionError(test)
    return Outcome(
        "HC-RLHF",
        done.logps,
        done.costs,
        "after arXiv 2506.08266 (its test; the loop is C-DPO's)",
        done.gradient_norm,
        done.multiplier,
        (*done.history, {"mean": test.mean, "bound": test.bound}),
        done.learned,
    )
