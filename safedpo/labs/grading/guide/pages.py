"""The computed pages of the instructor's guide, as Markdown: outcomes with minutes, and common misconceptions."""

from collections.abc import Sequence
from pathlib import Path

from safedpo.labs.checking import find
from safedpo.labs.grading.guide.sections import (
    CODE_LINE,
    FORMULA,
    PREDICTION,
    SOLUTION_LINE,
    SOLUTION_START,
    WORDS_A_MINUTE,
    goals,
    sections,
)

HOW = (
    f"Minutes are counted, not timed on people: {WORDS_A_MINUTE} words of prose a minute, {FORMULA:g} for a displayed "
    f"formula, {60 * CODE_LINE:.0f} seconds for a line of code, {PREDICTION:g} for a prediction; an exercise counts the minutes "
    f"that it states, or {SOLUTION_START:g} and {SOLUTION_LINE:g} more for each line of its solution. The machine's time comes on "
    "top: under a minute for notebooks 00 to 05, a few minutes for 06 to 08. Time your own class, and correct the plan."
)


def outcomes(notebooks: Sequence[Path]) -> str:
    """Goals, sections, minutes, exercises and claims of each complete notebook."""
    parts = ["# Outcomes, exercises, claims and minutes\n", HOW + "\n"]
    for path in notebooks:
        found = sections(path)
        reading, doing = sum(one.reading for one in found), sum(one.doing for one in found)
        parts.append(
            f"## {path.stem.replace('_', ' ')}: {reading:.0f} minutes to read, {doing:.0f} for the exercises\n"
        )
        parts += [f"- {goal}" for goal in goals(path)]
        parts.append(
            "\n| section | read | exercises | do | predictions | claims of the ledger |\n|---|---|---|---|---|---|"
        )
        parts += [
            f"| {one.heading} | {one.reading:.0f} | {_code(one.exercises)} | {one.doing:.0f} | {_code(one.predictions)} "
            f"| {_code(one.claims)} |"
            for one in found
        ]
        parts.append("")
    return "\n".join(parts)


def misconceptions(notebooks: Sequence[Path]) -> str:
    """What each checker knows as a likely mistake, in the words that a student reads; and what predictions get wrong."""
    parts = [
        "# Common misconceptions\n",
        "These are the mistakes that the checkers know by name. `safedpo grade --page` counts which your class made.\n",
    ]
    for path in notebooks:
        exercises = [name for one in sections(path) for name in one.exercises]
        known = {name: find(name).mistakes for name in exercises}
        if any(known.values()):
            parts.append(f"## {path.stem.replace('_', ' ')}\n")
        for name, mistakes in known.items():
            if mistakes:
                parts += [f"**{name}**\n", *(f"- {message}" for message in mistakes), ""]
    return "\n".join(parts)


def _code(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
