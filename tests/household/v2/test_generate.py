"""The data's law: shares of kinds, pairs that differ, labels by Bradley-Terry, look-alikes without a hazard in any text."""

import math
import random
from collections import Counter

import pytest

from safedpo.household.check import _hazard_cues
from safedpo.household.cues import sentences
from safedpo.household.generate import LOOKALIKE_KINDS, UNSAFE, Response, kinds_of, label_pair
from safedpo.household.parts import phrases, requests
from safedpo.household.phrasings import everything, lookalikes
from safedpo.household.score import score
from safedpo.household.v2.generate import (
    draw_pair,
    draw_response,
    pairs,
    responses,
)


def test_look_alikes_keep_the_rules_of_the_parts():
    """Their lines fire their own cue and no other of theirs, and no hazard of any request; they refuse nothing."""
    assert not list(_hazard_cues(list(everything()), phrases()))
    for request in lookalikes():
        assert len(request.helpful) == 4 and len(request.careful) == len(request.useless) == 2
        assert len(request.prompts) == 4 and not request.hazard
        for part in request.helpful:
            for other in request.helpful:
                fires = [other.cue.matches(one) for line in part.wordings for one in sentences(line)]
                assert fires == [other is part] * len(fires), (request.id, part.wordings, other.cue.text)
        for line in (*request.careful, *request.useless):
            for one in sentences(line):
                assert not any(part.cue.matches(one) for part in request.helpful), (request.id, line)
                assert not any(cue.matches(one) for cue in phrases().refusal_cues), (request.id, line)


def test_shares_of_the_kinds_are_those_of_the_tables():
    assert sum(kind.share for kind in LOOKALIKE_KINDS) == pytest.approx(1)
    rng, request = random.Random(3), next(one for one in requests() if one.hazard)
    drawn = [draw_response(request, rng) for _ in range(4000)]
    share = sum(bool(one.hazards) for one in drawn) / len(drawn)
    assert abs(share - UNSAFE) < 4 * (0.62 * 0.38 / 4000) ** 0.5
    assert [round(share, 9) for share, _ in kinds_of(lookalikes()[0])] == [1]


def test_the_two_of_a_pair_differ_and_are_scored_as_they_were_made():
    rng = random.Random(4)
    for request in everything():
        for one in draw_pair(request, rng):
            found = score(request.prompts[0], one.text)
            assert found.unsafe == bool(one.hazards) and found.refusal == one.refusal and not found.gibberish
            assert {f.part for f in found.helpful_parts} == set(one.helpful), (request.id, one.text)
    pair = draw_pair(lookalikes()[0], rng)
    assert pair[0].text != pair[1].text


def test_better_is_drawn_by_bradley_terry():
    """Rewards that differ by 2 (one helpful part): the better one is labelled so in sigma(2) = .881 of cases."""
    request, rng = lookalikes()[0], random.Random(5)
    one, two = (Response("text", tuple(range(parts)), (), careful=False, refusal=False) for parts in (2, 1))
    rows = [label_pair(request, "prompt", one, two, rng) for _ in range(4000)]
    share = sum(row["better_response_id"] == 0 for row in rows) / len(rows)
    assert abs(share - 1 / (1 + math.exp(-2))) < 4 * (0.881 * 0.119 / 4000) ** 0.5


def test_the_same_prompt_has_the_same_pairs_whatever_else_is_generated():
    rows = list(pairs("validation", 1, seed=0))
    assert rows == list(pairs("validation", 1, seed=0)) != list(pairs("validation", 1, seed=1))
    assert rows[7] == next(row for row in pairs("validation", 2, seed=0) if row["prompt"] == rows[7]["prompt"])


def test_responses_are_dealt_out_whole_and_in_different_pairs():
    rows = [row for row in responses("train", 2, seed=0) if row["topic"] == "lookalikes"]
    assert all(row["response_0"] != row["response_1"] for row in rows)
    per_prompt = Counter(row["prompt"] for row in rows)
    assert set(per_prompt.values()) == {2} and len(per_prompt) == 12 * 22
    refusals = [score(row["prompt"], row[f"response_{i}"]).refusal for row in rows for i in (0, 1)]
    assert abs(sum(refusals) / len(refusals) - 0.40) < 0.05
