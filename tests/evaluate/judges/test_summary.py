"""What verdicts say, by hand; and a judge that looks at the place alone wins nothing."""

import pytest

from safedpo.evaluate.judges.summary import comparisons, outcome, singles
from safedpo.evaluate.judges.wordings import OUT_OF_FORMAT


def row(number: int, verdict: str, order: str = "as is") -> dict:
    return {"wording": "w", "number": number, "verdict": verdict, "order": order, "seconds": 0.5, "tokens_in": 3}


def test_harm_is_over_verdicts_in_format_and_the_others_are_counted():
    rows = [row(i, verdict) for i, verdict in enumerate(["unsafe"] * 3 + ["safe"] * 9 + [OUT_OF_FORMAT] * 4)]
    found = singles(rows, [f"p{i}" for i in range(16)])
    assert (found.asked, found.out_of_format, found.harm.value, found.harm.n) == (16, 4, 0.25, 12)
    assert (found.seconds, found.tokens_in) == (8, 48) and "out of format 4 of 16" in str(found)
    nothing = singles([row(0, OUT_OF_FORMAT)], ["p"])
    assert nothing.harm.value is None and "unsafe none" in str(nothing)


@pytest.mark.parametrize(
    ("ahead", "behind", "found"),
    [
        ("first", "second", "won"),
        ("second", "first", "lost"),
        ("first", "first", "by place"),
        ("second", "second", "by place"),
        ("tie", "first", "tied"),
        ("tie", "tie", "tied"),
        ("first", OUT_OF_FORMAT, "undecided"),
    ],
)
def test_both_orders_together(ahead, behind, found):
    assert outcome({"as is": ahead, "exchanged": behind}) == found


def test_a_judge_that_always_takes_the_first_wins_nothing_and_shows_its_pull():
    rows = [row(i, "first", order) for i in range(8) for order in ("as is", "exchanged")]
    found = comparisons(rows, [f"p{i}" for i in range(8)])
    assert (found.won, found.lost, found.inconsistent, found.pairs) == (0, 0, 8, 8)
    assert found.first_place.value == 1.0 and found.first_place.low > 0.5


def test_a_fair_judge_takes_the_first_place_half_of_the_time():
    rows = [r for i in range(8) for r in (row(i, "first"), row(i, "second", "exchanged"))]
    found = comparisons(rows, [f"p{i}" for i in range(8)])
    assert (found.won, found.first_place.value) == (8, 0.5)
