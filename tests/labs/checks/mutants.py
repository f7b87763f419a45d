"""Mutants of the exercises' solutions: would a checker take one of them for right?

To the changes of `tests.mutation.mutants` (operators, signs, dropped terms, numbers, conditions) come those that a learner
makes: a method that is left out, arguments or parameters exchanged, a result that is detached or cut off.
"""

import ast
import contextlib
import copy
import re
import signal
from collections.abc import Iterator

from safedpo.labs.checking import Unfinished, examine, find, on_drawn_cases
from tests.labs.checks.solutions import Solution
from tests.mutation.mutants import mutants as plain_mutants

SECONDS = 2.0  # of the processor for one mutant: one that does not end is no answer
SAME = ("item", "clone", "tolist", "long", "to")  # methods that may be left out of a right answer
# Functions for which the order of two arguments does not matter.
EITHER_WAY = ("max", "min", "math.isclose", "torch.minimum", "torch.allclose", "torch.nn.functional.softplus")
EXPERIMENT = ("loss_is_broken", "optimum_is_broken", "dual_is_broken", "logps_are_broken", "evaluation_is_broken")
TRAINED_THROUGH = ("dpo_loss", "safedpo_loss", "response_logps")  # where a detached result is a mistake


class TooLong(BaseException):
    """A mutant that does not end: no `Exception`, so that nothing on the way catches it."""


def mutants(solution: Solution) -> Iterator[tuple[str, ast.Module]]:
    """Every mutant of the function that is checked: (what was changed, the whole cell's tree)."""
    tree = ast.parse(solution.cell)
    (place,) = (
        i for i, node in enumerate(tree.body) if isinstance(node, ast.FunctionDef) and node.name == solution.function
    )
    source = ast.unparse(tree.body[place])
    own = [(mutant.words.partition(": ")[2], mutant.tree) for mutant in plain_mutants(source)]
    for words, changed in [*own, *_of_learners(source, solution.exercise)]:
        if words == "-1: without USub" or (solution.exercise in EXPERIMENT and _is_setting(words)):
            continue  # the last dimension by its number; another number in the learner's own experiment
        whole = copy.deepcopy(tree)
        whole.body[place] = changed.body[0]
        yield words, ast.fix_missing_locations(whole)


def survives(solution: Solution, tree: ast.Module) -> bool:
    """Is this mutant accepted, as a submission is: on the shown cases and on drawn ones?"""
    exercise = find(solution.exercise)
    signal.signal(signal.SIGVTALRM, _stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        with contextlib.redirect_stdout(None):
            answer = solution.run(tree)
            problem = examine(exercise, answer, solution.exercise)
            return not (problem or on_drawn_cases(exercise, answer, solution.exercise, count=8))
    except (Unfinished, TooLong, Exception):
        return False
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _stop(*_: object) -> None:
    raise TooLong


def _is_setting(words: str) -> bool:
    """A number, a sign of a number, or a truth value: of an experiment, a mere setting."""
    return bool(re.fullmatch(r"(-?[\w.-]+ for -?[\w.-]+|-[\d.]+: without USub)", words))


def _of_learners(source: str, exercise: str) -> Iterator[tuple[str, ast.Module]]:
    tree = ast.parse(source)
    names = [argument.arg for argument in tree.body[0].args.args]
    nodes = _places(tree)
    for number, node in enumerate(nodes):
        for change in _changes(node, names, exercise):
            fresh = copy.deepcopy(tree)
            same = _places(fresh)[number]
            words, replaced = change(same)
            if replaced is not None:
                fresh = _Replace(same, replaced).visit(fresh)
            yield words, fresh


def _places(tree: ast.AST) -> list[ast.AST]:
    """Calls, names and returns; nothing of an error's message."""
    silent = {id(node) for error in ast.walk(tree) if isinstance(error, ast.Raise) for node in ast.walk(error)}
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Call | ast.Name | ast.Return))
    return [node for node in nodes if id(node) not in silent]


def _changes(node: ast.AST, names: list[str], exercise: str) -> Iterator:
    text = ast.unparse(node)[:60]
    dropped = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr not in SAME
    if dropped and _is_value(node.func.value):
        yield lambda same: (f"{text}: without .{same.func.attr}", same.func.value)
    ordered = isinstance(node, ast.Call) and len(node.args) >= 2 and ast.unparse(node.func) not in EITHER_WAY
    if ordered and not any(isinstance(argument, ast.Starred) for argument in node.args[:2]):
        yield lambda same: (
            f"{text}: two arguments exchanged",
            same.args.reverse() if len(same.args) == 2 else _swap(same),
        )
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in names and len(names) > 1:
        other = names[(names.index(node.id) + 1) % len(names)]
        yield lambda same: (f"{other} for {same.id}", setattr(same, "id", other))
    if isinstance(node, ast.Return) and node.value is not None and exercise in TRAINED_THROUGH:
        yield lambda same: (f"{text}: detached", setattr(same, "value", _called(same.value, "detach")))
    if isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant | ast.Tuple):
        yield lambda same: (f"{text}: cut off", setattr(same, "value", _called(same.value, "clamp", min=-0.9, max=0.9)))


def _swap(call: ast.Call) -> None:
    call.args[0], call.args[1] = call.args[1], call.args[0]


def _is_value(node: ast.AST) -> bool:
    """Not a module such as `torch` or `math`."""
    text = ast.unparse(node)
    return text.split(".")[0] not in ("torch", "math", "t")


def _called(value: ast.expr, method: str, **keywords: float) -> ast.expr:
    given = [ast.keyword(name, ast.Constant(number)) for name, number in keywords.items()]
    return ast.Call(ast.Attribute(value, method, ast.Load()), [], given)


class _Replace(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self.new if node is self.old else super().visit(node)
