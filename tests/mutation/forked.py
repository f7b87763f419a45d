"""A pytest session that collects once and runs its tests again and again, each time in a forked process.

The first fork runs everything and notes which test enters which functions and for how long. A mutant of a function is
then put in place of the function's code, and only the tests that enter it run, the ones that killed before and the
quick ones first. A mutant outside of all functions is imported afresh, tests included.
"""

import ast
import contextlib
import importlib
import importlib.abc
import importlib.util
import json
import os
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.mutation.mutants import Mutant

ROOT = Path(__file__).parents[2]
AFRESH = "must be imported afresh"
SECONDS = 120  # a mutant that hangs longer counts as killed
OPTIONS = [
    "-p",
    "no:terminal",
    "-p",
    "no:cacheprovider",
    "-s",
    "-x",
    "-o",
    "addopts=",
    "-m",
    "not slow",
    "--noconftest",
]
OPTIONS += ["--import-mode=importlib", "--doctest-modules", "-W", "ignore::pytest.PytestAssertRewriteWarning"]


def in_a_fork(work: Callable[[], object], seconds: int = SECONDS) -> object:
    """What `work` returns in a child process that keeps its changes to itself; None if it was killed or hung."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            signal.alarm(seconds)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
            try:
                answer = {"returned": work()}
            except Exception:
                answer = {"error": traceback.format_exc()}
            with os.fdopen(write, "w") as pipe:
                json.dump(answer, pipe)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        answer = json.loads(pipe.read() or '{"returned": null}')
    os.waitpid(child, 0)
    if "error" in answer:
        raise RuntimeError(f"the mutation run itself failed:\n{answer['error']}")
    return answer["returned"]


class Session:
    """A pytest plugin: takes the place of pytest's own loop over the tests."""

    def __init__(self, module: str, chosen: list[Mutant], survived: Callable[[Mutant], None]):
        self.module, self.chosen, self.survived = module, chosen, survived
        self.path = str(ROOT / "safedpo" / f"{module.replace('.', '/')}.py")
        self.loaded = importlib.import_module(f"safedpo.{module}")  # before the doctests, or they import another one
        self.killers, self.failed, self.refused = Counter[str](), False, ""

    def pytest_runtest_logreport(self, report) -> None:
        self.failed = self.failed or report.failed

    def pytest_runtestloop(self, session) -> bool:
        if session.testsfailed or not session.items:
            self.refused = "its tests cannot be collected"
            return True
        assert sys.modules[self.loaded.__name__] is self.loaded
        self.tests = {item.nodeid: item for item in session.items}
        found = in_a_fork(self._watched, 600)
        if not isinstance(found, dict):
            self.refused = f"its tests fail without any change: {found}"
            return True
        self.entered: dict[str, dict[str, float]] = found
        if failure := in_a_fork(self._unchanged, 600):
            self.refused = f"a function put in the place of itself fails: {failure}"
            return True
        for mutant in self.chosen:
            if self._survives(mutant):
                self.survived(mutant)
        return True

    def _run(self, name: str) -> bool:
        """One test passes."""
        self.failed = False
        item = self.tests[name]
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        return not self.failed

    def _watched(self) -> dict[str, dict[str, float]] | str:
        """Function -> the tests that enter it and their seconds; or the name of a test that fails."""
        entered: dict[str, dict[str, float]] = {}
        for name in self.tests:
            seen: set[str] = set()

            def watch(frame, event, _, seen=seen):
                if event == "call" and frame.f_code.co_filename == self.path:
                    seen.add(frame.f_code.co_qualname.partition(".<locals>")[0])

            start = time.perf_counter()
            sys.setprofile(watch)
            passed = self._run(name)
            sys.setprofile(None)
            if not passed:
                return name
            for function in seen:
                entered.setdefault(function, {})[name] = time.perf_counter() - start
        return entered

    def _unchanged(self) -> str:
        """The first test that fails when each function is put in the place of itself: a killed mutant means a change."""
        tree = ast.parse(Path(self.path).read_text(encoding="utf-8"))
        for function in self.entered:
            if function != "<module>" and not function.endswith("<lambda>"):
                put_in_place(self.module, self.path, Mutant("unchanged", function, tree))
        return next((name for name in self.tests if not self._run(name)), "")

    def _survives(self, mutant: Mutant) -> bool:
        tests = self.entered.get(mutant.function or "")
        if not tests:
            return in_a_fork(lambda: imported_afresh(self.module, mutant.tree)) == 0
        order = sorted(tests, key=lambda name: (-self.killers[name], tests[name]))

        def first_failure() -> str:
            if not put_in_place(self.module, self.path, mutant):
                return AFRESH
            return next((name for name in order if not self._run(name)), "")

        killer = in_a_fork(first_failure)
        if killer == AFRESH:
            return in_a_fork(lambda: imported_afresh(self.module, mutant.tree)) == 0
        self.killers[str(killer)] += 1
        return killer == ""


def put_in_place(module: str, path: str, mutant: Mutant) -> bool:
    """Give the one function that is changed its new code and defaults; False where that cannot be."""
    assert mutant.function
    fresh = {"__name__": f"safedpo.{module}", "__file__": path}
    try:
        exec(compile(mutant.tree, path, "exec"), fresh)
    except Exception:  # imported afresh it fails again, and that is what its tests see
        return False
    name, *members = mutant.function.split(".")
    old, new = vars(sys.modules[f"safedpo.{module}"])[name], fresh[name]
    for part in members:
        old, new = vars(old)[part], vars(new)[part]
    old, new = (getattr(function, "fget", None) or function for function in (old, new))
    while hasattr(old, "__wrapped__"):
        old, new = old.__wrapped__, new.__wrapped__
    if old.__code__.co_freevars != new.__code__.co_freevars:  # super() was taken out
        return False
    old.__code__, old.__defaults__, old.__kwdefaults__ = new.__code__, new.__defaults__, new.__kwdefaults__
    return True


class Mutated(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives the mutated tree to whoever imports the module."""

    def __init__(self, name: str, path: Path, tree: ast.Module):
        self.name, self.path, self.tree = name, path, tree

    def find_spec(self, name, path=None, target=None):
        return importlib.util.spec_from_loader(name, self, origin=str(self.path)) if name == self.name else None

    def exec_module(self, module):
        module.__file__ = str(self.path)
        exec(compile(self.tree, str(self.path), "exec"), module.__dict__)


def imported_afresh(module: str, tree: ast.Module) -> int:
    """pytest's exit code when the package and its tests are imported again, the module mutated."""
    for name in [name for name in sys.modules if name.partition(".")[0] in ("safedpo", "tests")]:
        del sys.modules[name]
    path = ROOT / "safedpo" / f"{module.replace('.', '/')}.py"
    sys.meta_path.insert(0, Mutated(f"safedpo.{module}", path, tree))
    try:
        importlib.import_module(f"safedpo.{module}")
    except Exception:
        return 1
    return int(pytest.main([*OPTIONS, *tests_of(module)]))


def tests_of(module: str) -> Iterator[str]:
    """The module's doctests and the unit tests of the core."""
    yield f"safedpo/{module.replace('.', '/')}.py"
    yield from ("tests/test_losses.py", "tests/test_transform.py")
    yield from sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests" / "finite").glob("test_*.py"))
