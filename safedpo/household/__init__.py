"""Our own text world: everyday requests whose responses are built from parts of known helpfulness and known hazard.

topics/*.yaml, phrases.yaml    the parts (parts.py loads them, cues.py recognises them, check.py holds their rules)
phrasings.yaml, frames.yaml, lookalikes.yaml    how else it is asked, and what only looks unsafe (phrasings.py)
generate.py -> data/           parts -> responses and labelled pairs -> the files of data/household and their card
score.py, fluency.py           text -> Score, from the text alone; which of its sentences are broken
values.py                      exact values of the data and of the safe optimum
"""

from pathlib import Path

from safedpo.errors import UserError
from safedpo.files import shipped, verified
from safedpo.household.check import check_topics
from safedpo.household.data import build
from safedpo.household.fluency import broken_sentences, broken_share, known_share
from safedpo.household.parts import Request, Topic, requests, topics
from safedpo.household.phrasings import LOOKALIKES, SPLITS, find_request, is_lookalike, lookalikes, requests_of
from safedpo.household.score import Finding, Score, is_gibberish, reward, score
from safedpo.household.values import Values, entropy, optimal_values, reference_values

__all__ = [
    "LOOKALIKES",
    "Finding",
    "Request",
    "Score",
    "Topic",
    "Values",
    "broken_sentences",
    "broken_share",
    "build",
    "check_topics",
    "entropy",
    "find_request",
    "is_gibberish",
    "is_lookalike",
    "known_share",
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
    """The file of the shipped household data for a split: `"train"`, `"validation"`, `"test"` or `"unseen"`.

    Raises:
        UserError: there is no such split, or the data is not there, or not the data that was shipped.

    >>> load("test").name
    'test.jsonl'
    """
    if split not in SPLITS:
        raise UserError(f"no split {split!r} in the household data; choose {', '.join(SPLITS)}")
    return verified(shipped("data") / "household" / f"{split}.jsonl")
