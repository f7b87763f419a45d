"""The commands that split the kit for a course: what students get, and what stays with the instructor."""

from pathlib import Path
from typing import Annotated

import typer

from safedpo.cli.common import app
from safedpo.errors import UserError

Wheel = Annotated[Path, typer.Option(help="The kit's wheel, from `make wheel`.")]
Numbers = Annotated[str, typer.Option(help="Two-digit numbers with commas, for example 01,02 (default: all).")]


@app.command()
def handout(
    out: Annotated[Path, typer.Option(help="The folder to fill; new or empty.")], wheel: Wheel, notebooks: Numbers = ""
) -> None:
    """Write what students get: notebooks with stubs, and a wheel without solutions, strongest hints or answers."""
    from safedpo.labs.grading.handout.folder import write_handout

    for path in write_handout(out, wheel, _numbers(notebooks)):
        print(path)


@app.command()
def instructor(
    out: Annotated[Path, typer.Option(help="The folder to fill; new or empty.")],
    wheel: Wheel,
    notebooks: Numbers = "",
    seed: Annotated[int, typer.Option(help="Seed of the hidden cases that the exports carry.")] = 0,
) -> None:
    """Write what stays with the instructor: solutions, the whole wheel, and the course for nbgrader and otter-grader."""
    from safedpo.labs.grading.handout.folder import write_instructor

    for path in write_instructor(out, wheel, _numbers(notebooks), seed=seed):
        print(path)


def _numbers(text: str) -> list[str]:
    """
    >>> _numbers("01, 02"), _numbers("")
    (['01', '02'], [])
    """
    numbers = [part.strip() for part in text.split(",") if part.strip()]
    wrong = [number for number in numbers if len(number) != 2]
    if wrong:
        raise UserError(f"--notebooks {text!r}: {wrong[0]!r} is no two-digit number; write for example 01,02")
    return numbers
