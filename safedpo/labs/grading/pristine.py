"""What judges an answer, as it was before the student's code ran: changes to it are found, named and undone."""

import builtins
import functools
import inspect
import math
import random
import sys
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType

import torch

from safedpo.labs.checks import modules

PACKAGE = "safedpo"
OTHERS = (builtins, math, random, inspect, functools, torch, torch.nn.functional, torch.autograd)
OWN = {"input", "display", "get_ipython", "exit", "quit"}  # of builtins, what IPython itself puts anew
_NOTHING = object()


def keep() -> Callable[[], list[str]]:
    """Remember the checkers and what they stand on; returns a function that puts everything back and names what it was.

    Functions, classes and modules are remembered by what they are, functions of the kit by their code too, exercises by
    their fields. It stops tricks, not a student who goes through the interpreter's memory.

    >>> back, before = keep(), torch.isclose
    >>> torch.isclose = lambda *arguments: torch.tensor(True)
    >>> back(), back(), torch.isclose is before
    (['torch.isclose'], [], True)
    """
    names = {name: module for name, module in sys.modules.items() if name.split(".")[0] == PACKAGE and module}
    kept = [(f"{name}.", vars(module), _fixed(module)) for name, module in names.items()]
    kept += [(f"{module.__name__}.", vars(module), _fixed(module)) for module in OTHERS]
    kept += list(_exercises())
    codes = [(one, _code(one)) for one in _functions(names)]
    methods = [(torch.Tensor, dict(vars(torch.Tensor)))]

    def back() -> list[str]:
        changed = []
        for place, space, values in kept:
            for name, value in values.items():
                now = space.get(name, _NOTHING)
                if now is not value and not _its_own(now, place):
                    dict.__setitem__(space, name, value)
                    changed.append(place + str(name))
        for one, code in codes:
            if any(a is not b for a, b in zip(_code(one), code, strict=True)):
                one.__code__, one.__defaults__, one.__kwdefaults__ = code
                changed.append(f"{one.__module__}.{one.__qualname__}")
        for cls, values in methods:
            for name in vars(cls).keys() - values:  # put before what it inherits
                delattr(cls, name)
                changed.append(f"{cls.__name__}.{name}")
            for name, value in values.items():
                if vars(cls).get(name, _NOTHING) is not value:
                    setattr(cls, name, value)
                    changed.append(f"{cls.__name__}.{name}")
        for name, module in names.items():
            if sys.modules.get(name) is not module:
                sys.modules[name] = module
                changed.append(name)
        return list(dict.fromkeys(changed))

    return back


def _its_own(now: object, place: str) -> bool:
    """Did PyTorch put it there itself? Its compiler wraps some of its functions when it is first imported."""
    return place.startswith("torch.") and str(getattr(now, "__module__", "")).startswith("torch.")


def _fixed(module: ModuleType) -> dict[str, object]:
    """Its functions, classes and modules, and its constants; not what it counts or caches."""
    return {
        name: value
        for name, value in vars(module).items()
        if (callable(value) or isinstance(value, ModuleType) or name.isupper()) and name not in OWN
    }


def _exercises() -> Iterator[tuple[str, dict, dict]]:
    for module in modules():
        yield f"{module.__name__}.EXERCISES.", module.EXERCISES, dict(module.EXERCISES)
        for name, exercise in module.EXERCISES.items():
            yield f"{name}.", vars(exercise), dict(vars(exercise))
            yield f"{name}.mistakes: ", exercise.mistakes, dict(exercise.mistakes)


def _functions(names: dict[str, ModuleType]) -> list[FunctionType]:
    """Functions and methods of the labs."""
    found: dict[int, FunctionType] = {}
    for name, module in names.items():
        if name.startswith(f"{PACKAGE}.labs"):
            values = list(vars(module).values())
            values += [one for cls in values if isinstance(cls, type) for one in vars(cls).values()]
            own = (one for one in values if isinstance(one, FunctionType) and one.__module__.startswith(PACKAGE))
            found |= {id(one): one for one in own}
    return list(found.values())


def _code(one: FunctionType) -> tuple:
    return one.__code__, one.__defaults__, one.__kwdefaults__
