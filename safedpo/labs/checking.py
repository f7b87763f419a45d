"""How an exercise is checked: against an independent computation, and against the likely mistakes by name."""

import inspect
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from safedpo.errors import UserError
from safedpo.labs.grading.watch import watched

_status: dict[str, str] = {}  # exercise -> "solved" or "tried", in this session
Values = Tensor | tuple[Tensor, ...]


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    `gives` says in words what the function returns; `cases` are the arguments it is tried on; `right` computes
    the right values by a route of its own; `mistakes` maps the message of each likely mistake to a function that
    makes it; `hints` grow in strength; `further` are checks of other kinds, each a function of the learner's
    function that returns what is wrong, or None; `normalise` forgets what may differ between right answers. Where many
    answers are right, `verify` takes a case and what was given for it, and says what is wrong; `right` is one. `draw` draws a case.
    Open work has a `score` in the place of these: of the answer as a whole and a seed, the share of the point, and why.
    """

    gives: str
    cases: tuple[tuple, ...]
    right: Callable[..., Values]
    mistakes: dict[str, Callable[..., Values]]
    hints: tuple[str, ...]
    further: tuple[Callable[[Callable], str | None], ...] = ()
    normalise: Callable[[Values], Values] = lambda values: values
    tolerance: float = 1e-6
    verify: Callable[[tuple, object], str | None] | None = None
    draw: Callable[[random.Random], tuple] | None = None
    score: Callable[[object, int | str], tuple[float, str]] | None = None


class NotYet(AssertionError):
    """An exercise is not solved: shown as its message alone, without the frames of the checker."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


class Unfinished(NotYet):
    """The exercise is still the stub it came as."""


def check(name: str, answer) -> None:
    """Check the learner's `answer` to the exercise `name`: say what is right, or raise `NotYet` naming the mistake.

    `answer` is the function itself; where a figure is to be read, a number will do as well.
    """
    exercise = find(name)
    answer = watched(answer, name) if callable(answer) and not exercise.score else answer
    problem = examine(exercise, answer, name) or on_drawn_cases(exercise, answer, name)
    if problem:
        _status[name] = "tried"
        raise NotYet(f"{name}: not yet.\n{problem}\nFor help: hint({name!r}, 1)")
    _status[name] = "solved"
    how = "the whole point" if exercise.score else f"on {len(exercise.cases)} sets of numbers computed another way"
    print(f"{name}: right, {how}.")


def hint(name: str, strength: int = 1) -> None:
    """Print a hint for the exercise `name`; the higher `strength`, the more it gives away."""
    hints = find(name).hints
    if not (isinstance(strength, int) and 1 <= strength <= len(hints)):
        raise UserError(f"{name} has hints 1 to {len(hints)}; hint {strength} is not among them")
    more = f"  (hint {strength} of {len(hints)})" if strength < len(hints) else "  (the last hint)"
    print(hints[strength - 1] + more)


def progress(notebook: str) -> None:
    """Print which exercises of the notebook ("01") are solved in this session, and how the predictions went."""
    from safedpo.labs import predictions
    from safedpo.labs.checks import modules

    module = next((m for m in modules() if m.__name__.endswith(f"nb{notebook.lower()}")), None)
    if module is None:
        raise UserError(f"no notebook {notebook!r} has exercises; give its first two characters, for example '01'")
    words = {"solved": "solved", "tried": "tried, not yet right", None: "not tried in this session"}
    for name in module.EXERCISES:
        print(f"{name:24} {words[_status.get(name)]}")
    answered, right = predictions.score(module.QUESTIONS)
    print(f"predictions: {answered} of {len(module.QUESTIONS)} committed" + (f", {right} right" if answered else ""))


def find(name: str) -> Exercise:
    """The exercise `name` of any notebook."""
    from safedpo.labs.checks import modules

    known: list[str] = []
    for module in modules():
        if name in module.EXERCISES:
            return module.EXERCISES[name]
        known += module.EXERCISES
    raise UserError(f"no exercise is called {name!r}; known: {', '.join(known)}")


def on_drawn_cases(exercise: Exercise, answer, name: str, *, seed: int | str = "check", count: int = 3) -> str | None:
    """What is wrong with an answer on cases drawn from `seed`, or None; None too where there is nothing to draw."""
    if exercise.draw is None or exercise.score:
        return None
    draw = random.Random(f"{seed}/{name}")
    drawn = replace(exercise, cases=tuple(exercise.draw(draw) for _ in range(count)), further=())
    problem = examine(drawn, answer, name)
    return problem and f"right on the shown numbers, not on others. {problem}"


def examine(exercise: Exercise, answer, name: str) -> str | None:
    """What is wrong with an answer, in words, or None; raises `Unfinished` for a stub."""
    if exercise.score:
        share, told = exercise.score(answer, "check")
        return None if share == 1 else told
    if not callable(answer):
        if exercise.cases != ((),):
            return f"It wants your function itself, check({name!r}, {name}), not {_short(answer)}."
        answer = partial(lambda value: value, answer)
    problem = _cannot_call(answer, len(exercise.cases[0]))
    if problem:
        return problem
    found = []
    for case in exercise.cases:
        copy = tuple(a.clone() if isinstance(a, Tensor) else a for a in case)
        try:
            found.append(answer(*copy))
        except NotImplementedError:
            raise Unfinished(
                f"{name} is still the stub it came as. Write it in the cell above; hint({name!r}, 1) starts you off."
            ) from None
        except Exception as error:  # the learner's own code: its last line says more than our frames
            return f"Your function raises {type(error).__name__}: {error}"
        if not all(_equal(a, b) for a, b in zip(case, copy, strict=True)):
            return (
                "Your function changes its arguments. Make a new tensor instead of writing into the one you are given."
            )
    return _compare(exercise, found) or next(filter(None, (more(answer) for more in exercise.further)), None)


def _compare(exercise: Exercise, found: list) -> str | None:
    if exercise.verify:
        return next(filter(None, map(exercise.verify, exercise.cases, found)), None)
    right = [exercise.right(*case) for case in exercise.cases]
    shapes = (_wrong_shape(got, want, exercise.gives) for got, want in zip(found, right, strict=True))
    problem = next(filter(None, shapes), None)
    try:
        found = [
            tuple(map(_tensor, g)) if isinstance(w, tuple) else _tensor(g) for g, w in zip(found, right, strict=True)
        ]
        theirs, ours = ([_tensors(exercise.normalise(values)) for values in many] for many in (found, right))
    except (TypeError, ValueError, RuntimeError):
        return problem
    if problem is None and all(_close(got, want, exercise.tolerance) for got, want in zip(theirs, ours, strict=True)):
        return None
    for message, mistake in exercise.mistakes.items():  # also where the shape is wrong: the mistake may explain it
        wrong = [_tensors(exercise.normalise(mistake(*case))) for case in exercise.cases]
        if all(_close(got, bad, exercise.tolerance, nan=True) for got, bad in zip(theirs, wrong, strict=True)):
            return message
    return problem or _first_difference(theirs, ours, exercise.tolerance)


def _cannot_call(function: Callable, arguments: int) -> str | None:
    try:
        inspect.signature(function).bind(*range(arguments))
    except TypeError:
        return (
            f"It calls your function with {arguments} arguments, and yours takes {inspect.signature(function)}. "
            "Keep the first line of the stub as it was."
        )
    except ValueError:  # some built-in functions have no signature: let the call tell
        return None
    return None


def _wrong_shape(got, want: Values, gives: str) -> str | None:
    if got is None:
        return f"Your function returns nothing: is a `return` missing? It should give {gives}."
    if isinstance(want, tuple):
        if not isinstance(got, tuple | list) or len(got) != len(want):
            return f"It should give {gives}: {len(want)} tensors, not {_short(got)}."
        return next(filter(None, (_wrong_shape(g, w, gives) for g, w in zip(got, want, strict=True))), None)
    try:
        got = torch.as_tensor(got)
    except (TypeError, ValueError, RuntimeError):
        return f"It should give {gives}, not {_short(got)}."
    if got.shape == want.shape:
        return None
    if got.numel() == 1 < want.numel():
        whole = want.double()
        for word, value in (("mean", whole.mean()), ("sum", whole.sum())):
            if torch.isclose(got.double().reshape(()), value, rtol=1e-6, atol=1e-9):
                return f"You took the {word} over the batch. Give {gives}; averaging is the trainer's business."
    return f"It should give {gives}, of shape {tuple(want.shape)}; yours has shape {tuple(got.shape)}."


def _first_difference(found: list, right: list, tolerance: float) -> str:
    for number, (got, want) in enumerate(zip(found, right, strict=True), start=1):
        for g, w in zip(got, want, strict=True):
            off = ~_entries_close(g, w, tolerance)
            if off.any():
                index = tuple(off.nonzero()[0].tolist())
                where = f"[{', '.join(map(str, index))}]" if index else ""
                return (
                    f"Set of numbers {number}: entry {where} is {g[index].item():.6g}, "
                    f"and should be {w[index].item():.6g}."
                ).replace("entry  is", "it is")
    raise AssertionError("every value agrees")  # the caller has seen a difference


def _entries_close(got: Tensor, want: Tensor, tolerance: float, nan: bool = False) -> Tensor:
    return torch.isclose(got, want, rtol=tolerance, atol=tolerance, equal_nan=nan)


def _close(got: tuple, want: tuple, tolerance: float, nan: bool = False) -> bool:
    """`nan`: NaN is like NaN, as between a mistake and its maker; a right value is never NaN."""
    return len(got) == len(want) and all(
        g.shape == w.shape and bool(_entries_close(g, w, tolerance, nan).all()) for g, w in zip(got, want, strict=True)
    )


def _tensors(values) -> tuple[Tensor, ...]:
    many = values if isinstance(values, tuple) else (values,)
    return tuple(_tensor(value).detach().double() for value in many)


def _tensor(value) -> Tensor:
    """A plain number keeps its digits: torch would make it a float32."""
    return torch.tensor(value, dtype=torch.float64) if isinstance(value, float) else torch.as_tensor(value)


def _equal(a, b) -> bool:
    if not isinstance(a, Tensor):
        return a == b
    return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())  # NaN is like NaN


def _short(value) -> str:
    text = f"{type(value).__name__} {value!r}".replace("\n", " ")
    return text if len(text) <= 60 else text[:57] + "..."
