"""The second household data: many phrasings a request, look-alikes, exact laws; beside the first version, which stays.

texts/phrasings.yaml, frames.yaml, lookalikes.yaml    what is asked
phrasings.py -> generate.py -> build.py               prompts of each split -> responses and pairs -> files, made on demand
score.py, fluency.py                                  text -> Score; which sentences are broken
values.py                                             exact values, and the entropy a response
"""

from safedpo.household.v2.build import build
from safedpo.household.v2.fluency import broken_sentences, broken_share
from safedpo.household.v2.phrasings import SPLITS, lookalikes, phrasings, requests_of
from safedpo.household.v2.score import find_request, is_lookalike, score
from safedpo.household.v2.values import entropy, optimal_values, reference_values

__all__ = [
    "SPLITS",
    "broken_sentences",
    "broken_share",
    "build",
    "entropy",
    "find_request",
    "is_lookalike",
    "lookalikes",
    "optimal_values",
    "phrasings",
    "reference_values",
    "requests_of",
    "score",
]
