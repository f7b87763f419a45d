"""Exercises in which the learner writes a check: it must pass every sound thing and notice every planted fault."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from safedpo.labs.checking import Exercise


def detective(
    sound: Sequence[Callable],
    faults: Mapping[str, Callable],
    weak: Mapping[str, Callable],
    hints: tuple[str, ...],
    hidden: tuple[Sequence[Callable], Mapping[str, Callable]] = ((), {}),
) -> Exercise:
    """The exercise whose answer is a check: `check(thing) -> bool`, True where the thing is broken.

    Args:
        sound: things that are right, each written in another way.
        faults: what is wrong -> a thing with that fault.
        weak: words of the refusal -> a check that is too weak, or too strict.
        hidden: more that is sound and more faults, which are only drawn, beside the shown ones.
    """
    faulty = {name: _faceless(thing) for name, thing in [*faults.items(), *hidden[1].items()]}
    names = {id(thing): name for name, thing in faulty.items()}
    right_ones = tuple(map(_faceless, (*sound, *hidden[0])))
    cases = tuple((thing,) for thing in (*right_ones[: len(sound)], *(faulty[name] for name in faults)))
    pool = cases + tuple((thing,) for thing in (*right_ones[len(sound) :], *(faulty[name] for name in hidden[1])))

    def right(thing: Callable) -> Tensor:
        return torch.tensor(_number(thing) in names)

    def verify(case: tuple, got: object) -> str | None:
        (thing,) = case
        alarm = _truth(got)
        if alarm is None:
            return f"It should give True (broken) or False (sound), not {got!r}."[:200]
        if alarm and _number(thing) not in names:
            return "A false alarm: your check calls something broken that is right, only written in another way."
        if not alarm and _number(thing) in names:
            return f"Your check does not notice this fault: {names[_number(thing)]}."
        return None

    return Exercise(
        gives="True where it is broken, False where it is sound",
        cases=cases,
        right=right,
        mistakes=dict(weak),
        hints=hints,
        verify=verify,
        draw=lambda draw: draw.choice(pool),  # the order in which they come must not matter
    )


def _faceless(thing: Callable) -> Callable:
    """Under one name, with one signature: what it computes tells a fault from a sound one, and nothing else does."""

    def given(*arguments, **named):
        return thing(*arguments, **named)

    return given


def _number(thing: Callable) -> int:
    """Its identity, also where a student's kit has wrapped it."""
    return getattr(thing, "number", id(thing))


def _truth(got: object) -> bool | None:
    if isinstance(got, bool):
        return got
    if isinstance(got, Tensor) and got.dtype == torch.bool and got.numel() == 1:
        return bool(got)
    return bool(got) if type(got).__module__ == "numpy" and type(got).__name__ in ("bool", "bool_") else None
