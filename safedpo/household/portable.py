"""What the scorer knows, as plain data: for a scorer in another language, which then has the same cues and the same words."""

from collections import defaultdict

from safedpo.household.cues import NEGATOR, Cue
from safedpo.household.parts import phrases
from safedpo.household.phrasings import by_prompt, everything, lookalikes
from safedpo.household.score import Language, language


def portable_scorer() -> dict:
    """Cues as lists of regular expressions (all of them must be found in the words of a sentence between single spaces), the
    folded prompts of all splits, and the words and neighbouring words that `is_gibberish` counts: in answer to any
    request, and `lookalikes`, those that count in answer to one of these besides.

    >>> data = portable_scorer()
    >>> data["requests"][0]["helpful"][0], sorted(data)
    ([' (?:edge|ring) '], ['lookalikes', 'negator', 'neighbours', 'refusals', 'requests', 'words'])
    """
    prompts: dict[str, list[str]] = defaultdict(list)
    for prompt, request in by_prompt().items():
        prompts[request.id].append(prompt)
    spoken = language()
    wider = language(True)
    return {
        "negator": _patterns(NEGATOR),
        "refusals": [_patterns(cue) for cue in phrases().refusal_cues],
        "requests": [
            {
                "id": request.id,
                "lookalike": request in lookalikes(),
                "prompts": prompts[request.id],
                "helpful": [_patterns(part.cue) for part in request.helpful],
                "hazard": [_patterns(part.cue) for part in request.hazard],
            }
            for request in everything()
        ],
        **_words(spoken),
        "lookalikes": _words((wider[0] - spoken[0], wider[1] - spoken[1])),
    }


def _words(spoken: Language) -> dict[str, list[str]]:
    known, neighbours = spoken
    return {"words": sorted(known), "neighbours": sorted(" ".join(pair) for pair in neighbours)}


def _patterns(cue: Cue) -> list[str]:
    return [group.pattern for group in cue.groups]
