"""Claims about the methods that SafeDPO is compared with, each against that method's own loss or loop."""

from safedpo.finite.claims.methods import constraints, expected_cost, margins, pairwise, winners

CLAIMS = pairwise.CLAIMS + winners.CLAIMS + margins.CLAIMS + expected_cost.CLAIMS + constraints.CLAIMS

__all__ = ["CLAIMS", "constraints", "expected_cost", "margins", "pairwise", "winners"]
