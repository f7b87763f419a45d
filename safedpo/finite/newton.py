"""A second way to train, sharing nothing with `fit` but the pairs: Newton's method on autograd of `safedpo_loss`.

It reaches a finite optimum to machine precision. Where the infimum lies at infinity (a safe answer that always beats
an unsafe one), each iteration adds about 1 to the reward margin m, until exp(-m) is below the ridge.
"""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from safedpo.finite.pairs import Pairs
from safedpo.losses import safedpo_loss

ITERATIONS = 50
LARGEST_STEP = 2.0  # of a logit, in units of the reward margin: keeps the first steps from overshooting
RIDGE = 1e-13  # in units of beta^2: keeps the matrix regular where a margin has gone to infinity


def newton(pairs: Pairs, start: Tensor, ref_logps: Tensor, *, beta: float, deltas: list[float]) -> Tensor:
    """Minimise `pairs_loss` from each start for each delta: (S, P, A) -> log-probabilities (D, S, P, A).

    >>> from safedpo.finite import optimal_policy, population, six_answers, tv
    >>> world = six_answers()
    >>> start = world.ref_logps[None]  # one start
    >>> found = newton(population(world).transform(), start, world.ref_logps, beta=0.5, deltas=[0.0, 5.0])
    >>> found.shape, tv(found[:, 0], optimal_policy(world, 0.5)).max().item() < 1e-9  # pi* for every delta (Prop. 4.4)
    (torch.Size([2, 1, 1, 6]), True)
    """
    prompts, answers = ref_logps.shape
    compare = (one_hot(pairs.chosen, answers) - one_hot(pairs.rejected, answers)).double()  # (N, A)
    outer = compare[:, :, None] * compare[:, None, :]  # (N, A, A)
    # A common shift of a prompt's logits changes nothing: give it a curvature of its own.
    floor = beta**2 * (1 + RIDGE * torch.eye(answers, dtype=torch.float64))
    ratio = (start - ref_logps).repeat(len(deltas), 1, 1, 1)  # (D, S, P, A)
    delta = torch.tensor(deltas, dtype=torch.float64)[:, None, None]
    for _ in range(ITERATIONS):
        slope, curvature = _derivatives(pairs, (ratio[..., pairs.prompt, :] * compare).sum(-1), beta, delta)
        gradient = torch.zeros_like(ratio).index_add(-2, pairs.prompt, slope[..., None] * compare)
        hessian = floor.expand(*ratio.shape, answers)
        hessian = hessian.index_add(-3, pairs.prompt, curvature[..., None, None] * outer)
        step = torch.linalg.solve(hessian, gradient)
        ratio = ratio - step * (LARGEST_STEP / beta / step.abs().amax(-1, keepdim=True)).clamp(max=1.0)
    return (ratio + ref_logps).log_softmax(-1)


def _derivatives(pairs: Pairs, gap: Tensor, beta: float, delta: Tensor) -> tuple[Tensor, Tensor]:
    """First and second derivative of each weighted loss in its gap, (D, S, N) each, by autograd."""
    gap = gap.detach().requires_grad_()
    zero = torch.zeros_like(gap)
    losses = safedpo_loss(gap, zero, zero, zero, pairs.chosen_unsafe, pairs.rejected_unsafe, beta=beta, delta=delta)
    (slope,) = torch.autograd.grad((pairs.weight * losses).sum(), gap, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), gap)
    return slope.detach(), curvature
