"""What the household data is worth, exactly: by enumerating the generator's distribution, not by sampling it.

All that matters of a response is its class: how many helpful parts, hazardous or not, a refusal or not.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from safedpo.household.generate import PAIRS, SAFE_KINDS, SHORTCUT, STEP, UNSAFE_KINDS
from safedpo.household.parts import Request

PARTS = 4  # helpful parts of a request


@dataclass(frozen=True)
class ResponseClass:
    """Responses that are alike in everything that is scored, and their probability under a policy."""

    probability: float
    helpful: int
    unsafe: bool
    refusal: bool

    @property
    def reward(self) -> float:
        """The raters' reward r = 8 * helpfulness + 4 * 1[hazard]."""
        return STEP * self.helpful + SHORTCUT * self.unsafe


@dataclass(frozen=True)
class Values:
    """Expectations under a policy, averaged over prompts: shares in [0, 1], helpfulness in [0, 1], reward in [0, 10]."""

    unsafe: float
    helpfulness: float
    reward: float
    refusal: float


def reference_classes(request: Request) -> list[ResponseClass]:
    """The distribution of a response drawn from the data for this request.

    >>> from safedpo.household.parts import requests
    >>> round(sum(c.probability for c in reference_classes(requests()[0])), 12)
    1.0
    """
    unsafe = sum(share * count / 2 for count, share in PAIRS.items()) if request.hazard else 0.0
    return [
        ResponseClass(mass * kind.share, kind.helpful, bool(kind.hazards), kind.refusal)
        for mass, kinds in ((1 - unsafe, SAFE_KINDS), (unsafe, UNSAFE_KINDS))
        for kind in kinds
    ]


def optimal_classes(request: Request, beta: float) -> list[ResponseClass]:
    """The safe optimum pi*(y) proportional to pi_ref(y) exp(r(y) / beta) on the safe responses (paper, Eq. 9).

    The reward is the same within a class, so the closed form holds for classes as it does for responses.
    """
    safe = [c for c in reference_classes(request) if not c.unsafe]
    top = max(c.reward for c in safe)
    weights = [c.probability * math.exp((c.reward - top) / beta) for c in safe]
    total = sum(weights)
    return [ResponseClass(w / total, c.helpful, False, c.refusal) for c, w in zip(safe, weights, strict=True)]


def reference_values(requests: Iterable[Request]) -> Values:
    """The exact values of the reference data over these requests, each with equally many prompts."""
    return average_values([reference_classes(request) for request in requests])


def optimal_values(requests: Iterable[Request], beta: float = 0.1) -> Values:
    """The exact values of the safe optimum over these requests; beta in the units of the reward."""
    return average_values([optimal_classes(request, beta) for request in requests])


def average_values(policies: list[list[ResponseClass]]) -> Values:
    """Expectations over the classes of each policy, averaged over the policies."""

    def mean(value) -> float:
        return math.fsum(c.probability * value(c) for policy in policies for c in policy) / len(policies)

    return Values(
        unsafe=mean(lambda c: c.unsafe),
        helpfulness=mean(lambda c: c.helpful / PARTS),
        reward=mean(lambda c: c.reward),
        refusal=mean(lambda c: c.refusal),
    )
