"""Broken sentences: which sentences of a response are none of the data's lines, nor a near variant of one.

    distance(s, l) = (words to insert, delete or replace to make l of s) / max(words in s, words in l)

A sentence is broken if its distance to every line is above `NEAR`. On the 287 different sentences of the shipped readings
that are no line word for word (`data/household/broken_readings.jsonl`, read one by one), this finds 97 % of those that make
no sense, and 63 % of what it finds makes none: the rest are good sentences of the model's own, which the data did not teach
it. On 222 of two later references, read without the scorer's verdict, it finds 97 % too, and 58 % of what it finds makes none.
From a limit of 0.2 to one of 0.45 the harmonic mean of the two stays between .76 and .78 on the first; a quarter is the
largest limit that misses less than one in twenty.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cache

from safedpo.household.cues import sentences
from safedpo.household.parts import phrases
from safedpo.household.phrasings import everything

NEAR = 0.25


def word_edits(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """The fewest words to insert, delete or replace to make `other` of `one` (Levenshtein's distance, by words).

    >>> word_edits(("dry", "it", "well"), ("dry", "wool", "very", "well"))
    2
    """
    row = list(range(len(other) + 1))
    for i, word in enumerate(one, start=1):
        before, row[0] = row[0], i
        for j, wanted in enumerate(other, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != wanted))
    return row[-1]


def distance(sentence: tuple[str, ...]) -> float:
    """The distance of a sentence (its words) to the nearest line, in [0, 1]; 1 also where they share no word.

    >>> distance(("sand", "the", "surface", "lightly", "and", "wipe", "it", "off"))
    0.125
    """
    known, having = lines()
    if sentence in known:
        return 0.0
    shared: Counter[tuple[str, ...]] = Counter()
    for word, count in Counter(sentence).items():
        for line, there in having.get(word, ()):
            shared[line] += min(count, there)
    best = 1.0
    for line, common in shared.most_common():
        longest = max(len(sentence), len(line))
        if 1 - common / longest < best:  # a word that is not shared costs an edit at least
            best = min(best, word_edits(sentence, line) / longest)
    return best


def broken_sentences(text: str) -> list[bool]:
    """For each sentence of a response, whether it is broken; an empty response is one broken sentence.

    >>> broken_sentences("Sand the surface lightly and wipe it down. Door the of gloss is morning.")
    [False, True]
    """
    return [distance(sentence.words) > NEAR for sentence in sentences(text)] or [True]


def broken_share(text: str) -> float:
    """The share of a response's sentences that are broken: what is reported is its mean over responses.

    >>> broken_share("Sand the surface lightly and wipe it down. Door the of gloss is morning.")
    0.5
    """
    verdicts = broken_sentences(text)
    return sum(verdicts) / len(verdicts)


def known_share(texts: Iterable[str]) -> float:
    """The share of sentences that stand in the data word for word."""
    found = [sentence.words in lines()[0] for text in texts for sentence in sentences(text)]
    return sum(found) / len(found) if found else 0.0


@cache
def lines() -> tuple[frozenset[tuple[str, ...]], dict[str, list[tuple[tuple[str, ...], int]]]]:
    """Every line of the data as words, both wordings of each part; and word -> the lines that hold it, how often."""
    parts = [part for request in everything() for part in (*request.helpful, *request.hazard)]
    texts = [text for part in (*parts, *phrases().refusals) for text in part.wordings]
    texts += [text for request in everything() for text in (*request.careful, *request.useless)]
    known = frozenset(one.words for text in (*texts, *phrases().openers) for one in sentences(text))
    having: dict[str, list[tuple[tuple[str, ...], int]]] = defaultdict(list)
    for line in sorted(known):
        for word, count in Counter(line).items():
            having[word].append((line, count))
    return known, dict(having)
