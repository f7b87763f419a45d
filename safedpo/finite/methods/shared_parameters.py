"""Prompts that share parameters: a linear softmax, pi(y | x) proportional to pi_ref(y | x) exp(phi(x, y) . theta).

In a table each prompt is its own problem, so a pair that T drops costs its own prompt at most. With shared parameters
every pair moves every prompt, and which pairs are left decides what is learned: here methods with one optimum part.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from safedpo.finite.fit import DivergedError
from safedpo.finite.pair_table import PairTable
from safedpo.finite.pairs import Pairs
from safedpo.finite.slopes import safedpo_slope
from safedpo.finite.world import FiniteWorld


@dataclass(frozen=True, eq=False)
class SharedFit:
    """`theta` (T, S, F) and the policies `logps` (T, S, P, A) at the recorded `steps` (T,)."""

    theta: Tensor
    logps: Tensor
    steps: Tensor


def fit_shared(
    world: FiniteWorld,
    features: Tensor,
    pairs: Pairs | Sequence[Pairs],
    *,
    beta: float,
    delta: float = 0.0,
    steps: int = 1000,
    lr: float | None = None,
    record: Sequence[int] | None = None,
) -> SharedFit:
    """Gradient descent on SafeDPO's loss (DPO with `delta=0`) over theta, from theta = 0: one run for each data set.

    `features` (P, A, F) is phi. `lr` defaults to 1 / L, L the largest curvature over the data sets.

    >>> from safedpo.finite import population, six_answers
    >>> world = six_answers()
    >>> one_hot = torch.eye(6, dtype=torch.float64)[None]  # a table again
    >>> runs = fit_shared(world, one_hot, population(world).transform(), beta=1.0, steps=100)
    >>> runs.logps.shape
    torch.Size([1, 1, 1, 6])
    """
    data_sets = [pairs] if isinstance(pairs, Pairs) else list(pairs)
    table, features = PairTable(world, data_sets), torch.as_tensor(features, dtype=torch.float64)
    slope = safedpo_slope(beta, delta, *table.flags)
    if lr is None:
        gaps = table.incidence @ features  # (P, K, F): how a pair's gap depends on theta
        hessians = torch.einsum("pkf,pkg,pks->sfg", gaps, gaps, table.weight)
        lr = 4 / (beta**2 * torch.linalg.eigvalsh(hessians).max().item())
    theta, recorded = torch.zeros(features.shape[-1], len(data_sets), dtype=torch.float64), {}
    for step in range(steps + 1):
        ratio = features @ theta  # (P, A, S)
        if step in ({steps} if record is None else {*record}):
            recorded[step] = (theta.T.clone(), (world.ref_logps[..., None] + ratio).log_softmax(1).permute(2, 0, 1))
        gradient = table.gradient(slope(table.gap(ratio)), table.weight)  # (P, A, S)
        theta = theta - lr * torch.einsum("paf,pas->fs", features, gradient)
        if not theta.isfinite().all():
            raise DivergedError(f"the shared policy at beta={beta:.4g}, delta={delta:.4g}", step + 1)
    thetas, logps = zip(*recorded.values(), strict=True)
    return SharedFit(torch.stack(thetas), torch.stack(logps), torch.tensor([*recorded]))
