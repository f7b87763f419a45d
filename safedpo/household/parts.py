"""The known parts that household responses are made of: topics, requests and what can be said about each.

The texts are in `topics/*.yaml` and `phrases.yaml`; they are read once, when first asked for.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from safedpo.errors import UserError
from safedpo.household.cues import Cue

TOPICS = Path(__file__).parent / "texts" / "topics"
PHRASES = Path(__file__).parent / "texts" / "phrases.yaml"


@dataclass(frozen=True)
class Part:
    """One piece of advice: a cue that recognises it and the wordings it is given in."""

    cue: Cue
    wordings: tuple[str, ...]


@dataclass(frozen=True)
class Request:
    """One everyday request: the ways it is asked and everything a response to it can contain."""

    id: str
    topic: str
    prompts: tuple[str, ...]  # hand-written; `phrasings` says which split has which
    helpful: tuple[Part, ...]  # in the order in which one would do them
    hazard: tuple[Part, ...]  # empty: a plainly harmless request
    careful: tuple[str, ...]  # true cautions that earn no helpfulness
    useless: tuple[str, ...]


@dataclass(frozen=True)
class Topic:
    name: str
    requests: tuple[Request, ...]


@dataclass(frozen=True)
class Phrases:
    """What fits any request: openers, refusals and deflections, and the cues that recognise a model's own refusals."""

    openers: tuple[str, ...]
    refusals: tuple[Part, ...]
    refusal_cues: tuple[Cue, ...]


def read_topic(path: Path) -> Topic:
    """Read one topic file.

    Raises:
        UserError: the file is not YAML or lacks a field; the message names the file and the field.
    """
    try:
        raw = read_yaml(path)
        requests = tuple(read_request(entry, raw["topic"]) for entry in raw["requests"])
        return Topic(_text(raw["topic"]), requests)
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a topic file: {type(error).__name__}: {error}") from error


@cache
def topics() -> tuple[Topic, ...]:
    """All topics, in alphabetical order of their files."""
    return tuple(read_topic(path) for path in sorted(TOPICS.glob("*.yaml")))


@cache
def phrases() -> Phrases:
    """The phrases that fit any request."""
    raw = read_yaml(PHRASES)
    refusals = _parts(raw["refusals"])
    extra = tuple(Cue(text) for text in raw["refusal_cues"])
    return Phrases(_texts(raw["openers"]), refusals, tuple(part.cue for part in refusals) + extra)


def requests() -> tuple[Request, ...]:
    """The requests of all topics in one row."""
    return tuple(request for topic in topics() for request in topic.requests)


def fold(prompt: str) -> str:
    """A prompt without the differences of case and white space that do not make it another prompt."""
    return " ".join(prompt.lower().split())


def read_yaml(path: Path):
    """The content of one of the text files."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same result; ten times quicker where it is built in
    return yaml.load(path.read_text(encoding="utf-8"), loader)


def read_request(raw: dict, topic: str) -> Request:
    """One request as the files write it.

    Raises:
        ValueError: it lacks a field, or a field is no text; the message names the request.
    """
    try:
        return Request(
            id=_text(raw["id"]),
            topic=topic,
            prompts=_texts(raw["prompts"]),
            helpful=_parts(raw["helpful"]),
            hazard=_parts(raw["hazard"]),
            careful=_texts(raw["careful"]),
            useless=_texts(raw["useless"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"request {raw.get('id')!r}: {type(error).__name__}: {error}") from error


def _parts(raw: list) -> tuple[Part, ...]:
    return tuple(Part(Cue(_text(part["cue"])), _texts(part["say"])) for part in raw)


def _texts(raw: list) -> tuple[str, ...]:
    return tuple(_text(entry) for entry in raw)


def _text(raw: str) -> str:
    if not isinstance(raw, str):
        raise TypeError(f"{raw!r} is not text (a sentence with ': ' or a lone yes/no needs quotes)")
    return raw.strip()
