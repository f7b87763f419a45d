"""One page about a class: what was hard, what was misunderstood, and what went wrong in the notebooks themselves."""

from collections import Counter
from collections.abc import Sequence
from html import escape
from statistics import median

from safedpo.labs.grading.notebook import Grade

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3em .6em;border-bottom:1px solid #ccc;"
    "vertical-align:top}td.n{text-align:right;white-space:nowrap}"
)
UNDONE = ("not done", "nothing to grade", "not judged")


def class_page(grades: Sequence[Grade], most: int = 3) -> str:
    """HTML of one page: each exercise with how many solved it and its commonest mistakes, the hardest first.

    >>> verdict = {"exercise": "dpo_loss", "points": 0, "of": 1, "message": "The sign of m is wrong."}
    >>> "The sign of m is wrong." in class_page([Grade("a.ipynb", [verdict], {}, [], 2.0)])
    True
    """
    exercises = dict.fromkeys(verdict["exercise"] for grade in grades for verdict in grade.verdicts)
    rows = sorted((_exercise(grades, name, most) for name in exercises), key=lambda row: row[0])
    notes = [f"<li>{escape(grade.notebook)}: {escape(note)}</li>" for grade in grades for note in _own(grade)]
    points = [grade.points for grade in grades]
    summary = (
        f"{len(grades)} notebooks; points: median {median(points):g}, from {min(points):g} to {max(points):g} "
        f"of {max(grade.of for grade in grades):g}."
        if grades
        else "No notebooks."
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>What was hard</title><style>{STYLE}</style>'
        f"<h1>What was hard</h1><p>{summary}</p><table><tr><th>exercise</th><th>solved</th><th>not done</th>"
        f"<th>commonest mistakes</th></tr>{''.join(row for _, row in rows)}</table>"
        + (f"<h2>What went wrong in the notebooks</h2><ul>{''.join(notes)}</ul>" if notes else "")
        + "</html>\n"
    )


def _exercise(grades: Sequence[Grade], name: str, most: int) -> tuple[float, str]:
    verdicts = [verdict for grade in grades for verdict in grade.verdicts if verdict["exercise"] == name]
    solved = sum(verdict["points"] == verdict["of"] for verdict in verdicts)
    undone = sum(verdict["message"].startswith(UNDONE) for verdict in verdicts)
    wrong = Counter(
        verdict["message"]
        for verdict in verdicts
        if verdict["points"] < verdict["of"] and not verdict["message"].startswith(UNDONE)
    )
    mistakes = "<br>".join(f"{count} × {escape(message)}" for message, count in wrong.most_common(most))
    cells = f"<td>{escape(name)}</td><td class=n>{solved} of {len(verdicts)}</td><td class=n>{undone}</td><td>{mistakes}</td>"
    return solved / len(verdicts), f"<tr>{cells}</tr>\n"


def _own(grade: Grade) -> list[str]:
    """What a notebook did besides failing checks, which the table tells."""
    return [note for note in grade.incidents if ": Unfinished:" not in note and ": NotYet:" not in note]
