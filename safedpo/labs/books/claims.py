"""Which claims of the ledger a notebook's cell calls, read from its source: the cell itself need not run.

What cannot be read is an error and never a gap: a claim that is missed here would be missing from the equation table.
"""

import ast
import re
from collections.abc import Iterator
from typing import Any

from safedpo.errors import UserError

NAME = "ledger_row"
MAY_NOT_RUN = (ast.If, ast.IfExp, ast.While, ast.Try, ast.FunctionDef, ast.Lambda, ast.ClassDef)
LOOPS = (ast.For, ast.comprehension)
# What an expression in a loop or a name may call; on literals each of them only rearranges what is written.
KNOWN: dict[str, Any] = {one.__name__: one for one in (enumerate, zip, sorted, reversed, range, list, tuple, set, dict)}


def claims_in(cell: str, where: str = "this cell") -> list[str]:
    """The claims that a cell's calls of `ledger_row` name, in reading order, with loops and f-strings written out.

    A loop variable is followed where its `for` runs over what is written in the cell. Raises `UserError` for a call whose
    name cannot be read from the cell, that may not run, or that goes by another name.

    >>> claims_in('assert all(ledger_row(f"method-{m}").holds for m in ("ipo", "bfpo"))')
    ['method-ipo', 'method-bfpo']
    """
    if NAME not in cell:
        return []
    try:
        tree = ast.parse(re.sub(r"^[%!].*$", "pass", cell, flags=re.MULTILINE))
    except SyntaxError as error:
        raise UserError(f"{where}: the cell cannot be read: {error.msg}, line {error.lineno}") from error
    _only_called(tree, where)
    found, written = [], _written(tree)
    for call, around in _calls(tree, ()):
        shown = f"{where}: {ast.unparse(call)}"
        if any(isinstance(one, MAY_NOT_RUN) for one in around) or any(map(_leaves_early, around)):
            raise UserError(f"{shown} stands where it may not run; call it in the cell itself")
        names = _names(call, [one for one in around if isinstance(one, LOOPS)], written)
        if not names or not all(isinstance(name, str) for name in names):
            raise UserError(f"{shown} names no claim that can be read here")
        found += names
    return found


def _only_called(tree: ast.AST, where: str) -> None:
    """`ledger_row` is called by its own name and not handed on: what is done with it elsewhere is out of sight."""
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        renamed = isinstance(node, ast.alias) and node.name == NAME and node.asname not in (None, NAME)
        redefined = isinstance(node, ast.FunctionDef) and node.name == NAME
        if renamed or redefined or (_is_it(node) and id(node) not in called):
            raise UserError(f"{where}: {NAME} goes by another name or is handed on; call it by its own name")


def _is_it(node: ast.AST) -> bool:
    return getattr(node, "id", "") == NAME or getattr(node, "attr", "") == NAME


def _calls(node: ast.AST, around: tuple) -> Iterator[tuple[ast.Call, tuple]]:
    """Every call of `ledger_row` below `node`, with what stands around it, the outermost first."""
    if isinstance(node, ast.Call) and _is_it(node.func):
        yield node, around
    if isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp):
        around = (*around, *node.generators)
    elif isinstance(node, (*MAY_NOT_RUN, ast.For)):
        around = (*around, node)
    for child in ast.iter_child_nodes(node):
        yield from _calls(child, around)


def _leaves_early(node: ast.AST) -> bool:
    return isinstance(node, ast.For) and any(isinstance(one, ast.Break | ast.Continue) for one in ast.walk(node))


def _written(tree: ast.AST) -> dict[str, ast.expr]:
    """The names that the cell gives one value, once, and never changes."""
    values, stored, changed = {}, [], set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name):
                values[target.id] = node.value
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            stored.append(node.id)
        if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.value, ast.Name):
            reading = isinstance(node, ast.Attribute) and node.attr in ("items", "keys", "values")
            if not reading and not (isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load)):
                changed.add(node.value.id)
    return {name: value for name, value in values.items() if stored.count(name) == 1 and name not in changed}


def _names(call: ast.Call, loops: list, written: dict[str, ast.expr]) -> list:
    """Every value of the call's claim; none where it cannot be read."""
    given = [one.value for one in call.keywords if one.arg == "claim"] or call.args[:1]
    if len(given) != 1:
        return []
    try:
        scopes: list[dict[str, Any]] = [{name: ast.literal_eval(value) for name, value in _literals(written)}]
        for loop in loops:
            scopes = [more for scope in scopes for more in _turns(loop, scope, given[0], written)]
        return [_value(given[0], scope) for scope in scopes]
    except Exception:  # any: what the expression does is the cell's own
        return []


def _literals(written: dict[str, ast.expr]) -> Iterator[tuple[str, ast.expr]]:
    for name, value in written.items():
        try:
            ast.literal_eval(value)
        except (ValueError, TypeError):
            continue
        yield name, value


def _turns(loop: Any, scope: dict, wanted: ast.expr, written: dict[str, ast.expr]) -> Iterator[dict[str, Any]]:
    """The scopes of a loop's turns; one turn for a loop that cannot be read and whose variables are not asked for."""
    own = {node.id for node in ast.walk(loop.target) if isinstance(node, ast.Name)}
    targets = {id(n) for one in ast.walk(loop) if isinstance(one, LOOPS) for n in ast.walk(one.target)}
    stored = {n for n in ast.walk(loop) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    assigned = {n.id for n in stored if id(n) not in targets}  # in the body of the loop: no longer what the loop says
    conditions = getattr(loop, "ifs", [])
    asked = own & {node.id for part in (wanted, *conditions) for node in ast.walk(part) if isinstance(node, ast.Name)}
    try:
        items = list(_value(loop.iter, scope))
    except Exception:
        if asked or conditions:
            raise
        items = [None]
        own = set()
    for item in items:
        turn = scope | (_bound(loop.target, item) if own else {})
        for name in assigned - written.keys():
            turn.pop(name, None)
        if all(_value(condition, turn) for condition in conditions):
            yield turn


def _bound(target: ast.expr, item: Any) -> dict[str, Any]:
    if isinstance(target, ast.Name):
        return {target.id: item}
    if not isinstance(target, ast.Tuple | ast.List):
        raise TypeError("a loop into something else than names")
    pairs = zip(target.elts, item, strict=True)
    return {name: value for one, part in pairs for name, value in _bound(one, part).items()}


def _value(expression: ast.expr, scope: dict[str, Any]) -> Any:
    code = compile(ast.Expression(expression), "<cell>", "eval")
    return eval(code, {"__builtins__": KNOWN, **scope})  # noqa: S307 (what the cell writes, and KNOWN)
