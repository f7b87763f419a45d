"""An answer that calls the checker instead of computing is noticed while it runs."""

import sys
from collections.abc import Callable
from functools import update_wrapper
from pathlib import Path
from types import CodeType, FrameType

LABS = Path(__file__).resolve().parents[1]
CHECKERS = tuple(str(LABS / name) for name in ("checks", "exercises", "checking.py", "grading"))


class CallsTheChecker(Exception):
    """The answer gets its values from the kit's own computation of them."""


def watched(answer: Callable) -> Callable:
    """`answer`, which from now on raises `CallsTheChecker` where its code calls into the checkers.

    Functions that it is handed as arguments it may call, wherever they come from.

    >>> watched(lambda x: x + 1)(2)
    3
    """

    def run(*arguments):
        given = {code for one in arguments for code in _codes(one)}
        found: list[str] = []

        def notice(frame: FrameType, event: str, _: object) -> None:
            if event == "call" and _of_checkers(frame.f_code) and frame.f_code not in given:
                caller = frame.f_back
                if caller is not None and (caller.f_code is run.__code__ or not _of_checkers(caller.f_code)):
                    found.append(frame.f_code.co_name)

        before = sys.getprofile()
        sys.setprofile(notice)
        try:
            values = answer(*arguments)
        finally:
            sys.setprofile(before)
        if found:
            raise CallsTheChecker(f"it calls the checker's own {found[0]}; write the computation yourself")
        return values

    return update_wrapper(run, answer)


def _of_checkers(code: CodeType) -> bool:
    return code.co_filename.startswith(CHECKERS)


def _codes(thing: object) -> list[CodeType]:
    if isinstance(thing, tuple | list):
        return [code for one in thing for code in _codes(one)]
    code = getattr(thing, "__code__", None)
    return [code] if isinstance(code, CodeType) else []
