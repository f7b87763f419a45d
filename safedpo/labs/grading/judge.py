"""Judge the answers of a notebook that has just run: called inside its kernel, on what the student's cells left there."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from safedpo.labs.checking import Unfinished, examine, find, on_drawn_cases

CASES = 3  # drawn for each exercise, beside its own


@dataclass(frozen=True)
class Verdict:
    """What one exercise is worth and why."""

    exercise: str
    points: float
    of: float
    message: str


def judge(namespace: Mapping[str, object], asked: Mapping[str, str], *, seed: int) -> list[dict]:
    """One verdict for each exercise of `asked` (name -> the expression that the notebook's check is given).

    The expression is evaluated in `namespace`, the kernel's own. An exercise counts when it is right on its shown cases and
    on `CASES` cases drawn with `seed`, which differ from student to student only if the seed does.

    >>> judge({}, {"dpo_loss": "dpo_loss"}, seed=0)[0]["message"]
    "nothing to grade: name 'dpo_loss' is not defined"
    """
    return [asdict(_verdict(name, expression, namespace, seed)) for name, expression in asked.items()]


def _verdict(name: str, expression: str, namespace: Mapping[str, object], seed: int) -> Verdict:
    try:
        answer = eval(expression, dict(namespace))
    except Exception as error:
        return Verdict(name, 0, 1, f"nothing to grade: {error}")
    exercise = find(name)
    try:
        problem = examine(exercise, answer, name) or on_drawn_cases(exercise, answer, name, seed=seed, count=CASES)
    except Unfinished:
        return Verdict(name, 0, 1, "not done: still the stub")
    except Exception as error:  # an answer that breaks the checker itself
        problem = f"the answer cannot be examined: {type(error).__name__}: {error}"
    return Verdict(name, 0 if problem else 1, 1, problem or "right")
