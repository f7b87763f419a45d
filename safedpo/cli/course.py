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
    out: Annotated[Path, typer.Option(help="The folder to fill; new or empty.")],
    wheel: Wheel,
    notebooks: Numbers = "",
    language: Annotated[
        str, typer.Option(help="A catalogue of notebooks/languages, for example de (default: English).")
    ] = "",
) -> None:
    """Write what students get: notebooks with stubs, and a wheel without solutions, strongest hints or answers."""
    from safedpo.labs.grading.handout.folder import write_handout

    for path in write_handout(out, wheel, _numbers(notebooks), language=language):
        print(path)


@app.command(hidden=True)
def texts(
    language: Annotated[str, typer.Argument(help="A code such as de.")],
    out: Annotated[Path, typer.Argument(help="The catalogue to write: .json.")],
    notebooks: Numbers = "01,02",
) -> None:
    """Write a catalogue for translators: every English text of these notebooks, with the translation where there is one."""
    from safedpo.files import shipped, write_json
    from safedpo.labs.grading.handout.folder import chosen
    from safedpo.labs.grading.handout.language import catalogue, texts_of

    home = shipped("notebooks")
    there = (home / "languages" / f"{language}.json").is_file()
    known = catalogue(home, language) if there else {}
    found = dict.fromkeys(texts_of(chosen(home, _numbers(notebooks))), "")
    write_json(
        out, {english: known.get(english, "") for english in [*found, *(one for one in known if one not in found)]}
    )
    print(f"{out}: {len(found)} texts of the notebooks, {sum(one in known for one in found)} of them translated")


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
