"""The files of the household data: written from a seed, with a card, and how far the scorer can be trusted on them."""

from safedpo.household.data.build import build

__all__ = ["build"]
