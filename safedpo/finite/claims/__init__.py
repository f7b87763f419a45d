"""The ledger: every statement of the derivation as a number that can come out wrong.

`optimum`, `penalty`, `transform`, `loss`, `margin`, `safedaa`, `training` and `noise` follow the paper; each holds plain functions
(seed, worlds) -> residual and, at its end, the tuple `CLAIMS` that declares them. `equations` says which claim
checks which equation of the paper. `methods` holds those of the methods it is compared with, and what holds the
losses to their hand-written derivatives.
"""

from safedpo.finite.claims import loss, margin, methods, noise, optimum, penalty, safedaa, training, transform
from safedpo.finite.claims.claim import Claim
from safedpo.finite.claims.equations import EQUATIONS, NOT_FOUND, Equation
from safedpo.finite.claims.methods import slopes
from safedpo.finite.claims.report import Row, check, verify

CLAIMS: tuple[Claim, ...] = (
    optimum.CLAIMS
    + penalty.CLAIMS
    + transform.CLAIMS
    + loss.CLAIMS
    + margin.CLAIMS
    + safedaa.CLAIMS
    + training.CLAIMS
    + noise.CLAIMS
    + methods.CLAIMS
    + slopes.CLAIMS
)


def ledger(seed: int = 0, worlds: int = 50) -> list[Row]:
    """Check every claim on `worlds` fresh random worlds.

    >>> rows = ledger(seed=0, worlds=1)
    >>> len(rows) >= 24, [row.id for row in rows if not row.holds]
    (True, [])
    """
    return [check(claim, seed, worlds) for claim in CLAIMS]


__all__ = ["CLAIMS", "EQUATIONS", "NOT_FOUND", "Claim", "Equation", "Row", "check", "ledger", "verify"]
