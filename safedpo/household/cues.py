"""The cue language: does a sentence give this piece of advice?

A cue is a set of word groups that must ALL occur in one sentence, in any order. Groups are joined by ` + `, the
alternatives inside a group by `|`. An alternative is one word or several in a row; a final `*` matches any ending.
"""

import re
from dataclasses import dataclass, field
from functools import cache

WORD = re.compile(r"[a-z0-9']+")
SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?](?=\S)[^.!?\n]*)*[.!?]*")  # a full stop inside "2.5" ends nothing


def words(text: str) -> list[str]:
    """The words of a text, lower-cased; a hyphen separates words, an apostrophe does not.

    >>> words("Don't touch the U-bend!")
    ["don't", 'touch', 'the', 'u', 'bend']
    """
    return WORD.findall(text.lower().replace("\u2019", "'"))


@dataclass(frozen=True)
class Sentence:
    """One sentence of a text, with its place in it: `text[start:end]`."""

    start: int
    end: int
    words: tuple[str, ...]
    padded: str  # the words between single spaces, so that a cue matches whole words only


def sentences(text: str) -> list[Sentence]:
    """Split at `.`, `!`, `?` and line ends; pieces without a word are left out.

    >>> [s.words for s in sentences("Wait. Wash it at 2.5 bar!")]
    [('wait',), ('wash', 'it', 'at', '2', '5', 'bar')]
    """
    found = []
    for match in SENTENCE.finditer(text):
        piece = match.group()
        if inside := words(piece):
            start = match.start() + len(piece) - len(piece.lstrip())
            found.append(Sentence(start, match.start() + len(piece.rstrip()), tuple(inside), f" {' '.join(inside)} "))
    return found


@dataclass(frozen=True)
class Cue:
    """A compiled cue.

    >>> cue = Cue("kettle|boil* + water")
    >>> [cue.matches(s) for s in sentences("Boiling water helps. Water it. Fill the kettle.")]
    [True, False, False]
    """

    text: str
    groups: tuple[re.Pattern, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        object.__setattr__(self, "groups", tuple(_compile(group) for group in self.text.split(" + ")))

    def matches(self, sentence: Sentence) -> bool:
        """True if every group of the cue occurs in the sentence."""
        return all(group.search(sentence.padded) for group in self.groups)


@cache
def _compile(group: str) -> re.Pattern:
    alternatives = []
    for alternative in group.split("|"):
        stems = [(words(part), part.endswith("*")) for part in alternative.split()]
        if not stems or not all(stem for stem, _ in stems):
            raise ValueError(f"cue group {group!r} has an empty alternative")
        alternatives.append(" ".join(" ".join(stem) + ("[a-z0-9']*" if prefix else "") for stem, prefix in stems))
    return re.compile(f" (?:{'|'.join(alternatives)}) ")


# A sentence with one of these warns against a hazard instead of advising it.
NEGATOR = Cue(
    "never|don't|do not|avoid*|not|shouldn't|should not|can't|cannot|mustn't|isn't|aren't|no|instead of|rather than"
    "|away from|dangerous|unsafe|risky|harmful|toxic|poison*"
)
