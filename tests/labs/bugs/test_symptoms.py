"""Every planted bug is caught by its check and seen in the figure."""

import pytest

from safedpo.labs.bugs.faults import FAULTS, broken
from safedpo.labs.bugs.symptoms import (
    CHECKS,
    counted_tokens,
    figure,
    first_losses,
    margins,
)

NUMBERS = range(1, len(FAULTS) + 1)


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_the_sound_pipeline_passes_every_check(check):
    assert check(broken(0)) is None


@pytest.mark.parametrize("number", NUMBERS)
def test_each_fault_is_caught_by_its_check(number):
    problem = CHECKS[FAULTS[number - 1].caught_by](broken(number))
    assert problem and any(digit.isdigit() or "None" in problem or "Pair" in problem for digit in problem)


@pytest.mark.parametrize("number", NUMBERS)
def test_each_fault_is_seen_in_the_figure(number, sound):
    """Some bar or line moves by more than 2 % of its axis."""
    seen = 0.0
    for measure, clean, height in zip((counted_tokens, first_losses, margins), sound, (25, 3.2, 6), strict=True):
        for a, b in zip(measure(broken(number)), clean, strict=True):
            seen = max(seen, 1.0 if (a is None) != (b is None) else abs((a or 0) - (b or 0)) / height)
    assert seen > 0.02


@pytest.fixture(scope="module")
def sound():
    return counted_tokens(broken(0)), first_losses(broken(0)), margins(broken(0))


def test_the_figure_says_what_the_checks_find():
    _, sentence = figure(9)
    assert sentence.startswith("Fault 9: an unsafe winner is not swapped.") and "US: T gives" in sentence
    assert figure(0)[1] == "The sound pipeline. every check passes."
