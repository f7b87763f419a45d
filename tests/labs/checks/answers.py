"""What the checkers of any notebook owe a learner: right answers accepted, wrong ones refused with the reason."""

import pytest

from safedpo.labs.checking import NotYet, check


def accepted(name, answers, capsys):
    """How many of the answers the checker calls right; it raises at one that it does not."""
    for answer in answers:
        check(name, answer)
    return capsys.readouterr().out.count("right, on")


def refusal(name, answer):
    """What the checker says to a wrong answer."""
    with pytest.raises(NotYet) as error:
        check(name, answer)
    return str(error.value)
