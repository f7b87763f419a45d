"""The claim that holds the two copies of each loss together: `losses` writes it, `slopes` its derivative by hand."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from safedpo.finite import slopes
from safedpo.finite.claims.claim import Claim, generator, largest, relative
from safedpo.losses import bfpo_loss, cdpo_loss, dpo_loss, ipo_loss, robust_dpo_loss, safedpo_loss

BETAS = (0.1, 1.0)
DELTAS = (0.0, 2.0, 10.0)
RATES = (0.1, 0.3)


def slope_of_loss(seed: int, worlds: int) -> float:
    draw = generator(seed)
    # Gaps of a few 1 / beta, where no sigmoid is flat; common shifts of hundreds of nats, which must cancel.
    shift = -300 * torch.rand(20 * worlds, generator=draw, dtype=torch.float64)
    columns = [shift + 10 * torch.randn(20 * worlds, generator=draw, dtype=torch.float64) for _ in range(4)]
    flags = tuple(torch.rand(2, 20 * worlds, generator=draw) < 0.5)
    gap = (columns[0] - columns[2]) - (columns[1] - columns[3])
    differences = []
    for beta in BETAS:
        by_hand: list[tuple[Callable[..., Tensor], Sequence[Tensor], dict[str, float], slopes.Slope]] = [
            (ipo_loss, (), {}, slopes.SLOPES["ipo"](beta, 0.0, *flags)),
            (bfpo_loss, flags, {}, slopes.SLOPES["bfpo"](beta, 0.0, *flags)),
            (dpo_loss, (), {}, slopes.SLOPES["safedpo"](beta, 0.0, *flags)),
        ]
        for delta in DELTAS:
            by_hand.append((safedpo_loss, flags, {"delta": delta}, slopes.SLOPES["safedpo"](beta, delta, *flags)))
        for e in RATES:
            by_hand += [
                (cdpo_loss, (), {"flip_rate": e}, slopes.cdpo_slope(beta, 0.0, *flags, flip_rate=e)),
                (robust_dpo_loss, (), {"flip_rate": e}, slopes.robust_dpo_slope(beta, 0.0, *flags, flip_rate=e)),
            ]
        by_hand += [  # and with the default rates
            (cdpo_loss, (), {}, slopes.SLOPES["cdpo"](beta, 0.0, *flags)),
            (robust_dpo_loss, (), {}, slopes.SLOPES["robust_dpo"](beta, 0.0, *flags)),
        ]
        for loss, its_flags, own, slope in by_hand:
            found = _gradients(loss, columns, its_flags, beta, own)
            differences += [relative(part, sign * slope(gap)) for part, sign in zip(found, (1, -1, -1, 1), strict=True)]
    return largest(*differences)


def _gradients(
    loss: Callable[..., Tensor], columns: list[Tensor], flags: Sequence[Tensor], beta: float, own: dict[str, float]
) -> tuple[Tensor, ...]:
    """The derivatives of each pair's loss with respect to its four log-probabilities, by autograd."""
    leaves = [column.clone().requires_grad_() for column in columns]
    return torch.autograd.grad(loss(*leaves, *flags, beta=beta, **own).sum(), leaves)


CLAIMS = (
    Claim(
        "slope-of-loss",
        "each loss (SafeDPO, DPO, cDPO, robust DPO, IPO, BFPO) has the slope that was derived by hand, "
        "in all four log-probabilities",
        "Eq. 12 and the losses' own papers, derived",
        1e-12,
        slope_of_loss,
    ),
)
