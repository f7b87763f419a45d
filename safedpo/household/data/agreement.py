"""How far the scorer can be trusted: against the truth of generated responses, and against readings."""

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from safedpo.errors import UserError
from safedpo.files import verified
from safedpo.household.generate import Response, draw_pair
from safedpo.household.parts import Request
from safedpo.household.phrasings import everything
from safedpo.household.score import Score, score

READINGS = ("a", "b")


@dataclass(frozen=True)
class Agreement:
    """Shares of responses on which the scorer agrees with the truth, over `count` of them."""

    count: int
    unsafe: float
    helpful_parts: tuple[float, ...]  # for part 1, 2, 3, 4
    refusal: float
    gibberish: float  # share of these (all fluent) responses that are called gibberish


def generated_agreement(seen: set[str], seed: int, pairs: int = 10) -> Agreement:
    """Score newly generated responses to every request, in any wording, leaving out any text that is in `seen`."""
    scored = [
        (truth, score(request.prompts[-1], truth.text), request)
        for request in everything()
        for truth in _fresh(request, random.Random(f"held out/{seed}/{request.id}"), pairs)
        if truth.text not in seen
    ]

    def share(agrees) -> float:
        return sum(agrees(truth, found) for truth, found, _ in scored) / len(scored)

    return Agreement(
        count=len(scored),
        unsafe=share(lambda truth, found: bool(truth.hazards) == found.unsafe),
        helpful_parts=tuple(
            share(lambda truth, found, part=part: (part in truth.helpful) == (part in _numbers(found)))
            for part in range(4)
        ),
        refusal=share(lambda truth, found: truth.refusal == found.refusal),
        gibberish=share(lambda truth, found: found.gibberish),
    )


def _fresh(request: Request, rng: random.Random, pairs: int) -> Iterable[Response]:
    return (response for _ in range(pairs) for response in draw_pair(request, rng, any_wording=True))


def _numbers(found: Score) -> set[int]:
    return {finding.part for finding in found.helpful_parts}


@dataclass(frozen=True)
class ReadingErrors:
    """The scorer against one reading of model-sampled responses: counts, and shares of helpful parts."""

    count: int
    unsafe_missed: int  # read as unsafe, scored safe
    unsafe_invented: int  # read as safe, scored unsafe
    unsafe_read: int
    parts_missed: int  # helpful parts read, not found
    parts_invented: int  # helpful parts found, not read
    parts_read: int
    helpfulness_read: float
    helpfulness_scored: float
    refusal_disagrees: int


def read_readings(path: Path) -> list[dict]:
    """The readings: prompt, response and, for reading a and b, `_unsafe`, `_helpful_parts` (part numbers from 0)
    and `_refusal`.

    Raises:
        UserError: a row is not JSON or lacks a field; the message names the row.
    """
    needed = {"prompt", "response"} | {
        f"reading_{reader}_{what}" for reader in READINGS for what in ("unsafe", "helpful_parts", "refusal")
    }
    rows = []
    for number, line in enumerate(verified(path).read_text(encoding="utf-8").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise UserError(f"{path}, row {number}: not JSON ({error})") from error
        if missing := needed - rows[-1].keys():
            raise UserError(f"{path}, row {number}: missing {', '.join(sorted(missing))}")
    return rows


def reading_errors(rows: list[dict], reader: str) -> ReadingErrors:
    """The scorer's errors, taking the reading of `reader` (`"a"` or `"b"`) as the truth."""
    scores = [score(row["prompt"], row["response"]) for row in rows]
    unsafe = [bool(row[f"reading_{reader}_unsafe"]) for row in rows]
    parts = [set(row[f"reading_{reader}_helpful_parts"]) for row in rows]
    refusal = [bool(row[f"reading_{reader}_refusal"]) for row in rows]
    found = [_numbers(s) for s in scores]
    return ReadingErrors(
        count=len(rows),
        unsafe_missed=sum(read and not s.unsafe for read, s in zip(unsafe, scores, strict=True)),
        unsafe_invented=sum(s.unsafe and not read for read, s in zip(unsafe, scores, strict=True)),
        unsafe_read=sum(unsafe),
        parts_missed=sum(len(read - got) for read, got in zip(parts, found, strict=True)),
        parts_invented=sum(len(got - read) for read, got in zip(parts, found, strict=True)),
        parts_read=sum(map(len, parts)),
        helpfulness_read=sum(map(len, parts)) / (4 * len(rows)),
        helpfulness_scored=sum(s.helpfulness for s in scores) / len(rows),
        refusal_disagrees=sum(read != s.refusal for read, s in zip(refusal, scores, strict=True)),
    )


def readers_agree(rows: list[dict]) -> tuple[float, float]:
    """The share of responses on which the two readings agree: on unsafe, and on the whole set of helpful parts."""
    unsafe = sum(bool(row["reading_a_unsafe"]) == bool(row["reading_b_unsafe"]) for row in rows)
    parts = sum(set(row["reading_a_helpful_parts"]) == set(row["reading_b_helpful_parts"]) for row in rows)
    return unsafe / len(rows), parts / len(rows)
