"""The sixteen questions: each has a number, computed from the results that are given, and a section of a notebook."""

import json
import re
import shutil

import pytest

from safedpo.evaluate.results import Results, stored_results
from safedpo.files import shipped
from safedpo.labs.books.order import in_order
from safedpo.labs.lessons.paper.questions import QUESTIONS, answers

QUICK = (1, 3, 4, 5, 6, 7, 10, 12, 14, 16)


def test_there_are_sixteen_and_each_names_a_notebook_that_is_there():
    assert [question.number for question in QUESTIONS] == list(range(1, 17))
    books = {path.name[:2] for path in in_order(shipped("notebooks"))}
    for question in QUESTIONS:
        assert set(re.findall(r"\b(\d\d)\b", question.where)) <= books, question.number


@pytest.mark.parametrize("number", QUICK)
def test_each_answer_has_a_number(number):
    assert re.search(r"\d", QUESTIONS[number - 1].answer(stored_results()))


def test_an_answer_changes_with_the_results():
    real = stored_results()
    changed = json.loads(json.dumps(real.sweep))
    for run in changed["runs"]:
        for point in run["points"]:
            point["harm"]["value"] = 0.25
    for number in (5, 6, 10):
        before, after = (QUESTIONS[number - 1].answer(one) for one in (real, Results(real.folder, changed)))
        assert before != after and "25.0%" in after


def test_over_refusal_is_that_of_the_requests_that_only_look_unsafe(tmp_path):
    real = stored_results()
    shutil.copytree(real.folder, tmp_path / "copy")
    for file in (tmp_path / "copy").glob("safedpo-delta-10/*/evaluation.json"):
        report = json.loads(file.read_text())
        report["policy"]["topics"]["lookalikes"]["over_refusal"]["value"] = 0.875
        del report["content_sha256"]
        file.write_text(json.dumps(report))
    before, after = (QUESTIONS[3].answer(one) for one in (real, Results(tmp_path / "copy", real.sweep)))
    assert before != after and "87.5% at delta 10" in after


@pytest.mark.slow
def test_all_sixteen_are_answered():
    assert len(answers()) == 16 and all(answer for _, answer in answers())
