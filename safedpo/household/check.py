"""Every breach of the rules that make the parts of a response recoverable from its text alone."""

from collections import Counter
from collections.abc import Iterator

from safedpo.household.cues import NEGATOR, sentences
from safedpo.household.generate import MAX_WORDS
from safedpo.household.parts import Part, Phrases, Request, Topic, fold, phrases, topics

PROMPT_WORDS = (5, 16)
HELPFUL_WORDS = (5, 10)
HAZARD_WORDS = (6, 12)
CAREFUL_WORDS = (5, 11)
USELESS_WORDS = (4, 10)


def check_topics(given: tuple[Topic, ...] | None = None, general: Phrases | None = None) -> list[str]:
    """All breaches of the rules, each as `topic/request: what is wrong`; an empty list if there is none.

    1. a wording of a part matches its own cue and no other part's cue of the same request;
    2. no helpful, careful or useless wording of any request, and no general phrase, matches any hazard cue of any
       request; a hazard wording holds no negator (a hazard cue does not fire beside one);
    3. a careful or useless line matches no helpful cue of its request, a useless line no refusal cue, an opener or
       refusal no helpful cue of any request;
    4. ids, prompts and sentences are unique; counts and lengths are as stated above; plain ASCII throughout.
    """
    given = topics() if given is None else given
    general = phrases() if general is None else general
    requests = [request for topic in given for request in topic.requests]
    found = []
    for request in requests:
        breaches = [*_shape(request), *_own_cues(request), *_refusals(request, general)]
        found += [f"{request.topic}/{request.id}: {breach}" for breach in breaches]
    return found + list(_hazard_cues(requests, general)) + list(_phrases(requests, general)) + list(_unique(requests))


def _shape(request: Request) -> Iterator[str]:
    """Rule 4: counts, lengths, characters."""
    for name, count in (("prompts", 9), ("helpful", 4), ("careful", 2), ("useless", 2)):
        if len(getattr(request, name)) != count:
            yield f"{len(getattr(request, name))} {name}, expected {count}"
    if len(request.hazard) not in (0, 2):
        yield f"{len(request.hazard)} hazards, expected 2 or none"
    for part in (*request.helpful, *request.hazard):
        if len(part.wordings) != 2:
            yield f"part {part.cue.text!r} has {len(part.wordings)} wordings, expected 2"
    shortest = [min(len(line.split()) for line in part.wordings) for part in request.helpful]
    shortest.append(max((min(len(line.split()) for line in part.wordings) for part in request.hazard), default=0))
    if sum(shortest) > MAX_WORDS:
        yield f"the helpful parts and a hazard cannot fit into {MAX_WORDS} words"
    yield from _lengths(request.prompts, PROMPT_WORDS)
    for lines, limits in (
        (_wordings(request.helpful), HELPFUL_WORDS),
        (_wordings(request.hazard), HAZARD_WORDS),
        (request.careful, CAREFUL_WORDS),
        (request.useless, USELESS_WORDS),
    ):
        yield from _lengths(lines, limits)
        for line in lines:
            if len(sentences(line)) != 1 or line[-1] not in ".!?":
                yield f"{line!r} is not one sentence with its full stop"


def _lengths(lines: tuple[str, ...], limits: tuple[int, int]) -> Iterator[str]:
    for line in lines:
        count = len(line.split())
        if not limits[0] <= count <= limits[1]:
            yield f"{line!r} has {count} words, expected {limits[0]} to {limits[1]}"
        if not line.isascii():
            yield f"{line!r} has a character outside ASCII"


def _own_cues(request: Request) -> Iterator[str]:
    """Rules 1 and 3 within a request, and rule 2's negators."""
    parts = (*request.helpful, *request.hazard)
    for part in parts:
        for line in part.wordings:
            if not _fires(part, line):
                yield f"{line!r} does not match its own cue {part.cue.text!r}"
            for other in parts:
                if other is not part and _fires(other, line):
                    yield f"{line!r} matches another part's cue {other.cue.text!r}"
    for line in _wordings(request.hazard):
        if any(NEGATOR.matches(sentence) for sentence in sentences(line)):
            yield f"hazard {line!r} holds a negator"
    for line in (*request.careful, *request.useless):
        for part in request.helpful:
            if _fires(part, line):
                yield f"{line!r} matches the helpful cue {part.cue.text!r}"


def _refusals(request: Request, general: Phrases) -> Iterator[str]:
    """Rule 3: an empty line is not a refusal."""
    for line in request.useless:
        for cue in general.refusal_cues:
            if any(cue.matches(sentence) for sentence in sentences(line)):
                yield f"{line!r} matches the refusal cue {cue.text!r}"


def _hazard_cues(requests: list[Request], general: Phrases) -> Iterator[str]:
    """Rule 2 over all requests."""
    hazards = [(request, part) for request in requests for part in request.hazard]
    safe = [(f"{r.topic}/{r.id}", line) for r in requests for line in _safe_lines(r)]
    safe += [("phrases", line) for line in (*general.openers, *_wordings(general.refusals))]
    for place, line in safe:
        split = [sentence for sentence in sentences(line) if not NEGATOR.matches(sentence)]
        for owner, part in hazards:
            if any(part.cue.matches(sentence) for sentence in split):
                yield f"{owner.topic}/{owner.id}: hazard cue {part.cue.text!r} fires on {line!r} of {place}"


def _phrases(requests: list[Request], general: Phrases) -> Iterator[str]:
    """Rule 3 for the general phrases, and that each refusal matches its own cue."""
    for line in (*general.openers, *_wordings(general.refusals)):
        for request in requests:
            for part in request.helpful:
                if _fires(part, line):
                    yield f"{request.topic}/{request.id}: helpful cue {part.cue.text!r} fires on the phrase {line!r}"
    for part in general.refusals:
        for line in part.wordings:
            if not _fires(part, line):
                yield f"phrases: {line!r} does not match its own cue {part.cue.text!r}"
    for line in general.openers:
        if any(cue.matches(sentence) for cue in general.refusal_cues for sentence in sentences(line)):
            yield f"phrases: the opener {line!r} reads as a refusal"


def _unique(requests: list[Request]) -> Iterator[str]:
    """Rule 4 over all requests."""
    for name, values in (
        ("id", [r.id for r in requests]),
        ("prompt", [fold(p) for r in requests for p in r.prompts]),
        ("sentence", [fold(x) for r in requests for x in (*_safe_lines(r), *_wordings(r.hazard))]),
    ):
        for value, count in Counter(values).items():
            if count > 1:
                yield f"{name} {value!r} is used {count} times"


def _fires(part: Part, line: str) -> bool:
    return any(part.cue.matches(sentence) for sentence in sentences(line))


def _wordings(parts: tuple[Part, ...]) -> tuple[str, ...]:
    return tuple(line for part in parts for line in part.wordings)


def _safe_lines(request: Request) -> tuple[str, ...]:
    return (*_wordings(request.helpful), *request.careful, *request.useless)
