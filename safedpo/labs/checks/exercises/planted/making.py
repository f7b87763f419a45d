"""Exercises in which the learner writes a check: it must pass every sound thing and notice every planted fault."""

import random
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from safedpo.labs.checking import Exercise


def detective(
    sound: Sequence[Callable],
    faults: Mapping[str, Callable],
    weak: Mapping[str, Callable],
    hints: tuple[str, ...],
) -> Exercise:
    """The exercise whose answer is a check: `check(thing) -> bool`, True where the thing is broken.

    Args:
        sound: things that are right, each written in another way.
        faults: what is wrong -> a thing with that fault.
        weak: words of the refusal -> a check that is too weak, or too strict.
    """
    names = {id(thing): name for name, thing in faults.items()}

    def right(thing: Callable) -> Tensor:
        return torch.tensor(id(thing) in names)

    def verify(case: tuple, got: object) -> str | None:
        (thing,) = case
        alarm = _truth(got)
        if alarm is None:
            return f"It should give True (broken) or False (sound), not {got!r}."[:200]
        if alarm and id(thing) not in names:
            return "A false alarm: your check calls something broken that is right, only written in another way."
        if not alarm and id(thing) in names:
            return f"Your check does not notice this fault: {names[id(thing)]}."
        return None

    return Exercise(
        gives="True where it is broken, False where it is sound",
        cases=tuple((thing,) for thing in (*sound, *faults.values())),
        right=right,
        mistakes=dict(weak),
        hints=hints,
        verify=verify,
    )


def one_of(exercise: Exercise) -> Callable[[random.Random], tuple]:
    """Draws one of the exercise's things: the order in which they come must not matter."""
    return lambda draw: draw.choice(exercise.cases)


def _truth(got: object) -> bool | None:
    if isinstance(got, bool):
        return got
    if isinstance(got, Tensor) and got.dtype == torch.bool and got.numel() == 1:
        return bool(got)
    return bool(got) if type(got).__module__ == "numpy" and type(got).__name__ in ("bool", "bool_") else None
