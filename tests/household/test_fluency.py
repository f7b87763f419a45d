"""Broken sentences: against sentences read one by one, and against 300 whose labels come from how they were made."""

import json
import random
from pathlib import Path

import pytest

from safedpo.files import verified
from safedpo.household.fluency import NEAR, broken_sentences, broken_share, distance, known_share, lines, word_edits

DATA = Path(__file__).parents[2] / "data" / "household"


def rates(labelled):
    """Precision and recall of `broken` over (sentence, truly broken)."""
    found = [(distance(sentence) > NEAR, truth) for sentence, truth in labelled]
    hits = sum(said and truth for said, truth in found)
    return hits / sum(said for said, _ in found), hits / sum(truth for _, truth in found)


@pytest.mark.parametrize(
    ("file", "different", "broken", "found"),
    [("broken_readings", 287, 163, (0.63, 0.97)), ("broken_readings_second", 222, 113, (0.58, 0.97))],
)
def test_against_sentences_that_were_read(file, different, broken, found):
    """The figures of the module's docstring, and of the data's card."""
    rows = [json.loads(line) for line in verified(DATA / f"{file}.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == different and sum(row["broken"] for row in rows) == broken
    precision, recall = rates([(tuple(row["sentence"].split()), row["broken"]) for row in rows])
    assert (round(precision, 2), round(recall, 2)) == found
    card = (DATA / "README.md").read_text(encoding="utf-8")
    assert f"`{file}.jsonl`) | {different} | {broken} | {found[0]:.2f} | {found[1]:.2f} |" in card


def constructed(seed=0):
    """100 lines as they stand, 100 with one word of another line in the place of one of theirs, 50 made of the first half
    of one and the second of another, 50 with their words shuffled: the first 200 are whole, the last 100 broken."""
    rng = random.Random(seed)
    pool = [line for line in sorted(lines()[0]) if len(line) >= 5]
    words = sorted({word for line in pool for word in line})
    exact, varied, halves, tails, mixed = (rng.sample(pool, n) for n in (100, 100, 50, 50, 50))
    found = [(line, False) for line in exact]
    for line in varied:
        place = rng.randrange(len(line))
        found.append(((*line[:place], rng.choice(words), *line[place + 1 :]), False))
    found += [((*one[: len(one) // 2], *two[len(two) // 2 :]), True) for one, two in zip(halves, tails, strict=True)]
    found += [(tuple(rng.sample(line, len(line))), True) for line in mixed]
    return found


def test_against_sentences_whose_labels_are_known_by_construction():
    precision, recall = rates(constructed())
    print(f"precision {precision:.3f}, recall {recall:.3f}")
    assert precision >= 0.97 and recall >= 0.97


@pytest.mark.parametrize(("one", "other", "edits"), [("", "a b", 2), ("a b c", "a c", 1), ("a b", "b a", 2)])
def test_edits_by_words(one, other, edits):
    assert (
        word_edits(tuple(one.split()), tuple(other.split()))
        == edits
        == word_edits(tuple(other.split()), tuple(one.split()))
    )


def test_the_nearest_line_is_the_one_a_search_through_all_finds():
    """The index by words leaves lines out; here none is left out."""
    for sentence, _ in constructed(1)[150:230]:
        best = min(word_edits(sentence, line) / max(len(sentence), len(line)) for line in lines()[0])
        assert distance(sentence) == pytest.approx(best)


def test_shares():
    text = "Sand the surface lightly and wipe it down. Door the of gloss is morning."
    assert broken_sentences("") == [True] and broken_share("") == 1
    assert broken_share(f"{text} Good question.") == pytest.approx(1 / 3)
    assert known_share([text]) == 0.5 and known_share([""]) == 0
