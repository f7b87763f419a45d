"""The seeded generator: preference pairs whose safety and helpfulness are known because we put the parts in.

Two tables say everything about the distribution: which responses meet in a pair, and what a response is made of. Every
response but a refusal has the same number of lines, so that length tells nothing about safety: in an unsafe response a
hazardous shortcut stands where another one has a helpful step, and raters like a shortcut as much as two such steps. Each
response of a pair has a law that is known exactly (`values`), but for one thing: a second text equal to the first is drawn again.
`responses`, from which the reference learns, draws without that.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

from safedpo.household.parts import Part, Request, phrases
from safedpo.household.phrasings import lookalikes, requests_of

TRIES = 1000  # draws of a second response that differs from the first
LINES = 4  # sentences of a response, before an opener
MAX_WORDS = 46  # at most about 60 tokens of SmolLM2, so that 64 sampled tokens hold a whole response
STEP = 2.0  # what raters give one of the 4 helpful parts
SHORTCUT = 4.0  # what they give a hazardous shortcut: as much as two such steps

# How often a pair holds 0, 1 or 2 unsafe responses, for a request that has hazards (otherwise always 0).
PAIRS = {0: 0.06, 1: 0.64, 2: 0.30}


@dataclass(frozen=True)
class Kind:
    """A kind of response: how often it occurs among the safe or the unsafe ones, and what it is made of.

    Lines that are neither helpful nor hazardous are careful or useless ones, drawn at random.
    """

    share: float
    helpful: int  # how many of the request's 4 helpful parts, drawn at random
    hazards: int = 0
    refusal: bool = False


SAFE_KINDS = (
    Kind(0.06, helpful=0, refusal=True),
    Kind(0.04, helpful=0),
    Kind(0.10, helpful=1),
    Kind(0.20, helpful=2),
    Kind(0.28, helpful=3),
    Kind(0.32, helpful=4),
)
UNSAFE_KINDS = (
    Kind(0.08, helpful=0, hazards=1),
    Kind(0.16, helpful=1, hazards=1),
    Kind(0.10, helpful=1, hazards=2),
    Kind(0.24, helpful=2, hazards=1),
    Kind(0.12, helpful=2, hazards=2),
    Kind(0.30, helpful=3, hazards=1),
)


# Responses to a request that only looks unsafe: two in five refuse it, so that there is over-refusal to measure.
LOOKALIKE_KINDS = (
    Kind(0.40, helpful=0, refusal=True),
    Kind(0.04, helpful=0),
    Kind(0.08, helpful=1),
    Kind(0.12, helpful=2),
    Kind(0.16, helpful=3),
    Kind(0.20, helpful=4),
)
UNSAFE = sum(share * count / 2 for count, share in PAIRS.items())  # of the responses to a request with hazards


def kinds_of(request: Request) -> tuple[tuple[float, tuple[Kind, ...]], ...]:
    """The tables of kinds from which responses to a request are drawn, each with its share.

    >>> from safedpo.household.parts import requests
    >>> [round(share, 2) for share, _ in kinds_of(requests()[0])]
    [0.38, 0.62]
    """
    if request.id in {one.id for one in lookalikes()}:
        return ((1.0, LOOKALIKE_KINDS),)
    return ((1 - UNSAFE, SAFE_KINDS), (UNSAFE, UNSAFE_KINDS)) if request.hazard else ((1.0, SAFE_KINDS),)


@dataclass(frozen=True)
class Response:
    """A response with its truth: which helpful parts and which hazards (by number) went into it."""

    text: str
    helpful: tuple[int, ...]
    hazards: tuple[int, ...]
    careful: bool
    refusal: bool

    @property
    def reward(self) -> float:
        """What raters reward, r = 8 * helpfulness + 4 * 1[hazard]: they like the tempting shortcut."""
        return STEP * len(self.helpful) + SHORTCUT * bool(self.hazards)


def pairs(split: str, count: int, seed: int) -> Iterator[dict]:
    """`count` labelled pairs for each prompt of a split, as rows in the schema of PKU-SafeRLHF with `topic` and `request`.

    The same prompt has the same pairs, whatever else is generated.
    """
    for request in requests_of(split):
        for prompt in request.prompts:
            rng = random.Random(f"second/pairs/{seed}/{prompt}")
            for _ in range(count):
                first, second = draw_pair(request, rng)
                yield label_pair(request, prompt, first, second, rng)


def responses(split: str, count: int, seed: int) -> Iterator[dict]:
    """2 x `count` responses to each prompt, drawn independently, two to a row: what the reference is trained on.

    A response that is drawn twice stays twice, or the law of the data would be another. All draws for a request are
    dealt out so that the two of a row differ, as preference data must; supervised fine-tuning looks at no label.
    """
    for request in requests_of(split):
        rng = random.Random(f"second/responses/{seed}/{request.id}")
        half = count * len(request.prompts)
        drawn = sorted((draw_response(request, rng) for _ in range(2 * half)), key=lambda one: one.text)
        rows = list(zip(drawn[:half], drawn[half:], strict=True))  # equal only if one text had half of all draws
        rng.shuffle(rows)
        for number, (first, second) in enumerate(rows):
            yield label_pair(request, request.prompts[number // count], first, second, rng)


def draw_pair(request: Request, rng: random.Random, any_wording: bool = False) -> tuple[Response, Response]:
    """Two responses with different texts, in random order; how many of them are unsafe is drawn from `PAIRS`."""
    unsafe = rng.choices(tuple(PAIRS), tuple(PAIRS.values()))[0] if request.hazard else 0
    first = draw_response(request, rng, unsafe > 0, any_wording)
    others = (draw_response(request, rng, unsafe > 1, any_wording) for _ in range(TRIES))
    pair = [first, next(other for other in others if other.text != first.text)]
    rng.shuffle(pair)
    return pair[0], pair[1]


def draw_response(
    request: Request, rng: random.Random, unsafe: bool | None = None, any_wording: bool = False
) -> Response:
    """One response from the data's distribution, or from its safe or unsafe part."""
    tables = kinds_of(request)
    if unsafe is None:
        kinds = rng.choices([table for _, table in tables], [share for share, _ in tables])[0]
    else:
        kinds = tables[-1 if unsafe else 0][1]
    kind = rng.choices(kinds, [kind.share for kind in kinds])[0]
    return Deck.shuffled(request, rng, any_wording).response(kind)


@dataclass(frozen=True)
class Deck:
    """All lines for a request, shuffled: a kind takes the first so many of each sort and says them in order of place."""

    helpful: tuple["Card", ...]
    hazards: tuple["Card", ...]
    others: tuple["Card", ...]  # careful and useless lines
    refusal: str
    opener: str  # or nothing

    @classmethod
    def shuffled(cls, request: Request, rng: random.Random, any_wording: bool = False) -> "Deck":
        """Helpful parts keep their order, careful and useless lines stand at random places between them, hazards come last.
        Parts stand in their first wording unless `any_wording`: a small model that meets each line often learns to say it
        without a slip."""
        places = sorted(rng.random() for _ in request.helpful)

        def word(part: Part) -> str:
            return rng.choice(part.wordings) if any_wording else part.wordings[0]

        helpful = [Card(i, places[i], word(part)) for i, part in enumerate(request.helpful)]
        hazards = [Card(i, 1 + rng.random(), word(part)) for i, part in enumerate(request.hazard)]
        careful = [Card(i, rng.random(), line, careful=True) for i, line in enumerate(request.careful)]
        useless = [Card(i, rng.random(), line) for i, line in enumerate(request.useless)]

        def deal(cards: list[Card]) -> tuple[Card, ...]:
            return tuple(rng.sample(cards, len(cards)))

        # The order of the draws is part of the shipped data: these two first, then the cards.
        refusal = rng.choice(rng.choice(phrases().refusals).wordings)
        opener = rng.choice(phrases().openers) if rng.random() < 0.3 else ""
        return cls(deal(helpful), deal(hazards), deal(careful + useless), refusal, opener)

    def response(self, kind: Kind) -> Response:
        """The response of this kind."""
        helpful, hazards = self.helpful[: kind.helpful], self.hazards[: kind.hazards]
        others = () if kind.refusal else self.others[: LINES - kind.helpful - kind.hazards]
        cards = sorted((*helpful, *hazards, *others), key=lambda card: card.place)
        text = self.refusal if kind.refusal else " ".join(card.line for card in cards)
        opened = f"{self.opener} {text}".strip()
        return Response(
            opened if len(opened.split()) <= MAX_WORDS else text,
            tuple(sorted(card.number for card in helpful)),
            tuple(sorted(card.number for card in hazards)),
            careful=any(card.careful for card in others),
            refusal=kind.refusal,
        )


@dataclass(frozen=True)
class Card:
    """One line: its number among its sort, its place in a response (in [0, 1], a hazard's in [1, 2]), its words."""

    number: int
    place: float
    line: str
    careful: bool = False


def label_pair(request: Request, prompt: str, first: Response, second: Response, rng: random.Random) -> dict:
    """Label a pair. Helpfulness: Bradley-Terry, P(first is better) = sigma(r(first) - r(second))."""
    first_wins = 1 / (1 + math.exp(second.reward - first.reward))
    return {
        "prompt": prompt,
        "response_0": first.text,
        "response_1": second.text,
        "is_response_0_safe": not first.hazards,
        "is_response_1_safe": not second.hazards,
        "better_response_id": int(rng.random() >= first_wins),
        "safer_response_id": _safer(first, second, rng),
        "topic": request.topic,
        "request": request.id,
    }


def _safer(first: Response, second: Response, rng: random.Random) -> int:
    """The response with fewer hazards; if equal the one with a careful line; if equal a coin."""
    danger = [(len(response.hazards), not response.careful) for response in (first, second)]
    return rng.randrange(2) if danger[0] == danger[1] else int(danger[1] < danger[0])
