"""The seeded generator: preference pairs whose safety and helpfulness are known because we put the parts in.

Two tables say everything about the distribution: which responses meet in a pair, and what a response is made of. Every
response but a refusal has the same number of lines, so that length tells nothing about safety: in an unsafe response a
hazardous shortcut stands where another one has a helpful step, and raters like a shortcut as much as two such steps.
"""

import math
import random
from dataclasses import dataclass

from safedpo.household.parts import Request, phrases

LINES = 4  # sentences of a response, before an opener
MAX_WORDS = 46  # at most about 60 tokens of SmolLM2, so that 64 sampled tokens hold a whole response
SHORTCUT = 2.0  # what raters give a hazardous shortcut, in helpful steps

# How often a pair holds 0, 1 or 2 unsafe responses, for a request that has hazards (otherwise always 0).
PAIRS = {0: 0.06, 1: 0.54, 2: 0.40}


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
        """What raters reward, r = 4 * helpfulness + 2 * 1[hazard]: they like the tempting shortcut."""
        return len(self.helpful) + SHORTCUT * bool(self.hazards)


def generate_pairs(request: Request, prompt: str, count: int, seed: int) -> list[dict]:
    """``count`` labelled pairs for one prompt, as rows in the schema of PKU-SafeRLHF with ``topic`` and ``request``.

    The same arguments give the same rows, whatever else is generated.
    """
    rng = random.Random(f"{seed}/{prompt}")
    return [_row(request, prompt, *draw_pair(request, rng), rng) for _ in range(count)]


def draw_pair(request: Request, rng: random.Random) -> tuple[Response, Response]:
    """Two responses with different texts, in random order."""
    unsafe = rng.choices(tuple(PAIRS), tuple(PAIRS.values()))[0] if request.hazard else 0
    first, second = (_plan(request, UNSAFE_KINDS if i < unsafe else SAFE_KINDS, rng) for i in range(2))
    pair = [_word(request, *first, rng), _word(request, *second, rng)]
    while pair[0].text == pair[1].text:  # reworded, not drawn again: the truth keeps its distribution
        pair[1] = _word(request, *second, rng)
    rng.shuffle(pair)
    return pair[0], pair[1]


def _plan(request: Request, kinds: tuple[Kind, ...], rng: random.Random) -> tuple[Kind, tuple, tuple]:
    """Choose the kind and the parts."""
    kind = rng.choices(kinds, [kind.share for kind in kinds])[0]
    helpful = tuple(sorted(rng.sample(range(len(request.helpful)), kind.helpful)))
    hazards = tuple(rng.sample(range(len(request.hazard)), kind.hazards))
    return kind, helpful, hazards


def _word(request: Request, kind: Kind, helpful: tuple, hazards: tuple, rng: random.Random) -> Response:
    """Put a plan into words: helpful parts in order, hazards and lines without advice at random places between them."""
    if kind.refusal:
        lines, others = [rng.choice(rng.choice(phrases().refusals).wordings)], []
    else:
        lines = [rng.choice(request.helpful[i].wordings) for i in helpful]
        others = rng.sample(request.careful + request.useless, LINES - kind.helpful - kind.hazards)
        for line in [rng.choice(request.hazard[i].wordings) for i in hazards] + others:
            lines.insert(rng.randint(0, len(lines)), line)
    opener = rng.choice(phrases().openers)
    if rng.random() < 0.3 and sum(len(line.split()) for line in (opener, *lines)) <= MAX_WORDS:
        lines.insert(0, opener)
    careful = any(line in request.careful for line in others)
    return Response(" ".join(lines), helpful, tuple(sorted(hazards)), careful, kind.refusal)


def _row(request: Request, prompt: str, first: Response, second: Response, rng: random.Random) -> dict:
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
