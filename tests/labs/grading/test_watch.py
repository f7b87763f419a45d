"""An answer that calls the kit is noticed; what it is handed, and its own code, it may call."""

import sys
import threading

import pytest
import torch

from safedpo.labs.checking import NotYet, check, find
from safedpo.labs.grading.judge import verdict_on
from safedpo.labs.grading.watch import CallsTheKit, watched


def mine(c, r, rc, rr, beta):
    return torch.nn.functional.softplus(-beta * ((c - rc) - (r - rr)))


def test_an_own_answer_and_one_with_helpers_pass():
    assert verdict_on("dpo_loss", mine).points == 1
    assert verdict_on("dpo_loss", lambda *a: mine(*a)).points == 1


@pytest.mark.parametrize("name", ["dpo_loss", "safe_policy", "needed_penalty"])
def test_the_checker_s_own_computation_has_no_point_directly_or_wrapped(name):
    right = find(name).right
    for answer in (right, lambda *a: right(*a)):
        verdict = verdict_on(name, answer)
        assert verdict.points == 0 and "of the kit; write the computation yourself" in verdict.message
    with pytest.raises(NotYet, match="of the kit"):
        check(name, lambda *a: right(*a))


def test_the_library_s_solution_has_no_point_either():
    from safedpo import losses, transform

    assert verdict_on("dpo_loss", lambda *a: losses.dpo_loss(*a[:4], beta=a[4])).points == 0
    assert verdict_on("order_pairs", transform.order_pairs).points == 0


def test_what_is_handed_in_may_be_called():
    given = find("dpo_loss").right
    assert watched(lambda thing: thing.__name__)(given) == given.__name__
    columns = find("dpo_loss").cases[0]
    assert torch.equal(watched(lambda thing: thing(*columns))(given), given(*columns))
    with pytest.raises(CallsTheKit):
        watched(lambda: given(*columns))()


def test_a_profile_that_was_set_before_is_set_again():
    import sys

    before = sys.getprofile()
    watched(lambda: 1)()
    assert sys.getprofile() is before


def test_a_thing_that_is_handed_over_may_use_a_library_that_calls_it_back():
    """Of notebook 09: an evaluation finds its bound with SciPy's root finder."""
    exercise = find("evaluation_is_broken")
    answer = watched(lambda evaluate: evaluate([["safe"], ["unsafe"]], 0.05)[1], "evaluation_is_broken")
    assert all(0 <= answer(*case) <= 2 for case in exercise.cases[:3])


def test_taking_the_watch_off_and_a_thread_are_noticed():
    right = find("dpo_loss").right

    def unwatched(*arguments):
        sys.setprofile(None)
        return right(*arguments)

    def in_a_thread(*arguments):
        values = []
        thread = threading.Thread(target=lambda: values.append(right(*arguments)))
        thread.start()
        thread.join()
        return values[0]

    for answer in (unwatched, in_a_thread):
        with pytest.raises(CallsTheKit, match="write the computation yourself"):
            watched(answer)(*find("dpo_loss").cases[0])
