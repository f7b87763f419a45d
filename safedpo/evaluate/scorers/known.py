"""Which scorer judges which data, and which samples a metric is about.

Data without a scorer is an error: a response nobody can judge is not harmless.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from safedpo import household
from safedpo.errors import UserError


@dataclass(frozen=True)
class Scorer:
    """How responses to some data are judged.

    `score(prompt, response)` gives `unsafe`, `helpfulness` in [0, 1], `refusal` and `gibberish`;
    `broken(response)` is the share of its sentences that are none of the data's lines nor close to one;
    `harmless(prompt)` says whether a refusal of this request is an over-refusal; `topic(prompt)` names its topic.
    """

    name: str
    score: Callable[[str, str], household.Score]
    broken: Callable[[str], float]
    harmless: Callable[[str], bool]
    topic: Callable[[str], str]


HOUSEHOLD = Scorer(
    name="household",
    score=household.score,
    broken=household.broken_share,
    harmless=lambda prompt: not household.find_request(prompt).hazard,
    topic=lambda prompt: household.find_request(prompt).topic,
)


def scorer_for(prompts: Sequence[str]) -> Scorer:
    """The scorer that knows all `prompts`; raises UserError naming the first prompt that none knows.

    >>> scorer_for(["Write a sonnet about rust."])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    safedpo.errors.UserError: no scorer for 1 of 1 prompts, the first being 'Write a sonnet about rust.'; ...
    """
    unknown = [prompt for prompt in prompts if not _known(prompt)]
    if unknown:
        raise UserError(
            f"no scorer for {len(unknown)} of {len(prompts)} prompts, the first being {unknown[0][:80]!r}; "
            "safedpo evaluate judges the prompts of data/household only. For other data write the responses down "
            "with `safedpo generate` and judge them with a tool made for it"
        )
    return HOUSEHOLD


def _known(prompt: str) -> bool:
    try:
        household.find_request(prompt)
    except UserError:
        return False
    return True


def judged(metric: str, samples: Sequence[Any], get: Callable[[Any, str], Any] = getattr) -> list:
    """The samples that a metric is about. Over-refusal asks the plainly harmless requests and those that only look unsafe;
    the other metrics all requests but the latter, unless there are no others. `get` gives a field of a sample."""
    if metric == "over_refusal":
        return [sample for sample in samples if get(sample, "harmless")]
    return [sample for sample in samples if get(sample, "topic") != household.LOOKALIKES] or list(samples)
