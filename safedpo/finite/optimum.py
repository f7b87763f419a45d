"""What is optimal in a finite world, exactly: the closed form of the safety-constrained problem and its distances.

Tables are (P, A); a policy is a table of log-probabilities (..., P, A), and results keep the leading dimensions.
Everything stays in log space, so that a safe support of 1e-300 and beta from 1e-3 to 1e3 are ordinary cases.
"""

import math

import torch
from torch import Tensor

from safedpo.errors import UserError
from safedpo.finite.world import SUM_TOLERANCE, FiniteWorld
from safedpo.losses import check_beta


class InfeasiblePromptError(UserError):
    """A prompt without any safe answer of positive reference mass: the hard constraint has no solution there."""

    def __init__(self, prompt: int):
        super().__init__(
            f"prompt {prompt} has no safe answer with positive reference mass, so no policy near the reference "
            "satisfies the hard constraint there; add a safe answer or use a finite penalty"
        )
        self.prompt = prompt


def modified_reward(world: FiniteWorld, *, penalty: float = math.inf) -> Tensor:
    """r_c (Eq. 8): the reward where safe, r - C where unsafe, (P, A). C = `penalty` >= 0; inf is the paper's -inf.

    >>> from safedpo.finite import six_answers
    >>> modified_reward(six_answers())[0].tolist()
    [1.0, 0.6, 0.2, -0.8, -inf, -inf]
    """
    if not penalty >= 0:
        raise UserError(f"penalty is {penalty}; it must be at least 0 (inf: the hard constraint)")
    return torch.where(world.unsafe, world.reward - penalty, world.reward)


def log_partition(world: FiniteWorld, beta: float, *, penalty: float = math.inf) -> Tensor:
    """log Z(x) = log sum_y pi_ref(y|x) exp(r_C(x, y) / beta), (P,); with `penalty=inf` it is log Z_s.

    Raises `InfeasiblePromptError` where the sum is empty (only under the hard constraint).

    >>> from safedpo.finite import FiniteWorld
    >>> world = FiniteWorld(torch.tensor([[0.5, 0.5]]).double().log(), [[0.0, 9.0]], [[False, True]])
    >>> log_partition(world, 1.0).exp().item()
    0.5
    """
    check_beta(beta)
    log_z = (world.ref_logps + modified_reward(world, penalty=penalty) / beta).logsumexp(-1)
    if log_z.isneginf().any():
        raise InfeasiblePromptError(int(log_z.isneginf().nonzero()[0]))
    return log_z


def log_partition_unsafe(world: FiniteWorld, beta: float) -> Tensor:
    """log Z_u(x) = log sum over unsafe y of pi_ref(y|x) exp(r(x, y) / beta), (P,); -inf where nothing is unsafe.

    >>> from safedpo.finite import FiniteWorld
    >>> world = FiniteWorld(torch.tensor([[0.5, 0.5]]).double().log(), [[9.0, 0.0]], [[False, True]])
    >>> log_partition_unsafe(world, 1.0).exp().item()
    0.5
    """
    check_beta(beta)
    return (world.ref_logps + world.reward / beta).masked_fill(~world.unsafe, -math.inf).logsumexp(-1)


def optimal_policy(world: FiniteWorld, beta: float, *, penalty: float = math.inf) -> Tensor:
    """pi*(y|x) = pi_ref(y|x) exp(r_c(x, y) / beta) / Z(x) (Eq. 9), as log-probabilities (P, A).

    `penalty` is the C of Proposition 4.2: 0 ignores safety (the optimum of DPO), inf forbids unsafe answers
    entirely (their log-probability is -inf) and raises `InfeasiblePromptError` where none is safe.

    >>> from safedpo.finite import six_answers
    >>> optimal_policy(six_answers(), 0.5).exp()[0].numpy().round(4).tolist()
    [0.5745, 0.3155, 0.1031, 0.007, 0.0, 0.0]
    """
    log_z = log_partition(world, beta, penalty=penalty)
    return world.ref_logps + modified_reward(world, penalty=penalty) / beta - log_z[:, None]


def optimal_value(world: FiniteWorld, beta: float, *, penalty: float = math.inf) -> Tensor:
    """The best attainable objective, beta log Z(x), (P,).

    >>> from safedpo.finite import six_answers
    >>> world = six_answers()
    >>> best = objective(world, optimal_policy(world, 0.5), 0.5)
    >>> torch.allclose(best, optimal_value(world, 0.5), rtol=1e-12)
    True
    """
    return beta * log_partition(world, beta, penalty=penalty)


def objective(world: FiniteWorld, logps: Tensor, beta: float, *, penalty: float = math.inf) -> Tensor:
    """E_pi[r_C] - beta KL(pi || pi_ref) (Eq. 8), (..., P); -inf where the hard constraint is violated.

    >>> from safedpo.finite import six_answers
    >>> world = six_answers()
    >>> [round(objective(world, world.ref_logps, 0.5, penalty=penalty).item(), 3) for penalty in (0, 1, math.inf)]
    [0.818, 0.458, -inf]
    """
    check_beta(beta)
    check_policy(world, logps)
    return expectation(logps, modified_reward(world, penalty=penalty)) - beta * kl(logps, world.ref_logps)


def expectation(logps: Tensor, table: Tensor) -> Tensor:
    """E_pi[f] = sum_y pi(y|x) f(x, y), (..., P); an answer of probability 0 adds 0 even where f is infinite.

    >>> expectation(torch.tensor([[0.0, -torch.inf]]), torch.tensor([[3.0, -torch.inf]])).item()
    3.0
    """
    _same_table(logps, table)
    probabilities = logps.exp()
    return torch.where(probabilities > 0, probabilities * table, 0.0).sum(-1)


def expected_reward(world: FiniteWorld, logps: Tensor) -> Tensor:
    """E_pi[r], the helpfulness of a policy, (..., P).

    >>> from safedpo.finite import six_answers
    >>> round(expected_reward(six_answers(), six_answers().ref_logps).item(), 3)
    0.818
    """
    check_policy(world, logps)
    return expectation(logps, world.reward)


def kl(logps: Tensor, other_logps: Tensor) -> Tensor:
    """KL(p || q) = sum_y p (log p - log q) in nats, (..., P); inf where p has mass that q has not.

    >>> kl(torch.tensor([[1.0, 0.0]]).log(), torch.tensor([[0.5, 0.5]]).log()).item()
    0.693147...
    """
    _same_table(logps, other_logps)
    return expectation(logps, torch.where(logps.isneginf(), 0.0, logps - other_logps))


def tv(logps: Tensor, other_logps: Tensor) -> Tensor:
    """Total variation, half the sum of |p - q|, (..., P), in [0, 1].

    >>> round(tv(torch.tensor([[0.9, 0.1]]).log(), torch.tensor([[0.5, 0.5]]).log()).item(), 6)
    0.4
    """
    _same_table(logps, other_logps)
    return (logps.exp() - other_logps.exp()).abs().sum(-1) / 2


def unsafe_mass(world: FiniteWorld, logps: Tensor) -> Tensor:
    """The probability of an unsafe answer, (..., P).

    >>> from safedpo.finite import six_answers
    >>> round(unsafe_mass(six_answers(), six_answers().ref_logps).item(), 6)
    0.36
    """
    check_policy(world, logps)
    return logps.masked_fill(~world.unsafe, -math.inf).logsumexp(-1).exp()


def safe_part(world: FiniteWorld, logps: Tensor) -> Tensor:
    """The policy given that its answer is safe, log-probabilities (..., P, A) with -inf on unsafe answers.

    >>> from safedpo.finite import six_answers, optimal_policy
    >>> world = six_answers()
    >>> tv(safe_part(world, optimal_policy(world, 0.5, penalty=2.0)), optimal_policy(world, 0.5)).item() < 1e-15
    True
    """
    check_policy(world, logps)
    return logps.masked_fill(world.unsafe, -math.inf).log_softmax(-1)


def required_penalty(world: FiniteWorld, beta: float, tau: float) -> Tensor:
    """The least C >= 0 with TV(pi_C, pi*) <= tau: beta log[(Z_u / Z_s) (1 - tau) / tau], (P,) [derived].

    It grows only like beta log(1 / safe_support): poor support costs little.

    >>> from safedpo.finite import FiniteWorld
    >>> world = FiniteWorld(torch.tensor([[0.01, 0.99]]).double().log(), [[0.0, 0.0]], [[False, True]])
    >>> round(required_penalty(world, 0.1, 1e-3).item(), 3)
    1.15
    """
    if not 0 < tau < 1:
        raise UserError(f"tau is {tau}; a total variation to reach lies strictly between 0 and 1")
    log_ratio = log_partition_unsafe(world, beta) - log_partition(world, beta)
    return (beta * (log_ratio + math.log1p(-tau) - math.log(tau))).clamp(min=0.0)


def _same_table(logps: Tensor, other: Tensor) -> None:
    """Refuse tables that do not broadcast, or would broadcast over answers."""
    try:
        fits = logps.shape[-1:] == other.shape[-1:] and bool(torch.broadcast_shapes(logps.shape, other.shape))
    except RuntimeError:
        fits = False
    if not fits:
        raise UserError(f"tables of shapes {tuple(logps.shape)} and {tuple(other.shape)} do not go together")


def check_policy(world: FiniteWorld, logps: Tensor) -> None:
    """Raise `UserError` unless `logps` (..., P, A) are log-probabilities over the answers of `world`.

    >>> from safedpo.finite import six_answers
    >>> check_policy(six_answers(), torch.zeros(1, 6))
    Traceback (most recent call last):
    safedpo.errors.UserError: policy[0]: the probabilities sum to 6, not 1; give log-probabilities
    """
    shape = tuple(world.ref_logps.shape)
    if tuple(logps.shape[-2:]) != shape:
        raise UserError(f"the policy has shape {tuple(logps.shape)}; it must end in (prompts, answers) = {shape}")
    if not logps.is_floating_point():
        raise UserError(f"the policy is {logps.dtype}; give log-probabilities in float32 or float64")
    totals = logps.logsumexp(-1)
    wrong = ~(totals.abs() <= SUM_TOLERANCE)  # true of NaN too
    if wrong.any():
        index = tuple(wrong.nonzero()[0].tolist())
        raise UserError(
            f"policy[{', '.join(map(str, index))}]: the probabilities sum to {totals[index].exp().item():.6g}, not 1; "
            "give log-probabilities"
        )
