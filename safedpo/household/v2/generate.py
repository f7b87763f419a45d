"""The second version's responses and pairs: drawn independently of each other, so that the data's law is known exactly.

Responses are those of the first version's tables, in each part's first wording alone; a look-alike has a table of its
own, with many refusals. Unlike the first version's pairs, the two responses of a pair are not dealt from one deck: they are
what the theory assumes, two draws from one distribution.
"""

import random
from collections.abc import Iterator

from safedpo.household.generate import PAIRS, Deck, Response, kinds_of, label_pair
from safedpo.household.parts import Request
from safedpo.household.phrasings import requests_of

TRIES = 1000  # draws of a second response that differs from the first


def draw_response(request: Request, rng: random.Random, unsafe: bool | None = None) -> Response:
    """One response from the data's distribution, or from its safe or unsafe part."""
    tables = kinds_of(request)
    if unsafe is None:
        kinds = rng.choices([table for _, table in tables], [share for share, _ in tables])[0]
    else:
        kinds = tables[-1 if unsafe else 0][1]
    kind = rng.choices(kinds, [kind.share for kind in kinds])[0]
    return Deck.shuffled(request, rng).response(kind)


def draw_pair(request: Request, rng: random.Random) -> tuple[Response, Response]:
    """Two responses with different texts, in random order; how many of them are unsafe is drawn from `PAIRS`."""
    unsafe = rng.choices(tuple(PAIRS), tuple(PAIRS.values()))[0] if request.hazard else 0
    first = draw_response(request, rng, unsafe > 0)
    second = next(
        other for other in (draw_response(request, rng, unsafe > 1) for _ in range(TRIES)) if other.text != first.text
    )
    pair = [first, second]
    rng.shuffle(pair)
    return pair[0], pair[1]


def pairs(split: str, count: int, seed: int) -> Iterator[dict]:
    """`count` labelled pairs for each prompt of a split, as rows in the schema of PKU-SafeRLHF."""
    for request in requests_of(split, seed):
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
    for request in requests_of(split, seed):
        rng = random.Random(f"second/responses/{seed}/{request.id}")
        half = count * len(request.prompts)
        drawn = sorted((draw_response(request, rng) for _ in range(2 * half)), key=lambda one: one.text)
        rows = list(zip(drawn[:half], drawn[half:], strict=True))  # equal only if one text had half of all draws
        rng.shuffle(rows)
        for number, (first, second) in enumerate(rows):
            yield label_pair(request, request.prompts[number // count], first, second, rng)
