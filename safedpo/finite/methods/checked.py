"""What every method, optimum and dual function asks of its arguments before it starts: one rule for each name.

A wrong number must not become a policy: not NaN, and not the answer to another question. `checked` reads the arguments
by their names, so that `beta` means the same wherever it stands.
"""

import inspect
import math
import operator
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from safedpo.errors import UserError
from safedpo.finite.optimum import check_policy
from safedpo.finite.pairs import Pairs
from safedpo.finite.world import FiniteWorld
from safedpo.transform import check_rule

P = ParamSpec("P")
R = TypeVar("R")

_POSITIVE = ((lambda v: 0 < v < math.inf), "greater than 0 and finite")
_NOT_NEGATIVE = ((lambda v: 0 <= v < math.inf), "at least 0 and finite")
_FINITE = (math.isfinite, "finite")
_SHARE = ((lambda v: 0 <= v <= 1), "between 0 and 1")

NUMBERS: dict[str, tuple[Callable[[float], bool], str]] = {
    **dict.fromkeys(("beta", "eta", "lr", "scale", "temperature", "tau", "curvature"), _POSITIVE),
    **dict.fromkeys(("lam", "gamma", "weight", "rho", "q"), _NOT_NEGATIVE),
    **dict.fromkeys(("limit", "delta", "cost", "low", "high"), _FINITE),
    **dict.fromkeys(("target", "rate"), _SHARE),
    "flip_rate": ((lambda v: 0 <= v < 0.5), "at least 0 and below 0.5"),
    "alpha": ((lambda v: 0 < v < 1), "between 0 and 1, both excluded"),
    "tolerance": ((lambda v: v >= 0), "at least 0"),
    "log_ratio": ((lambda v: not math.isnan(v)), "no NaN"),
}
LEAST = {"steps": 1, "rounds": 1, "samples": 1, "seed": 0}
MOST = 2**62  # of a seed: some methods add to it, and torch ends at 2^63
SHOWN = {"lam": "lambda"}


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """`function` behind the rules: `UserError` with the name, the value found and what it must be.

    None passes where the annotation allows it. A result that holds NaN, or arithmetic that leaves float64, is a `UserError`
    too, with the numbers that were given.

    >>> @checked
    ... def halved(*, beta: float) -> float:
    ...     return beta / 2
    >>> halved(beta=1.0)
    0.5
    >>> halved(beta=-1.0)
    Traceback (most recent call last):
    safedpo.errors.UserError: halved: beta is -1.0; it must be greater than 0 and finite
    """
    signature = inspect.signature(function)

    @wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:
            return function(*args, **kwargs)  # Python names what is missing or not known
        given |= given.pop("own", {})
        for name, value in given.items():
            if value is not None or not _may_be_none(signature.parameters.get(name)):
                _check(function.__name__, name, value, given.get("world"))
        try:
            result = function(*args, **kwargs)
        except (ArithmeticError, torch.linalg.LinAlgError) as error:
            raise _left_float64(function.__name__, given) from error
        if any(_has_nan(table) for table in _tables(result)):
            raise _left_float64(function.__name__, given)
        return result

    return guarded


def check_pairs(world: FiniteWorld, pairs: Pairs) -> None:
    """Raise `UserError` for pairs without rows, of another world, or with weights that are no weights.

    >>> from safedpo.finite import population, random_world, six_answers
    >>> check_pairs(six_answers(), population(random_world(0, 2, 8)))
    Traceback (most recent call last):
    safedpo.errors.UserError: pairs name prompts up to 1 and answers up to 7; the world has 1 prompts of 6 answers
    """
    if not isinstance(pairs, Pairs):
        raise UserError(f"pairs is {type(pairs).__name__}; give the Pairs of `population` or `sample_pairs`")
    if len(pairs) == 0:
        raise UserError("pairs has no rows; a preference needs two answers to the same prompt")
    prompt, answer = int(pairs.prompt.max()), int(torch.maximum(pairs.chosen, pairs.rejected).max())
    if prompt >= world.prompts or answer >= world.answers:
        raise UserError(
            f"pairs name prompts up to {prompt} and answers up to {answer}; the world has {world.prompts} prompts of "
            f"{world.answers} answers"
        )
    wrong = ~((pairs.weight >= 0) & pairs.weight.isfinite())
    if wrong.any() or not pairs.weight.sum() > 0:
        found = pairs.weight[wrong][0] if wrong.any() else pairs.weight.sum()
        raise UserError(f"a weight of the pairs is {found:g}; they must be at least 0, finite, and not all 0")


def _may_be_none(parameter: inspect.Parameter | None) -> bool:
    return parameter is not None and (parameter.default is None or "None" in str(parameter.annotation))


def _check(where: str, name: str, value: Any, world: Any) -> None:
    try:
        if name in NUMBERS:
            _check_numbers(name, value, *NUMBERS[name])
        elif name in LEAST:
            _check_count(name, value)
        elif name == "rule":
            check_rule(value)
        elif name == "world" and not isinstance(value, FiniteWorld):
            raise UserError(f"world is {type(value).__name__}; give a FiniteWorld")
        elif name == "pairs" and isinstance(world, FiniteWorld):
            check_pairs(world, value)
        elif name == "logps" and isinstance(world, FiniteWorld):
            check_policy(world, value)
        elif name == "models":
            _check_models(world, value)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _check_numbers(name: str, value: Any, holds: Callable[[float], bool], what: str) -> None:
    name = SHOWN.get(name, name)
    if not isinstance(value, Tensor):
        try:
            number = operator.truediv(value, 1)  # a string has no quotient, and float("0.5") would take one
            right = holds(float(number))
        except (TypeError, ValueError, OverflowError):
            raise UserError(f"{name} is {value!r}; it must be a number, {what}") from None
        if not right:
            raise UserError(f"{name} is {value}; it must be {what}")
        return
    wrong = [number for number in value.detach().double().flatten().tolist() if not holds(number)]
    if wrong:
        raise UserError(f"{name} is {wrong[0]:g}; it must be {what}")


def _check_count(name: str, value: Any) -> None:
    least = LEAST[name]
    try:
        right = least <= operator.index(value) < MOST
    except TypeError:
        right = False
    if not right:
        raise UserError(f"{name} is {value!r}; it must be a whole number, at least {least} and below 2^62")


def _check_models(world: Any, models: Any) -> None:
    if not isinstance(models, FiniteWorld):
        raise UserError(f"models is {type(models).__name__}; give a FiniteWorld with the learned reward and cost")
    if isinstance(world, FiniteWorld) and not torch.equal(models.ref_logps, world.ref_logps):
        raise UserError(
            f"models has tables of shape {tuple(models.cost.shape)} and a reference of its own; it must be the world's, "
            f"of shape {tuple(world.cost.shape)}, with another reward and cost"
        )


def _tables(result: Any) -> Iterator[Any]:
    """The numbers of a result that a reader would go on with."""
    for value in (result, *(getattr(result, name, None) for name in ("logps", "gradient_norm", "multiplier"))):
        if isinstance(value, Tensor | float):
            yield value


def _has_nan(value: Tensor | float) -> bool:
    return bool(value.isnan().any()) if isinstance(value, Tensor) else math.isnan(value)


def _left_float64(where: str, given: dict[str, Any]) -> UserError:
    numbers = ", ".join(f"{SHOWN.get(name, name)}={value}" for name, value in given.items() if isinstance(value, float))
    return UserError(
        f"{where}: the arithmetic leaves float64 at {numbers or 'these tables'}; give less extreme numbers"
    )
