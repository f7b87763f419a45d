"""The red pen: clean passages are true, flawed ones are not or prove nothing, and only reading earns the point."""

import random
import re
from functools import cache

import pytest

from safedpo.errors import UserError
from safedpo.files import shipped
from safedpo.labs.checking import NotYet, Unfinished, check
from safedpo.labs.checks.around.marks import DELTAS, FLAWED, score, written
from safedpo.labs.checks.around.passages import FLAWS, PASSAGES
from safedpo.labs.grading.judge import judge
from safedpo.labs.lessons.studio.facts import PLAIN, facts
from safedpo.labs.lessons.studio.red_pen import report

BY_FLAW = {passage.flaw: passage for passage in PASSAGES}
CHOSEN = "rules that were written before any of these policies was measured on test"
CARD = (shipped("data") / "results" / "household" / "README.md").read_text(encoding="utf-8")


def numbers(text: str) -> list[float]:
    """The numbers of a sentence in their order; those that belong to names and levels left out."""
    bare = re.sub(r"95 %|temperature 1|seed 0|[Ss]eed 0's|135 million", "", text)
    return [float(found) for found in re.findall(r"-?\d+\.?\d*(?:e-\d+)?", bare)]


def near(found: list[float], *wanted: float) -> bool:
    """Each number is what was computed, to the digits shown."""
    return len(found) == len(wanted) and all(
        abs(one - w) <= max(0.0501, 0.06 * abs(w)) if abs(w) >= 1e-3 else abs(one - w) <= 0.06 * w + 0.05
        for one, w in zip(found, wanted, strict=True)
    )


@cache
def truth(delta: int) -> dict[str, tuple[list[float], bool]]:
    """flaw -> the numbers that the clean passage must show, and whether what it says about them is so."""
    f = facts(delta)
    seeds, helps = f.seeds("harm"), f.seeds("helpfulness")
    mean, dpo = sum(seeds) / 3, sum(f.seeds("harm", PLAIN)) / 3
    gap = sum(f.seeds("helpfulness", PLAIN)) / 3 - sum(helps) / 3
    margins, chosen, greedy = f.curve("rewards/margins"), f.curve("rewards/chosen"), f.greedy("harm")
    inside, quiet = f.interval("helpfulness"), f.quiet_topic()
    alone = sum(f.seeds("harm", "safedpo-delta-0")) / 3
    found = {
        "one seed as if three": ([mean, *seeds], True),
        "one-sided p": (list(f.sign_test()[:3]), True),
        "over-refusal not measured": ([sum(f.seeds("over-refusal")) / 3, f.reference("over-refusal")], True),
        "settings chosen on the test set": ([], CHOSEN in CARD.replace("\n", " ")),
        "interval over responses": ([inside.value, inside.low, inside.high, 280], inside.prompts == 280),
        "greedy response in the place of samples": ([seeds[0], greedy], True),
        "wrong sign of a difference": ([sum(f.seeds("helpfulness", PLAIN)) / 3, abs(gap)], abs(gap) > 0.05),
        "points called percent": ([dpo, mean, dpo - mean], dpo > mean),
        "two changes at once": ([alone], mean < alone < dpo),
        "claimed beyond what was measured": ([], "SmolLM2-135M" in CARD),
        "range called an interval": ([min(helps), max(helps)], min(helps) < max(helps)),
    }
    if chosen[1] < chosen[0]:
        found["gap-only curve"] = ([*margins, chosen[1]], margins[1] > margins[0])
    if quiet:
        found["zero seen, zero claimed"] = ([quiet[1], 100 * (1 - 0.05 ** (1 / quiet[1]))], True)
    return found


@pytest.mark.parametrize("delta", DELTAS)
def test_every_clean_passage_is_true(delta):
    f, told = facts(delta), truth(delta)
    assert {passage.flaw for passage in PASSAGES if passage.there(f)} == told.keys()
    for flaw, (wanted, so) in told.items():
        text = BY_FLAW[flaw].clean(f)
        found = numbers(text)
        if flaw == "zero seen, zero claimed":
            assert abs(found[1] - wanted[1]) <= 0.5 and found[0] == wanted[0], text
        else:
            assert near(found, *wanted), (text, wanted)
        assert so, text


@pytest.mark.parametrize("delta", DELTAS)
def test_every_flawed_passage_is_refuted_or_unsupported(delta):
    """What each flawed sentence claims, against the stored numbers."""
    f = facts(delta)
    seeds, dpo = f.seeds("harm"), f.mean("harm", PLAIN)
    refuted = {
        "one seed as if three": lambda t: abs(numbers(t)[0] - sum(seeds) / 3) > 0.05,
        "gap-only curve": lambda t: "more often" in t and f.curve("rewards/chosen")[1] < 0,
        "one-sided p": lambda t: "direction seen" in t and numbers(t)[2] < 0.55 * f.sign_test()[2] + 1e-12,
        "over-refusal not measured": lambda t: (
            "not refuse" in t and f.mean("over-refusal") > 0 and len(numbers(t)) == 2
        ),
        "settings chosen on the test set": lambda t: "very prompts" in t and CHOSEN in CARD.replace("\n", " "),
        "interval over responses": lambda t: "560 independent" in t and f.interval("helpfulness").prompts == 280,
        "greedy response in the place of samples": lambda t: "its harm" in t and numbers(t)[-1] + 0.05 < seeds[0],
        "wrong sign of a difference": lambda t: (
            ("more helpful" in t) == (f.mean("helpfulness") < f.mean("helpfulness", PLAIN))
        ),
        "zero seen, zero claimed": lambda t: "is safe" in t and f.quiet_topic()[2] > 10,
        "points called percent": lambda t: abs(numbers(t)[0] - 100 * (dpo - f.mean("harm")) / dpo) > 5,
        "two changes at once": lambda t: "margin does" in t and f.mean("harm", "safedpo-delta-0") < dpo - 1,
        "claimed beyond what was measured": lambda t: "larger model" in t and "SmolLM2-135M" in CARD,
        "range called an interval": lambda t: "confidence interval" in t and len(seeds) == 3,
    }
    assert refuted.keys() == set(FLAWS)
    for passage in PASSAGES:
        if passage.there(f) and passage.wrong(f):
            assert refuted[passage.flaw](passage.flawed(f)), passage.flawed(f)
            assert passage.flawed(f) != passage.clean(f) and len(passage.why) > 40


def test_there_are_at_least_ten_kinds_and_enough_of_them_at_every_margin():
    assert len(FLAWS) == len(set(FLAWS)) == len(PASSAGES) >= 10
    for delta in DELTAS:
        there = [passage for passage in PASSAGES if passage.there(facts(delta))]
        assert sum(passage.wrong(facts(delta)) for passage in there) >= 2 * FLAWED and len(there) >= 2 * FLAWED + 1


def test_seeds_give_different_reports_and_every_kind_comes_up():
    keys = [written(random.Random(seed))[2] for seed in range(60)]
    assert all(len(key) == FLAWED for key in keys) and set(FLAWS) == {flaw for key in keys for flaw in key.values()}
    assert len({report(seed).sentences for seed in range(60)}) == 60
    page = report(7)
    assert page == report(7) and str(page).count("\n") == len(page.sentences) + 1
    assert "<ol><li>" in page._repr_html_() and not any(hasattr(page, word) for word in ("key", "marks"))


def key_of(seed: int) -> dict[int, str]:
    return written(random.Random(seed))[2]


@pytest.mark.parametrize("seed", range(5))
def test_marking_everything_or_nothing_or_by_chance_earns_little(seed):
    count, key = len(report(seed).sentences), key_of(seed)
    everything = dict.fromkeys(range(1, count + 1), FLAWS[0])
    assert score(lambda: (seed, everything | key), 0)[0] == 0  # even with every name right
    assert score(lambda: (seed, everything), 0)[0] == 0
    assert score(lambda: (seed, {}), 0)[0] == 0
    draw = random.Random(seed)
    guesses = [
        score((seed, {n: draw.choice(FLAWS) for n in draw.sample(range(1, count + 1), FLAWED)}), 0)[0]
        for _ in range(100)
    ]
    assert sum(guesses) / 100 < 0.15


def test_hits_names_and_false_alarms_are_counted_by_the_formula():
    key, count = key_of(4), len(report(4).sentences)
    assert score(lambda: (4, key), 0) == (
        1.0,
        "Report 4: 5 of 5 flaws found and named, 0 found with another name, 0 missed, 0 false alarms: 1.00 of the point.",
    )
    first, *others = key
    other = next(flaw for flaw in FLAWS if flaw != key[first])
    clean = next(n for n in range(1, count + 1) if n not in key)
    assert score((4, key | {first: other}), 0)[0] == pytest.approx(0.9)
    assert score((4, {n: key[n] for n in others}), 0)[0] == pytest.approx(0.8)
    assert score((4, key | {clean: other}), 0)[0] == pytest.approx(1 - 1 / (count - 5))
    (verdict,) = judge({"mine": lambda: (4, key | {first: other})}, {"red_pen": "mine"}, seed=9)
    assert (verdict["points"], verdict["of"]) == (0.9, 1) and "1 found with another name" in verdict["message"]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({1: FLAWS[0]}, "It should give the seed"),
        ((1,), "It should give the seed"),
        ((1, [1, 2]), "It should give the seed"),
        (("1", {}), "whole number from 0"),
        ((True, {}), "whole number from 0"),
        ((-1, {}), "whole number from 0"),
        ((1, {"1": FLAWS[0]}), "'1' is none"),
        ((1, {99: FLAWS[0]}), "sentences 1 to 13; you mark 99"),
        ((1, {0: FLAWS[0]}), "you mark 0"),
        ((1, {1: "bad style"}), "'bad style' is no flaw of the list"),
        ((1, {1: ["one-sided p"]}), "is no flaw of the list"),
        (lambda: 1 / 0, "raises ZeroDivisionError"),
        (lambda seed: (1, {}), "raises TypeError"),
    ],
)
def test_what_are_no_marks_is_told_in_a_sentence(answer, told):
    share, words = score(answer, 0)
    assert share == 0 and told in words
    with pytest.raises(NotYet, match="not yet"):
        check("red_pen", answer)


def test_a_stub_is_unfinished_and_a_wrong_seed_is_refused():
    def stub():
        raise NotImplementedError

    with pytest.raises(Unfinished):
        check("red_pen", stub)
    for seed in (-1, 10**6, "1", 1.0, True):
        with pytest.raises(UserError, match="whole number from 0"):
            report(seed)
