"""Claims about the methods that SafeDPO is compared with, each against that method's own loss or loop."""

from safedpo.finite.claims.methods import expected_cost, pairwise

CLAIMS = pairwise.CLAIMS + expected_cost.CLAIMS
