"""Do the tests see a changed formula? Small faults are put into the core, one at a time, and the unit tests are run.

    python tests/mutation.py                      all modules, about ten minutes on one idle core
    python tests/mutation.py losses finite.noise  these modules
    python tests/mutation.py --sample 20          20 mutants of each module, drawn with --seed
    python tests/mutation.py --show losses        only list the mutants

A mutant is one change to the syntax tree: an operator or a sign, a comparison, a number or a truth value, a term that
is dropped, a statement or a condition that is taken out. Messages, annotations and docstrings are left alone. Each
mutant runs in a forked process: the module's doctests, then its unit tests until the first failure. What survives is
printed with its line; `tests/mutation_survivors.md` says why each of those may.
"""

import argparse
import ast
import contextlib
import copy
import doctest
import importlib
import importlib.abc
import importlib.util
import io
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = {
    "losses": ["tests/test_losses.py", "tests/finite/test_slopes.py"],
    "transform": ["tests/test_transform.py"],
    "finite.optimum": ["tests/finite/test_optimum.py"],
    "finite.pairs": ["tests/finite/test_pairs.py"],
    "finite.noise": ["tests/finite/test_noise.py"],
    "finite.slopes": ["tests/finite/test_slopes.py"],
    "finite.world": ["tests/finite/test_world.py"],
}
SECONDS = 60  # a mutant that hangs longer counts as killed
OPERATORS = {
    ast.Add: [ast.Sub],
    ast.Sub: [ast.Add],
    ast.Mult: [ast.Div],
    ast.Div: [ast.Mult],
    ast.Pow: [ast.Mult],
    ast.BitAnd: [ast.BitOr],
    ast.BitOr: [ast.BitAnd],
    ast.BitXor: [ast.BitOr],
    ast.Lt: [ast.LtE, ast.GtE],
    ast.LtE: [ast.Lt, ast.Gt],
    ast.Gt: [ast.GtE, ast.LtE],
    ast.GtE: [ast.Gt, ast.Lt],
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
    ast.In: [ast.NotIn],
    ast.NotIn: [ast.In],
    ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is],
    ast.And: [ast.Or],
    ast.Or: [ast.And],
}
Change = tuple[ast.AST, str, object, str]  # node, attribute, its new value, what that is in words


def places(tree: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
    """Every node that may change, as (parent, field, index, node): no messages, annotations, docstrings."""
    for field, value in ast.iter_fields(tree):
        if field in ("annotation", "returns", "decorator_list") or isinstance(tree, ast.JoinedStr | ast.Raise):
            continue
        if isinstance(tree, ast.keyword) and tree.arg == "strict":  # of zip: a check of the code by itself
            continue
        for index, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
            is_type = (
                isinstance(tree, ast.Module)
                and isinstance(node, ast.Assign)
                and isinstance(node.value, ast.BinOp | ast.Subscript)
            )
            if isinstance(node, ast.AST) and not is_type:
                yield tree, field, index, node
                yield from places(node)


def mutants(source: str) -> Iterator[tuple[str, ast.Module]]:
    """(what was changed where, the changed module), one for each change."""
    tree = ast.parse(source)
    for number, (_, _, _, node) in enumerate(places(tree)):
        for change, words in enumerate(_changes(node)):
            fresh = copy.deepcopy(tree)
            parent, field, index, same = next(p for n, p in enumerate(places(fresh)) if n == number)
            replaced = _changes(same)[change][0]()
            if replaced is not None:
                if index is None:
                    setattr(parent, field, replaced)
                else:
                    getattr(parent, field)[index] = replaced
            yield f"line {node.lineno}: {words[1]}", ast.fix_missing_locations(fresh)


def _changes(node: ast.AST) -> list:
    """The changes of one node: (a function that returns what stands in its place, None if changed in itself; words)."""
    text = ast.unparse(node).splitlines()[0][:60] if hasattr(node, "lineno") else ""
    found = []

    def swap(attribute, value):
        return lambda: setattr(node, attribute, value)

    if isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp):
        for other in OPERATORS.get(type(node.op), []):
            found.append((swap("op", other()), f"{text}: {other.__name__} for {type(node.op).__name__}"))
    if isinstance(node, ast.BinOp):
        for side in ("left", "right") if isinstance(node.op, ast.Add | ast.Sub | ast.BitAnd | ast.BitOr) else ("left",):
            found.append((lambda side=side: getattr(node, side), f"{text}: only the {side} side"))
    if isinstance(node, ast.BoolOp):
        for i in range(len(node.values)):
            found.append((lambda i=i: node.values[i], f"{text}: only term {i + 1}"))
    if isinstance(node, ast.Compare):
        for other in OPERATORS.get(type(node.ops[0]), []):
            found.append((swap("ops", [other(), *node.ops[1:]]), f"{text}: {other.__name__}"))
        if len(node.ops) == 2:
            for other in OPERATORS.get(type(node.ops[1]), []):
                found.append((swap("ops", [node.ops[0], other()]), f"{text}: second {other.__name__}"))
    if isinstance(node, ast.UnaryOp):
        found.append((lambda: node.operand, f"{text}: without {type(node.op).__name__}"))
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        found.append((swap("value", not node.value), f"{not node.value} for {node.value}"))
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        found.append((swap("value", node.value + 1), f"{node.value + 1} for {node.value}"))
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) or isinstance(node, ast.Raise | ast.AugAssign):
        found.append((ast.Pass, f"{text}: taken out"))
    if isinstance(node, ast.If | ast.IfExp):
        for value in (True, False):
            found.append((swap("test", ast.Constant(value)), f"{text}: always {value}"))
    return found


class Mutated(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives the mutated tree to whoever imports the module."""

    def __init__(self, name: str, path: Path, tree: ast.Module):
        self.name, self.path, self.tree = name, path, tree

    def find_spec(self, name, path=None, target=None):
        return importlib.util.spec_from_loader(name, self, origin=str(self.path)) if name == self.name else None

    def exec_module(self, module):
        module.__file__ = str(self.path)
        exec(compile(self.tree, str(self.path), "exec"), module.__dict__)


def survives(module: str, tree: ast.Module) -> bool:
    """Run doctests and unit tests on the mutated module in a child process; True if all pass."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    status = 1
    try:
        signal.alarm(SECONDS)
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
            status = _failures(module, tree)
    finally:
        os._exit(1 if status else 0)


def _failures(module: str, tree: ast.Module) -> int:
    import pytest
    from hypothesis import Phase, settings

    path = ROOT / "safedpo" / f"{module.replace('.', '/')}.py"
    sys.meta_path.insert(0, Mutated(f"safedpo.{module}", path, tree))
    loaded = importlib.import_module(f"safedpo.{module}")
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.FAIL_FAST
    if doctest.testmod(loaded, optionflags=flags).failed:
        return 1
    few = {"max_examples": 20, "database": None, "deadline": None, "phases": [Phase.generate], "derandomize": True}
    settings.register_profile("mutation", **few)  # no shrinking of what fails
    settings.load_profile("mutation")
    return pytest.main(
        [
            "-x",
            "-q",
            "--noconftest",
            "-p",
            "no:cacheprovider",
            "-W",
            "ignore::pytest.PytestAssertRewriteWarning",
            *TESTS[module],
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("modules", nargs="*", default=list(TESTS), help=f"of {', '.join(TESTS)}")
    parser.add_argument("--sample", type=int, help="so many mutants of each module, drawn with --seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", action="store_true", help="only list the mutants")
    given = parser.parse_args()
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    import hypothesis  # noqa: F401  what every child needs is imported once, before the forks
    import pytest  # noqa: F401
    import scipy.optimize  # noqa: F401
    import torch

    torch.set_num_threads(1)
    total = killed = 0
    start = time.perf_counter()
    for module in given.modules:
        source = (ROOT / "safedpo" / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
        if not given.show and not survives(module, ast.parse(source)):
            sys.exit(f"{module}: its tests fail without any change")
        alive, count = [], 0
        chosen = list(mutants(source))
        if given.sample and given.sample < len(chosen):
            chosen = random.Random(given.seed).sample(chosen, given.sample)
        for words, tree in chosen:
            count += 1
            if given.show:
                print(f"{module} {words}")
            elif survives(module, tree):
                alive.append(words)
                print(f"survives: {module} {words}", flush=True)
        total, killed = total + count, killed + count - len(alive)
        print(
            f"{module}: {count - len(alive)} of {count} mutants killed, {time.perf_counter() - start:.0f} s", flush=True
        )
    print(f"{killed} of {total} mutants killed ({killed / max(total, 1):.1%})")


if __name__ == "__main__":
    with (
        contextlib.suppress(BrokenPipeError),
        contextlib.redirect_stderr(io.StringIO()) if "--show" in sys.argv else contextlib.nullcontext(),
    ):
        main()
