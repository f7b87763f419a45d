"""The exercises and questions of the notebooks, one module a notebook: `nbNN` holds `EXERCISES` and `QUESTIONS`.

An exercise is a `safedpo.labs.checking.Exercise`: cases, an independent computation of the right values, the likely
mistakes by name, hints. A question is a `safedpo.labs.predictions.Question`.
"""

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType


def modules() -> Iterator[ModuleType]:
    """The modules `nb00`, `nb01`, ... in order, each imported when it is reached.

    >>> next(modules()).__name__[-4:-2]
    'nb'
    """
    for found in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        if found.name.startswith("nb"):
            yield importlib.import_module(f"{__name__}.{found.name}")
