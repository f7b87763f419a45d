"""The class's table: every exercise a column, missing ones empty, the hardest first."""

import csv
import io

from safedpo.labs.grading.notebook import Grade
from safedpo.labs.grading.report import class_table, hardest, rows


def graded(name: str, **points: float) -> Grade:
    verdicts = [{"exercise": e, "points": p, "of": 1, "message": "right" if p else "wrong"} for e, p in points.items()]
    return Grade(name, verdicts, {}, [], 1.5)


CLASS = [graded("a.ipynb", dpo_loss=1, safe_policy=0), graded("b.ipynb", dpo_loss=0), graded("c.ipynb", safe_policy=0)]


def test_the_table_has_a_line_for_each_notebook():
    table = list(csv.DictReader(io.StringIO(class_table(CLASS))))
    assert [line["notebook"] for line in table] == ["a.ipynb", "b.ipynb", "c.ipynb"]
    assert table[0]["dpo_loss"] == "1" and table[1]["safe_policy"] == "" and table[2]["points"] == "0"


def test_rows_are_the_contract():
    assert [set(row) for row in rows(CLASS)] == [
        {"notebook", "exercise", "points", "of", "message", "seconds", "predictions", "incidents"}
    ] * 4


def test_the_hardest_come_first_by_share():
    assert hardest(CLASS) == [("safe_policy", 2, 2), ("dpo_loss", 1, 2)]
    assert hardest([graded("a.ipynb", dpo_loss=1)]) == []
