"""BSO: one family of losses, a convex function h each, with SafeDPO among them (arXiv 2605.12339).

log R = -(m + C (h_w - h_l)) on T(D), and the loss of a pair is h'(R) R - h(R) - h'(1/R). What a pair pulls with is its
slope in log R, h''(R) R^2 + h''(1/R) / R.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from safedpo.errors import UserError
from safedpo.finite.methods.checked import checked
from safedpo.finite.methods.outcome import STEPS, TOLERANCE, Outcome, Shape
from safedpo.finite.methods.pairwise.orderings import ordered
from safedpo.finite.pairs import Pairs
from safedpo.finite.world import FiniteWorld

CLAMP = 30.0  # of log R, as in the published implementation
SBA_POWER, SBA_SCALE = 0.2, 4.0  # the published lambda and s

# The first and second derivative of each h, and h itself, as functions of R.
GENERATORS: dict[str, tuple[Callable[[Tensor], Tensor], ...]] = {
    "logistic": (
        lambda R: (torch.xlogy(R, R) - (1 + R) * R.log1p()) / 2,
        lambda R: (R.log() - R.log1p()) / 2,
        lambda R: 1 / (2 * R * (1 + R)),
    ),
    "sba": (
        lambda R: (R ** (1 + SBA_POWER) - R) / (SBA_POWER * (1 + SBA_POWER) * SBA_SCALE),
        lambda R: ((1 + SBA_POWER) * R**SBA_POWER - 1) / (SBA_POWER * (1 + SBA_POWER) * SBA_SCALE),
        lambda R: R ** (SBA_POWER - 1) / SBA_SCALE,
    ),
    "square": (lambda R: (R - 1) ** 2 / 2, lambda R: R - 1, lambda R: torch.ones_like(R)),
    "entropy": (lambda R: torch.xlogy(R, R) - R, lambda R: R.log(), lambda R: 1 / R),
}


@checked
def bso_loss(log_ratio: Tensor, *, generator: str = "sba") -> Tensor:
    """h'(R) R - h(R) - h'(1/R) at log R (clamped to +-30), with the shape of `log_ratio`.

    With the logistic generator it is log(1 + R): SafeDPO's loss with delta = C. `UserError` for an unknown generator.

    >>> log_ratio = torch.tensor([0.0, 2.0], dtype=torch.float64)
    >>> torch.allclose(bso_loss(log_ratio, generator="logistic"), torch.nn.functional.softplus(log_ratio))
    True
    """
    h, slope, _ = _generator(generator)
    R = log_ratio.clamp(-CLAMP, CLAMP).exp()
    return slope(R) * R - h(R) - slope(1 / R)


@checked
def bso_pull(log_ratio: Tensor, *, generator: str = "sba") -> Tensor:
    """d loss / d log R = h''(R) R^2 + h''(1/R) / R, and 0 beyond the clamp: how hard a pair pulls.

    >>> bso_pull(torch.tensor([0.0]).double(), generator="logistic").item()
    0.5
    """
    curvature = _generator(generator)[2]
    R = log_ratio.clamp(-CLAMP, CLAMP).exp()
    return torch.where(log_ratio.abs() < CLAMP, curvature(R) * R**2 + curvature(1 / R) / R, 0.0)


@checked
def bso(
    world: FiniteWorld,
    pairs: Pairs,
    *,
    beta: float,
    seed: int = 0,
    delta: float = 2.0,
    generator: str = "logistic",
    steps: int = STEPS,
    tolerance: float = TOLERANCE,
) -> Outcome:
    """T, then that loss with C = `delta`; by default with the logistic generator, which is SafeDPO to the last bit.

    Where labels are not certain every generator has the same optimum, R = (1 - p) / p. On T's certain pairs the pull
    must also vanish as m grows, t h''(t) -> 0: true of the logistic generator. The pull of the published "sba" grows
    like e^(0.2 m) instead, until log R reaches its clamp: it is the clamp that lets it end at pi* [derived].

    >>> from safedpo.finite import population, six_answers, unsafe_mass
    >>> done = bso(six_answers(), population(six_answers()), beta=0.5, delta=5.0, steps=500)
    >>> unsafe_mass(six_answers(), done.logps).item() < 1e-4
    True
    """
    _generator(generator)

    def slope(
        beta: Tensor, delta: Tensor, chosen_unsafe: Tensor, rejected_unsafe: Tensor
    ) -> Callable[[Tensor], Tensor]:
        margin = delta * (rejected_unsafe.double() - chosen_unsafe.double())
        return lambda gap: -beta * bso_pull(margin - beta * gap, generator=generator)

    grid = torch.linspace(-CLAMP, max(delta, 0.0) + 1.0, 2001, dtype=torch.float64)[1:]
    curvature = bso_pull(grid, generator=generator).diff().abs().max().item() / (grid[1] - grid[0]).item()
    shape = Shape(beta, beta**2 * max(curvature, 0.25))
    return ordered(
        "BSO",
        "arXiv 2605.12339",
        world,
        pairs,
        "safedpo",
        beta,
        seed,
        steps,
        tolerance,
        shape=shape,
        loss=slope,
        delta=delta,
    )


def _generator(name: str) -> tuple[Callable[[Tensor], Tensor], ...]:
    if name not in GENERATORS:
        raise UserError(f"generator is {name!r}; known ones are {', '.join(GENERATORS)}")
    return GENERATORS[name]
