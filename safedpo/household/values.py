"""What the household data is worth, exactly: expectations, and the entropy that no model's loss can go below.

The generator's distribution is enumerated, not sampled. For the expectations all that matters of a response is its class: how
many helpful parts, hazardous or not, a refusal or not; for the entropy, which lines in which order behind which opener.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import combinations, permutations

from safedpo.household.generate import LINES, MAX_WORDS, SHORTCUT, STEP, Kind, kinds_of
from safedpo.household.parts import Request, phrases

Body = tuple[tuple[str, int], ...]  # lines in their order, as (sort, number)
OPENED = 0.3  # of the responses, where the opener leaves them short enough
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
    return [
        ResponseClass(share * kind.share, kind.helpful, bool(kind.hazards), kind.refusal)
        for share, kinds in kinds_of(request)
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
    """The exact values of the data over these requests, each with equally many prompts.

    >>> from safedpo.household.phrasings import lookalikes
    >>> round(reference_values(lookalikes()).refusal, 4), round(reference_values(lookalikes()).helpfulness, 4)
    (0.4, 0.4)
    """
    return _average([reference_classes(request) for request in requests])


def optimal_values(requests: Iterable[Request], beta: float = 0.1) -> Values:
    """The exact values of the safe optimum over these requests; beta in the units of the reward."""
    return _average([optimal_classes(request, beta) for request in requests])


def distance_to_optimum(request: Request, beta: float) -> float:
    """KL(pi* || data) in nats for this request: how far the safe optimum is from the data.

    >>> from safedpo.household.parts import requests
    >>> round(distance_to_optimum(requests()[0], 1e9), 4)  # nothing but the hazards to leave: -log .38
    0.9676
    """
    classes = reference_classes(request)
    weights = [0.0 if one.unsafe else one.probability * math.exp((one.reward - STEP * PARTS) / beta) for one in classes]
    total = sum(weights)
    return sum(w / total * math.log(w / total / c.probability) for w, c in zip(weights, classes, strict=True) if w)


def response_law(request: Request) -> dict[tuple[str, Body], float]:
    """The probability of every response to a request, each as (opener or nothing, the lines of its body).

    >>> from safedpo.household.parts import requests
    >>> round(sum(response_law(requests()[0]).values()), 9)
    1.0
    """
    law = {}
    for body, probability, openers, each in _opened(request):
        law[("", body)] = probability * (1 - each * len(openers))
        law |= {(opener, body): probability * each for opener in openers}
    return law


def entropy(request: Request) -> float:
    """The entropy of the data's responses to a request, in nats a response: -sum p log p."""
    total = 0.0
    for _, probability, openers, each in _opened(request):
        bare, opened = probability * (1 - each * len(openers)), probability * each
        total -= bare * math.log(bare) + (len(openers) * opened * math.log(opened) if openers else 0.0)
    return total


def _opened(request: Request) -> Iterator[tuple[Body, float, list[str], float]]:
    """Each body, its probability, the openers that leave it short enough, and the probability of each of them."""
    words, lengths = _words(request), {opener: len(opener.split()) for opener in phrases().openers}
    for body, probability in _bodies(request).items():
        room = MAX_WORDS - sum(words[line] for line in body)
        yield body, probability, [one for one, length in lengths.items() if length <= room], OPENED / len(lengths)


def text_of(request: Request, opener: str, body: Body) -> str:
    """The response that an outcome of `response_law` stands for."""
    lines = _lines(request)
    return " ".join([opener] * bool(opener) + [lines[line] for line in body])


def _bodies(request: Request) -> dict[Body, float]:
    found: dict[Body, float] = defaultdict(float)
    for share, kinds in kinds_of(request):
        for kind in kinds:
            for body, probability in _bodies_of_kind(kind).items():
                found[body] += share * kind.share * probability
    return found


@cache
def _bodies_of_kind(kind: Kind) -> dict[Body, float]:
    """The bodies of a kind. Helpful parts keep their order, the others' places among ALL helpful parts are random; then
    only the helpful parts that were dealt are said. Hazards come last, in random order."""
    found: dict[Body, float] = defaultdict(float)
    if kind.refusal:
        every = [("refusal", i) for i in range(sum(len(part.wordings) for part in phrases().refusals))]
        return {(one,): 1 / len(every) for one in every}
    others = LINES - kind.helpful - kind.hazards
    helpful = list(combinations(range(PARTS), kind.helpful))
    dealt = list(permutations(range(PARTS), others))
    places = list(combinations(range(PARTS + others), others))  # of the other lines, in a row with all helpful parts
    ends = list(permutations(range(2), kind.hazards))
    each = 1 / (len(helpful) * len(dealt) * len(places) * len(ends))
    for chosen in helpful:
        for said in dealt:
            for place in places:
                body = _in_order(chosen, said, place)
                for end in ends:
                    found[(*body, *(("hazard", number) for number in end))] += each
    return found


def _in_order(chosen: tuple[int, ...], said: tuple[int, ...], place: tuple[int, ...]) -> Body:
    rest, others = iter(range(PARTS)), iter(said)
    row = [("other", next(others)) if i in place else ("helpful", next(rest)) for i in range(PARTS + len(said))]
    return tuple((sort, number) for sort, number in row if sort == "other" or number in chosen)


def _lines(request: Request) -> dict[tuple[str, int], str]:
    refusals = [line for part in phrases().refusals for line in part.wordings]
    sorts = {"other": (*request.careful, *request.useless), "refusal": refusals}
    sorts |= {"helpful": [p.wordings[0] for p in request.helpful], "hazard": [p.wordings[0] for p in request.hazard]}
    return {(sort, number): line for sort, lines in sorts.items() for number, line in enumerate(lines)}


def _words(request: Request) -> dict[tuple[str, int], int]:
    return {line: len(text.split()) for line, text in _lines(request).items()}


def _average(policies: list[list[ResponseClass]]) -> Values:
    """Expectations over the classes of each policy, averaged over the policies."""

    def mean(value) -> float:
        return math.fsum(c.probability * value(c) for policy in policies for c in policy) / len(policies)

    return Values(
        unsafe=mean(lambda c: c.unsafe),
        helpfulness=mean(lambda c: c.helpful / PARTS),
        reward=mean(lambda c: c.reward),
        refusal=mean(lambda c: c.refusal),
    )
