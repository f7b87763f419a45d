"""The generator: the rows are right, and the shares are those of the tables."""

import math
import random
from collections import Counter, defaultdict

import pytest

from safedpo.household import find_request, requests
from safedpo.household.cues import sentences
from safedpo.household.generate import (
    LINES,
    MAX_WORDS,
    PAIRS,
    SAFE_KINDS,
    SHORTCUT,
    STEP,
    UNSAFE_KINDS,
    Response,
    generate_pairs,
)
from safedpo.household.generate import label_pair as make_row
from safedpo.household.parts import phrases
from safedpo.household.v1.build import PAIRS_PER_PROMPT, split_rows
from safedpo.household.v1.card import group
from safedpo.records import parse_rows
from tests.household.rows import within

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
    return {split: split_rows(split, seed=0) for split in PAIRS_PER_PROMPT}


def test_the_tables_are_distributions():
    assert math.isclose(sum(PAIRS.values()), 1)
    for kinds in (SAFE_KINDS, UNSAFE_KINDS):
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


def test_splits_share_requests_but_no_prompt(rows):
    train, test = ({row["prompt"] for row in rows[split]} for split in ("train", "test"))
    assert not train & test and (len(train), len(test)) == (7 * len(requests()), 2 * len(requests()))
    assert {row["request"] for row in rows["train"]} == {row["request"] for row in rows["test"]}
    assert len(rows["train"]) + len(rows["test"]) >= 3000


def test_each_group_is_well_represented(rows):
    counts = Counter(map(group, rows["train"]))
    total = len(rows["train"])
    assert all(counts[name] / total >= 0.10 for name in ("SS", "SU", "US", "UU"))
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


def test_the_same_seed_gives_the_same_rows_and_another_seed_others():
    request = requests()[3]
    once = generate_pairs(request, request.prompts[0], 6, seed=5)
    assert once == generate_pairs(request, request.prompts[0], 6, seed=5)
    assert once != generate_pairs(request, request.prompts[0], 6, seed=6)


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
