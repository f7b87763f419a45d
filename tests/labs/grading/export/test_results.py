"""results.json of Gradescope and PrairieLearn: every key is one that their formats have, and the sums agree."""

from safedpo.labs.grading.export.results import gradescope, prairielearn
from tests.labs.grading.test_report import graded

# From Gradescope's autograder specification and PrairieLearn's external grading page.
GRADESCOPE = {
    "score",
    "execution_time",
    "output",
    "visibility",
    "stdout_visibility",
    "extra_data",
    "tests",
    "leaderboard",
}
GRADESCOPE_TEST = {"score", "max_score", "status", "name", "number", "output", "tags", "visibility", "extra_data"}
PRAIRIELEARN = {"gradable", "score", "message", "output", "tests", "images", "format_errors"}
PRAIRIELEARN_TEST = {"name", "description", "points", "max_points", "message", "output", "images"}
ONE = graded("a.ipynb", dpo_loss=1, safe_policy=0, dpo_gradient=1)


def test_gradescope():
    made = gradescope(ONE)
    assert made.keys() <= GRADESCOPE and all(test.keys() <= GRADESCOPE_TEST for test in made["tests"])
    assert made["score"] == sum(test["score"] for test in made["tests"]) == ONE.points
    assert [test["status"] for test in made["tests"]] == ["passed", "failed", "passed"]


def test_prairielearn():
    made = prairielearn(ONE)
    assert made.keys() <= PRAIRIELEARN and all(test.keys() <= PRAIRIELEARN_TEST for test in made["tests"])
    points, most = (sum(test[key] for test in made["tests"]) for key in ("points", "max_points"))
    assert made["score"] == points / most == ONE.points / ONE.of
