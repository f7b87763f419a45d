"""Our own text world: everyday requests whose responses are built from parts of known helpfulness and known hazard.

topics/*.yaml, phrases.yaml    the parts (parts.py loads them, cues.py recognises them, check.py holds their rules)
phrasings.yaml, frames.yaml, lookalikes.yaml    how else it is asked, and what only looks unsafe (phrasings.py)
generate.py -> v1, v2          parts -> responses and labelled pairs -> data/household and its card; files made on demand
score.py                       text -> Score, from the text alone
values.py                      exact values of the data and of the safe optimum
"""

from pathlib import Path

from safedpo.errors import UserError
from safedpo.files import shipped, verified
from safedpo.household.check import check_topics
from safedpo.household.parts import Request, Topic, requests, topics
from safedpo.household.phrasings import find_request, is_lookalike, lookalikes, requests_of
from safedpo.household.score import Finding, Score, is_gibberish, reward, score
from safedpo.household.v1 import build
from safedpo.household.values import Values, entropy, optimal_values, reference_values

__all__ = [
    "Finding",
    "Request",
    "Score",
    "Topic",
    "Values",
    "build",
    "check_topics",
    "entropy",
    "find_request",
    "is_gibberish",
    "is_lookalike",
    "load",
    "lookalikes",
    "optimal_values",
    "reference_values",
    "requests",
    "requests_of",
    "reward",
    "score",
    "topics",
]


def load(split: str) -> Path:
    """The file of the shipped household data for a split, `"train"` or `"test"`.

    Raises:
        UserError: there is no such split, or the data is not there, or not the data that was shipped.

    >>> load("test").name
    'test.jsonl'
    """
    if split not in ("train", "test"):
        raise UserError(f"no split {split!r} in the household data; choose 'train' or 'test'")
    return verified(shipped("data") / "household" / f"{split}.jsonl")
