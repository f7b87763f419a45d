"""The checkers as one sealed file: their code without comments, docstrings and strongest hints, packed so that it is not read."""

import ast
import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from safedpo.labs.checks import modules
from safedpo.labs.grading.handout.language import translated_code

SEALED = ("labs/checks", "labs/exercises")  # folders of the package that hold answers


def sealed_sources(package: Path, texts: Mapping[str, str] | None = None) -> dict[str, str]:
    """Dotted module name -> its code as it is sealed, for every module of the sealed folders of `package` (safedpo/).

    `texts`: a language's catalogue, English -> translation.
    """
    strongest = {exercise.hints[-1] for module in modules() for exercise in module.EXERCISES.values()}
    sealed = {name: stripped(path.read_text(encoding="utf-8"), strongest) for name, path in _files(package)}
    return {name: translated_code(code, texts) if texts else code for name, code in sealed.items()}


def _files(package: Path) -> Iterator[tuple[str, Path]]:
    for folder in SEALED:
        for path in sorted((package / folder).rglob("*.py")):
            if path == package / "labs/checks/__init__.py":
                continue  # in the students' wheel `opened` stands there
            parts = path.relative_to(package).with_suffix("").parts
            yield ".".join(("safedpo", *(parts[:-1] if parts[-1] == "__init__" else parts))), path


def stripped(source: str, secrets: set[str]) -> str:
    """The code without comments and docstrings, and with every string of `secrets` emptied.

    >>> print(stripped('def f():\\n    "Twice."\\n    return "x", "y"  # why', {"x"}))
    def f():
        return ('', 'y')
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value in secrets:
            node.value = ""
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def seal(sources: Mapping[str, str]) -> bytes:
    """Pack modules into one file.

    >>> from safedpo.labs.grading.handout.opened import unseal
    >>> packed = seal({"a.b": "x = 1"})
    >>> b"x = 1" in packed, unseal(packed)
    (False, {'a.b': 'x = 1'})
    """
    return masked(zlib.compress(json.dumps(dict(sources)).encode(), 9))


def masked(data: bytes) -> bytes:
    """`data` under a fixed mask, which taken twice gives `data` again; it hides, it does not protect.

    >>> masked(masked(b"abc"))
    b'abc'
    """
    mask = hashlib.shake_256(b"safedpo checkers").digest(len(data))
    return bytes(a ^ b for a, b in zip(data, mask, strict=True))
