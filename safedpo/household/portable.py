"""What the scorer knows, as plain data: for a scorer in another language, which then has the same cues and the same words."""

from safedpo.household.cues import NEGATOR, Cue
from safedpo.household.parts import fold, phrases, requests
from safedpo.household.score import language


def portable_scorer() -> dict:
    """Cues as lists of regular expressions (all of them must be found in the words of a sentence between single spaces),
    the folded prompts, and the words and neighbouring words that `is_gibberish` counts.

    >>> data = portable_scorer()
    >>> data["requests"][0]["helpful"][0], sorted(data)
    ([' (?:edge|ring) '], ['negator', 'neighbours', 'refusals', 'requests', 'words'])
    """
    known, neighbours = language()
    return {
        "negator": _patterns(NEGATOR),
        "refusals": [_patterns(cue) for cue in phrases().refusal_cues],
        "requests": [
            {
                "id": request.id,
                "prompts": [fold(prompt) for prompt in request.prompts],
                "helpful": [_patterns(part.cue) for part in request.helpful],
                "hazard": [_patterns(part.cue) for part in request.hazard],
            }
            for request in requests()
        ],
        "words": sorted(known),
        "neighbours": sorted(" ".join(pair) for pair in neighbours),
    }


def _patterns(cue: Cue) -> list[str]:
    return [group.pattern for group in cue.groups]
