"""What the checkers of any notebook owe a learner: right answers accepted, wrong ones refused with the reason."""

import pytest

from safedpo.labs.checking import NotYet, check


def all_are_accepted(name, answers, capsys):
    """Each of the (three, different) answers is right."""
    for answer in answers:
        check(name, answer)
    assert capsys.readouterr().out.count("right, on") == len(answers) == 3


def is_refused(name, answer, word):
    """The answer is wrong, and the message holds the word."""
    with pytest.raises(NotYet) as error:
        check(name, answer)
    assert word in str(error.value)
