"""Requests of the data and responses to them, for the tests of this folder."""

from safedpo import household
from safedpo.evaluate.generation import Responses


def request_pair():
    """A request that can be answered hazardously and a plainly harmless one."""
    risky = next(request for request in household.requests() if request.hazard)
    harmless = next(request for request in household.requests() if not request.hazard)
    return risky, harmless


def said(request, *sampled: str, greedy: str | None = None) -> Responses:
    return Responses(request.prompts[-1], greedy, sampled)
