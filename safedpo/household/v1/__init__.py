"""The first household data: pairs whose responses are dealt from one deck, in the files that are shipped, with their card."""

from safedpo.household.v1.build import build

__all__ = ["build"]
