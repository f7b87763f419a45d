"""The mutants of a module: one small change to its syntax tree each.

An operator or a sign, a comparison, a number or a truth value, a term that is dropped, a statement or a condition that
is taken out. Messages, annotations and docstrings are left alone.
"""

import ast
import copy
from collections.abc import Iterator
from typing import NamedTuple

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


class Mutant(NamedTuple):
    """One changed module: what was changed on which line, inside which function (None: outside of all), and its tree."""

    words: str
    function: str | None
    tree: ast.Module


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


def mutants(source: str) -> Iterator[Mutant]:
    """Every mutant of the source."""
    tree = ast.parse(source)
    for number, (_, _, _, node) in enumerate(places(tree)):
        for change, (_, words) in enumerate(_changes(node)):
            fresh = copy.deepcopy(tree)
            parent, field, index, same = next(p for n, p in enumerate(places(fresh)) if n == number)
            replaced = _changes(same)[change][0]()
            if replaced is not None:
                if index is None:
                    setattr(parent, field, replaced)
                else:
                    getattr(parent, field)[index] = replaced
            where = _function(tree, node.lineno)
            yield Mutant(f"line {node.lineno}: {words}", where, ast.fix_missing_locations(fresh))


def _function(tree: ast.Module, line: int) -> str | None:
    """The qualified name of the module's function, or of the class's method, that holds this line."""
    for outer in tree.body:
        members = [(f"{outer.name}.", inner) for inner in outer.body] if isinstance(outer, ast.ClassDef) else []
        for prefix, node in [("", outer), *members]:
            if isinstance(node, ast.FunctionDef) and node.lineno <= line <= (node.end_lineno or line):
                return prefix + node.name
    return None


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
