"""Grades as JSON, as a table for the class, and what was hard."""

import csv
import io
from collections.abc import Sequence

from safedpo.labs.grading.notebook import Grade


def rows(grades: Sequence[Grade]) -> list[dict]:
    """One row for each exercise of each notebook: the JSON of `safedpo grade`.

    Each row has its notebook's seconds, predictions (question -> option) and incidents beside its own points.

    >>> grade = Grade("a.ipynb", [{"exercise": "dpo_loss", "points": 1, "of": 1, "message": "right"}], {}, [], 2.0)
    >>> rows([grade])
    [{'notebook': 'a.ipynb', 'exercise': 'dpo_loss', 'points': 1, 'of': 1, 'message': 'right', 'seconds': 2.0,
      'predictions': {}, 'incidents': []}]
    """
    return [
        {"notebook": grade.notebook, **verdict}
        | {"seconds": grade.seconds, "predictions": grade.predictions, "incidents": grade.incidents}
        for grade in grades
        for verdict in grade.verdicts
    ]


def class_table(grades: Sequence[Grade]) -> str:
    """CSV: one line a notebook, one column an exercise, the sum and the seconds; empty where a notebook has no such exercise.

    >>> grade = Grade("a.ipynb", [{"exercise": "dpo_loss", "points": 1, "of": 1, "message": "right"}], {}, [], 2.0)
    >>> print(class_table([grade]), end="")
    notebook,dpo_loss,points,of,seconds
    a.ipynb,1,1,1,2.0
    """
    names = list(dict.fromkeys(verdict["exercise"] for grade in grades for verdict in grade.verdicts))
    text = io.StringIO()
    table = csv.DictWriter(text, ["notebook", *names, "points", "of", "seconds"], lineterminator="\n")
    table.writeheader()
    for grade in grades:
        points = {verdict["exercise"]: verdict["points"] for verdict in grade.verdicts}
        sums = {"notebook": grade.notebook, "points": grade.points, "of": grade.of, "seconds": grade.seconds}
        table.writerow(points | sums)
    return text.getvalue()


def hardest(grades: Sequence[Grade], most: int = 5) -> list[tuple[str, int, int]]:
    """The exercises that most notebooks got wrong: (exercise, wrong, of all), the hardest first; none that all got right.

    >>> wrong = Grade("a.ipynb", [{"exercise": "dpo_loss", "points": 0, "of": 1, "message": "..."}], {}, [], 2.0)
    >>> hardest([wrong])
    [('dpo_loss', 1, 1)]
    """
    tried: dict[str, list[bool]] = {}
    for row in rows(grades):
        tried.setdefault(row["exercise"], []).append(row["points"] < row["of"])
    wrong = [(name, sum(failed), len(failed)) for name, failed in tried.items() if any(failed)]
    return sorted(wrong, key=lambda found: (-found[1] / found[2], found[0]))[:most]
