"""The generator: the rows are right, and the shares are those of the tables."""

import math
import random
from collections import Counter, defaultdict

import pytest

from safedpo.household import find_request, load, lookalikes, requests
from safedpo.household.check import _hazard_cues
from safedpo.household.cues import sentences
from safedpo.household.data.card import group
from safedpo.household.generate import (
    LINES,
    LOOKALIKE_KINDS,
    MAX_WORDS,
    PAIRS,
    SAFE_KINDS,
    SHORTCUT,
    STEP,
    UNSAFE,
    UNSAFE_KINDS,
    Response,
    draw_pair,
    draw_response,
    kinds_of,
    responses,
)
from safedpo.household.generate import label_pair as make_row
from safedpo.household.generate import pairs as pairs_of
from safedpo.household.parts import phrases
from safedpo.household.phrasings import everything
from safedpo.household.score import score
from safedpo.records import parse_rows
from tests.household.rows import read, within

FIELDS = {
    "prompt",
    "response_0",
    "response_1",
    "is_response_0_safe",
    "is_response_1_safe",
    "better_response_id",
    "safer_response_id",
    "topic",
    "request",
}


@pytest.fixture(scope="module")
def rows():
    return {split: read(load(split)) for split in ("train", "test")}


def test_the_tables_are_distributions():
    assert math.isclose(sum(PAIRS.values()), 1)
    for kinds in (SAFE_KINDS, UNSAFE_KINDS, LOOKALIKE_KINDS):
        assert math.isclose(sum(kind.share for kind in kinds), 1)
    assert not any(kind.hazards for kind in SAFE_KINDS) and all(kind.hazards for kind in UNSAFE_KINDS)


def test_the_hazardous_response_is_often_the_more_helpful_one():
    """By enumeration: in parts on at least a third of the mixed pairs (ties included), by its label on most."""
    mixed = [(safe, unsafe, safe.share * unsafe.share) for safe in SAFE_KINDS for unsafe in UNSAFE_KINDS]
    assert sum(share for safe, unsafe, share in mixed if unsafe.helpful >= safe.helpful) > 1 / 3
    better = sum(share / (1 + math.exp(STEP * (s.helpful - u.helpful) - SHORTCUT)) for s, u, share in mixed)
    assert 0.6 < better < 0.8


def test_length_tells_nothing_about_safety(pairs):
    """Every response but a refusal has the same number of lines, and about as many words."""
    words = {True: [], False: []}
    for _, pair in pairs:
        for response in pair:
            if not response.refusal:
                without_opener = len(sentences(response.text)) - any(
                    response.text.startswith(o) for o in phrases().openers
                )
                assert without_opener == LINES
                words[bool(response.hazards)].append(len(response.text.split()))
    safe, unsafe = (sum(counts) / len(counts) for counts in (words[False], words[True]))
    assert abs(safe - unsafe) < 4  # hazards are a little wordier


def test_rows_have_the_schema_and_the_bits_agree(rows):
    for row in rows["train"] + rows["test"]:
        assert row.keys() == FIELDS
        assert row["response_0"] != row["response_1"]
        assert all(0 < len(row[f"response_{i}"].split()) <= MAX_WORDS for i in (0, 1))
        assert {row["better_response_id"], row["safer_response_id"]} <= {0, 1}
        if row["is_response_0_safe"] != row["is_response_1_safe"]:
            assert row[f"is_response_{row['safer_response_id']}_safe"]
        request = find_request(row["prompt"])
        assert (row["request"], row["topic"]) == (request.id, request.topic)
        if not request.hazard:
            assert row["is_response_0_safe"] and row["is_response_1_safe"]


def test_no_response_is_labelled_both_ways(rows):
    labels = defaultdict(set)
    for row in rows["train"] + rows["test"]:
        for i in (0, 1):
            labels[row["prompt"], row[f"response_{i}"]].add(row[f"is_response_{i}_safe"])
    assert all(len(seen) == 1 for seen in labels.values())


def test_each_group_is_well_represented(rows):
    counts = Counter(map(group, rows["train"]))
    total = len(rows["train"])
    assert all(counts[name] / total >= 0.09 for name in ("SS", "SU", "US", "UU"))
    assert counts["US"] > counts["SU"]


def test_position_tells_nothing(rows):
    mixed = [row for row in rows["train"] if row["is_response_0_safe"] != row["is_response_1_safe"]]
    everything = rows["train"]
    for mean, count in (
        (sum(row["is_response_0_safe"] for row in mixed) / len(mixed), len(mixed)),
        (sum(row["better_response_id"] for row in everything) / len(everything), len(everything)),
        (sum(row["safer_response_id"] for row in everything) / len(everything), len(everything)),
    ):
        assert within(mean, 0.5, 0.25, count)


def test_the_same_prompt_has_the_same_pairs_whatever_else_is_generated():
    rows = list(pairs_of("validation", 1, seed=0))
    assert rows == list(pairs_of("validation", 1, seed=0)) != list(pairs_of("validation", 1, seed=1))
    assert rows[7] == next(row for row in pairs_of("validation", 2, seed=0) if row["prompt"] == rows[7]["prompt"])


def test_responses_are_dealt_out_whole_and_in_different_pairs():
    rows = [row for row in responses("train", 2, seed=0) if row["topic"] == "lookalikes"]
    assert all(row["response_0"] != row["response_1"] for row in rows)
    per_prompt = Counter(row["prompt"] for row in rows)
    assert set(per_prompt.values()) == {2} and len(per_prompt) == 12 * 22
    refusals = [score(row["prompt"], row[f"response_{i}"]).refusal for row in rows for i in (0, 1)]
    assert abs(sum(refusals) / len(refusals) - 0.40) < 0.05


def test_shares_of_the_kinds_are_those_of_the_tables():
    rng, request = random.Random(3), next(one for one in requests() if one.hazard)
    drawn = [draw_response(request, rng) for _ in range(4000)]
    share = sum(bool(one.hazards) for one in drawn) / len(drawn)
    assert abs(share - UNSAFE) < 4 * (0.62 * 0.38 / 4000) ** 0.5
    assert [round(share, 9) for share, _ in kinds_of(lookalikes()[0])] == [1]


def test_truth_is_in_the_text(pairs):
    for request, pair in pairs:
        for response in pair:
            for part, present in [(p, i in response.helpful) for i, p in enumerate(request.helpful)] + [
                (p, i in response.hazards) for i, p in enumerate(request.hazard)
            ]:
                assert any(wording in response.text for wording in part.wordings) == present
            wordings = [request.helpful[i].wordings for i in sorted(response.helpful)]
            places = [next(response.text.find(w) for w in each if w in response.text) for each in wordings]
            assert places == sorted(places)


def test_better_is_bradley_terry_and_safer_follows_its_rule():
    request = next(r for r in requests() if r.hazard)
    safe = Response("a", (0, 1), (), careful=False, refusal=False)  # r = 4
    unsafe = Response("b", (0, 1), (1,), careful=True, refusal=False)  # r = 8
    worse = Response("c", (0, 1), (0, 1), careful=True, refusal=False)  # r = 8
    careful = Response("d", (), (), careful=True, refusal=False)  # r = 0
    rng = random.Random(2)
    count = 4000
    for first, second, difference, safer in (
        (safe, unsafe, -4, 0),
        (worse, unsafe, 0, 1),
        (careful, safe, -4, 0),
        (safe, careful, 4, 1),
    ):
        made = [make_row(request, "p", first, second, rng) for _ in range(count)]
        p = 1 / (1 + math.exp(difference))
        assert within(sum(row["better_response_id"] for row in made) / count, p, p * (1 - p), count)
        assert {row["safer_response_id"] for row in made} == {safer}
    coins = [make_row(request, "p", safe, safe, rng)["safer_response_id"] for _ in range(count)]
    assert within(sum(coins) / count, 0.5, 0.25, count)


def test_the_projects_reader_accepts_every_row(rows):
    read = parse_rows(rows["train"] + rows["test"], "household")
    assert not read.problems and len(read.records) == len(rows["train"]) + len(rows["test"])


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


def test_the_two_of_a_pair_differ_and_are_scored_as_they_were_made():
    rng = random.Random(4)
    for request in everything():
        for one in draw_pair(request, rng):
            found = score(request.prompts[0], one.text)
            assert found.unsafe == bool(one.hazards) and found.refusal == one.refusal and not found.gibberish
            assert {f.part for f in found.helpful_parts} == set(one.helpful), (request.id, one.text)
    pair = draw_pair(lookalikes()[0], rng)
    assert pair[0].text != pair[1].text
