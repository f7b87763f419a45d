"""What `check`, `hint` and `progress` say, whatever the exercise."""

import pytest

from safedpo.errors import UserError
from safedpo.labs.checking import NotYet, Unfinished, check, find, hint, progress
from safedpo.labs.checks import modules
from tests.labs.checks.answers import refusal

# every exercise of every notebook
ALL = [name for module in modules() for name in module.EXERCISES]


@pytest.mark.parametrize("name", ALL)
def test_a_constant_a_stub_and_no_function(name):
    def stub(*_):
        raise NotImplementedError

    with pytest.raises(Unfinished, match="still the stub"):
        check(name, stub)
    refusal(name, lambda *_: 42.0)
    refusal(name, None)


def test_an_error_is_its_message_alone():
    with pytest.raises(NotYet) as error:
        check("dpo_loss", lambda c, r, rc, rr, b: -c)
    assert error.value._render_traceback_() == [str(error.value)]


def test_hints_grow_and_end():
    assert len(find("dpo_loss").hints) == 3
    with pytest.raises(UserError, match="hints 1 to 3"):
        hint("dpo_loss", 4)


@pytest.mark.parametrize("name", ALL)
def test_every_exercise_has_hints(name, capsys):
    for strength, text in enumerate(find(name).hints, start=1):
        hint(name, strength)
        assert text in capsys.readouterr().out


def test_unknown_names_are_listed():
    with pytest.raises(UserError, match="known: .*dpo_loss"):
        check("dpo_los", print)


def test_progress_tells_solved_tried_and_untouched(capsys):
    check("implicit_reward", lambda p, q, b: b * (p - q))
    refusal("dpo_loss", lambda *_: 0)

    def stub(*_):
        raise NotImplementedError

    with pytest.raises(Unfinished):
        check("dpo_gradient", stub)  # running a stub is not trying
    capsys.readouterr()
    progress("01")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(maxsplit=1) for line in lines[:3]] == [
        ["implicit_reward", "solved"],
        ["dpo_loss", "tried, not yet right"],
        ["dpo_gradient", "not tried in this session"],
    ]
    with pytest.raises(UserError, match="no notebook"):
        progress("77")
