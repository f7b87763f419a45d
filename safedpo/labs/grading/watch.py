"""An answer that calls the checker instead of computing is noticed while it runs."""

import sys
import threading
from collections.abc import Callable
from functools import update_wrapper
from pathlib import Path
from types import CodeType, FrameType

LABS = Path(__file__).resolve().parents[1]
PACKAGE = str(LABS.parent)
CHECKERS = tuple(f"{LABS}/{name}" for name in ("checks/", "exercises/", "checking.py", "grading/judge.py"))


# Functions of the library that do what the exercise asks for: exercise -> their names.
LIBRARY = {
    "dpo_loss": {"dpo_loss", "safedpo_loss", "cdpo_loss", "robust_dpo_loss"},
    "safedpo_loss": {"safedpo_loss", "dpo_loss"},
    "order_pairs": {"order_pairs"},
    "shift_reference": {"shift_reference"},
    "gradient_weight": {"gradient_weight"},
    "safe_policy": {"optimal_policy"},
    "kl_to_optimum": {"kl"},
    "response_logps": {"response_logps", "token_logps"},
}


class CallsTheKit(Exception):
    """The answer gets its values from the kit's own computation of them."""


def watched(answer: Callable, exercise: str = "") -> Callable:
    """`answer`, which from now on raises `CallsTheKit` where its code calls the checkers, or the library's own solution.

    Functions that it is handed as arguments it may call, wherever they come from.

    >>> watched(lambda x: x + 1)(2)
    3
    """
    solutions = LIBRARY.get(exercise, set())

    def run(*arguments):
        given = {code for one in arguments for code in _codes(one)}
        found: list[str] = []

        def notice(frame: FrameType, event: str, called: object) -> None:
            code, caller = frame.f_code, frame.f_back
            if event == "c_call" and called is sys.setprofile:
                found.append("sys.setprofile, the watch")
            elif event == "call" and code.co_name in solutions and code.co_filename.startswith(PACKAGE):
                found.append(code.co_name)
            elif event == "call" and _of_checkers(code) and code not in given and caller is not None:
                found.extend([code.co_name] * (not _within(caller, run.__code__)))

        before = sys.getprofile()
        sys.setprofile(notice)
        threading.setprofile(notice)  # of the threads that the answer starts
        try:
            values = answer(*arguments)
        finally:
            noticed = found[:]  # before we take the watch off ourselves
            threading.setprofile(None)
            sys.setprofile(before)
        if noticed:
            raise CallsTheKit(f"it calls {noticed[0]} of the kit; write the computation yourself")
        return values

    return update_wrapper(run, answer)


def _within(frame: FrameType | None, top: CodeType) -> bool:
    """Is this part of a call of something that was handed over, also where a library stands between (a root finder)?"""
    while frame is not None and frame.f_code is not top:
        if _of_checkers(frame.f_code):
            return True
        frame = frame.f_back
    return False


def _of_checkers(code: CodeType) -> bool:
    return code.co_filename.startswith(CHECKERS)


def _codes(thing: object) -> list[CodeType]:
    if isinstance(thing, tuple | list):
        return [code for one in thing for code in _codes(one)]
    code = getattr(thing, "__code__", None)
    return [code] if isinstance(code, CodeType) else []
