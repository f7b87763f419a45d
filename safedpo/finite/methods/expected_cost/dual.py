"""The dual of the *expected*-cost problem: maximise E[r] - beta KL subject to E[c] <= limit (Eq. 7 of the paper).

For a price lambda >= 0 on cost the best policy is pi_lambda = pi_ref exp((r - lambda c) / beta) / Z_lambda, and the
dual function g(lambda) = beta E_x log Z_lambda(x) + lambda limit is convex, with slope limit - E_{pi_lambda}[c]. All
formulas here are derived (only the abstract of C-DPO, arXiv 2403.02475, could be read) and checked numerically.
"""

from collections.abc import Callable

import torch
from scipy.optimize import brentq
from torch import Tensor

from safedpo.errors import UserError
from safedpo.finite.methods.checked import checked
from safedpo.finite.optimum import expectation
from safedpo.finite.world import FiniteWorld
from safedpo.losses import check_beta

SAFE_RLHF_MAX = 5.0  # Safe RLHF keeps lambda at or below 5


class InfeasibleLimitError(UserError):
    """No policy of the family brings the expected cost strictly below `limit`; the best attainable is `best`.

    `worst` says which prompt costs most even so; `why` where the limit comes from, if not from the caller; `at` the
    price that attains the best.
    """

    def __init__(
        self, method: str, limit: float, best: float, worst: str = "", why: str = "", at: str = "only as lambda grows"
    ):
        super().__init__(
            f"{method}: the expected cost cannot be held at or below {limit:.6g}{why}: the best attainable is "
            f"{best:.6g} ({at}{worst}); choose a limit above it"
        )
        self.limit, self.best, self.worst = limit, best, worst


@checked
def expected_cost(world: FiniteWorld, logps: Tensor) -> Tensor:
    """E_x E_pi[c], the mean over prompts, ().

    >>> from safedpo.finite import six_answers
    >>> round(expected_cost(six_answers(), six_answers().ref_logps).item(), 6)
    0.0
    """
    return expectation(logps, world.cost).mean(-1)


@checked
def lagrangian_policy(world: FiniteWorld, lam: float, beta: float) -> Tensor:
    """pi_lambda = pi_ref exp((r - lambda c) / beta) / Z, (P, A): the optimum of C-DPO, SACPO and PD-DPO at lambda.

    >>> from safedpo.finite import six_answers, unsafe_mass
    >>> [round(unsafe_mass(six_answers(), lagrangian_policy(six_answers(), lam, 0.5)).item(), 4) for lam in (0, 1, 5)]
    [0.7774, 0.0304, 0.0]
    """
    return (world.ref_logps + (world.reward - lam * world.cost) / beta).log_softmax(-1)


@checked
def safe_rlhf_policy(world: FiniteWorld, lam: float, beta: float) -> Tensor:
    """pi_ref exp((r - lambda c) / ((1 + lambda) beta)) / Z, (P, A): the optimum of Safe RLHF at lambda [derived].

    Its advantage is divided by 1 + lambda and its KL term is not, so as lambda grows it stops at
    pi_ref exp(-c / beta): no lambda removes the unsafe mass.

    >>> from safedpo.finite import six_answers, tv
    >>> world = six_answers()
    >>> tv(safe_rlhf_policy(world, 1e9, 0.5), (world.ref_logps - world.cost / 0.5).log_softmax(-1)).item() < 1e-6
    True
    """
    return lagrangian_policy(world, lam, (1 + lam) * beta)


@checked
def dual_value(world: FiniteWorld, lam: float, beta: float, limit: float) -> Tensor:
    """g(lambda) = beta E_x log Z_lambda(x) + lambda limit, (): an upper bound on the constrained optimum, for each
    lambda >= 0, that is tight at lambda*.

    >>> from safedpo.finite import expected_reward, kl, optimal_policy, six_answers
    >>> world, free = six_answers(), optimal_policy(six_answers(), 0.5, penalty=0.0)  # at lambda 0 there is no limit
    >>> best = expected_reward(world, free) - 0.5 * kl(free, world.ref_logps)
    >>> round((dual_value(world, 0.0, 0.5, limit=0.0) - best).item(), 9)
    0.0
    """
    return beta * (world.ref_logps + (world.reward - lam * world.cost) / beta).logsumexp(-1).mean() + lam * limit


@checked
def dual_gradient(world: FiniteWorld, lam: float, beta: float, limit: float) -> Tensor:
    """g'(lambda) = limit - E_{pi_lambda}[c], ().

    >>> from safedpo.finite import six_answers
    >>> values = [dual_value(six_answers(), lam, 0.5, 0.0).item() for lam in (0.999, 1.001)]
    >>> abs((values[1] - values[0]) / 0.002 - dual_gradient(six_answers(), 1.0, 0.5, 0.0).item()) < 1e-5
    True
    """
    return limit - expected_cost(world, lagrangian_policy(world, lam, beta))


@checked
def dual_curvature(world: FiniteWorld, lam: float, beta: float) -> Tensor:
    """g''(lambda) = E_x Var_{pi_lambda}(c) / beta >= 0, (): the dual is convex.

    >>> from safedpo.finite import six_answers
    >>> slopes = [dual_gradient(six_answers(), lam, 0.5, 0.0).item() for lam in (0.999, 1.001)]
    >>> abs((slopes[1] - slopes[0]) / 0.002 - dual_curvature(six_answers(), 1.0, 0.5).item()) < 1e-5
    True
    """
    policy = lagrangian_policy(world, lam, beta)
    return ((expectation(policy, world.cost**2) - expectation(policy, world.cost) ** 2) / beta).mean()


@checked
def largest_dual_curvature(world: FiniteWorld, beta: float) -> float:
    """(c_max - c_min)^2 / (4 beta) >= g'' for every lambda: the dual loop converges for eta below 2 over g''.

    >>> from safedpo.finite import six_answers
    >>> largest_dual_curvature(six_answers(), 0.5)  # (2.5 + 1.5)^2 / 2
    8.0
    """
    check_beta(beta)
    cost = torch.where(world.ref_logps.isneginf(), torch.nan, world.cost)
    spread = torch.where(cost.isnan(), -torch.inf, cost).amax(-1) - torch.where(cost.isnan(), torch.inf, cost).amin(-1)
    return (spread**2).mean().item() / (4 * beta)


def least_cost(world: FiniteWorld) -> float:
    """The least expected cost of any policy near the reference: each prompt's cheapest answer that it can emit.

    >>> from safedpo.finite import six_answers
    >>> least_cost(six_answers())
    -1.5
    """
    return _cheapest(world).mean().item()


def _cheapest(world: FiniteWorld) -> Tensor:
    """The cost of each prompt's cheapest answer that the reference can give, (P,)."""
    return torch.where(world.ref_logps.isneginf(), torch.inf, world.cost).amin(-1)


def check_limit(method: str, world: FiniteWorld, limit: float) -> None:
    """Raise `InfeasibleLimitError` unless some policy has an expected cost strictly below `limit`.

    >>> from safedpo.finite import six_answers
    >>> check_limit("demo", six_answers(), -1.4)  # the cheapest answer costs -1.5
    >>> check_limit("demo", six_answers(), -1.5)
    Traceback (most recent call last):
    safedpo.finite.methods.expected_cost.dual.InfeasibleLimitError: demo...
    """
    cheapest = _cheapest(world)
    if not limit > cheapest.mean().item():
        at = int(cheapest.argmax())
        worst = f"; the cheapest answer to prompt {at} costs {cheapest[at].item():.6g}"
        raise InfeasibleLimitError(method, limit, cheapest.mean().item(), worst)


@checked
def best_multiplier(world: FiniteWorld, beta: float, limit: float) -> float:
    """lambda*, the minimum of the convex dual on lambda >= 0, by the root of its slope.

    For one prompt and c = h it is beta log[(Z_u / Z_s) (1 - limit) / limit], or 0 where that is negative.

    >>> from safedpo.finite import six_answers
    >>> round(best_multiplier(six_answers(), 0.5, 0.0), 4)
    0.3477
    """
    check_limit("the dual problem", world, limit)
    return _root(lambda lam: dual_gradient(world, lam, beta, limit).item())


@checked
def safe_rlhf_multiplier(world: FiniteWorld, beta: float, limit: float) -> float:
    """The least lambda in [0, 5] at which the optimum of Safe RLHF meets its limit [derived].

    Raises `InfeasibleLimitError` with the expected cost at lambda = 5 where even that is above the limit.

    >>> from safedpo.finite import six_answers
    >>> lam = safe_rlhf_multiplier(six_answers(), 0.5, -0.5)
    >>> round(expected_cost(six_answers(), safe_rlhf_policy(six_answers(), lam, 0.5)).item(), 6)
    -0.5
    """

    def excess(lam: float) -> float:
        return expected_cost(world, safe_rlhf_policy(world, lam, beta)).item() - limit

    costs = expectation(safe_rlhf_policy(world, SAFE_RLHF_MAX, beta), world.cost)  # each prompt's, at most its limit
    if costs.mean() > limit:
        worst = f"; there prompt {int(costs.argmax())} costs {costs.max().item():.6g}"
        at = f"at lambda = {SAFE_RLHF_MAX:g}, its largest"
        raise InfeasibleLimitError("Safe RLHF", limit, costs.mean().item(), worst, at=at)
    return _root(lambda lam: -excess(lam))


def _root(rising: Callable[[float], float], most: float = 1e9) -> float:
    """The least lambda >= 0 with `rising(lambda)` >= 0, by Brent's method."""
    if rising(0.0) >= 0:
        return 0.0
    high = 1.0
    while rising(high) < 0:
        high *= 2
        if high > most:
            raise UserError(
                f"no price up to {most:.0e} meets the limit: the costs differ by too little; rescale the costs"
            )
    return brentq(rising, 0.0, high, xtol=1e-14, rtol=1e-14)
