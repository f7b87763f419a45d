"""One graded notebook as the results file of Gradescope or of PrairieLearn.

Formats: Gradescope's autograder specification (results.json) and PrairieLearn's external grading (results.json).
"""

from safedpo.labs.grading.notebook import Grade


def gradescope(grade: Grade) -> dict:
    """What Gradescope reads from /autograder/results/results.json.

    >>> verdict = {"exercise": "dpo_loss", "points": 1, "of": 1, "message": "right"}
    >>> gradescope(Grade("a.ipynb", [verdict], {}, [], 2.0))["tests"]
    [{'name': 'dpo_loss', 'score': 1, 'max_score': 1, 'status': 'passed', 'output': 'right'}]
    """
    tests = [
        {
            "name": verdict["exercise"],
            "score": verdict["points"],
            "max_score": verdict["of"],
            "status": "passed" if verdict["points"] == verdict["of"] else "failed",
            "output": verdict["message"],
        }
        for verdict in grade.verdicts
    ]
    return {
        "score": grade.points,
        "execution_time": round(grade.seconds),
        "output": "\n".join(grade.incidents),
        "stdout_visibility": "hidden",
        "tests": tests,
    }


def prairielearn(grade: Grade) -> dict:
    """What PrairieLearn reads from /grade/results/results.json; its score is a share from 0 to 1.

    >>> verdict = {"exercise": "dpo_loss", "points": 1, "of": 2, "message": "half"}
    >>> prairielearn(Grade("a.ipynb", [verdict], {}, [], 2.0))["score"]
    0.5
    """
    tests = [
        {
            "name": verdict["exercise"],
            "points": verdict["points"],
            "max_points": verdict["of"],
            "message": verdict["message"],
        }
        for verdict in grade.verdicts
    ]
    output = "\n".join(grade.incidents)
    return {"gradable": True, "score": grade.points / grade.of, "message": "", "output": output, "tests": tests}
