"""What is sealed: every module of the checkers, without docstrings, comments and strongest hints, and not to be read."""

import ast

from safedpo.files import PACKAGE
from safedpo.labs.checks import modules
from safedpo.labs.grading.handout.opened import unseal
from safedpo.labs.grading.handout.seal import masked, seal, sealed_sources, stripped


def test_every_checker_is_sealed_and_runs_without_its_comments():
    sources = sealed_sources(PACKAGE)
    assert {module.__name__ for module in modules()} <= sources.keys()
    for code in sources.values():
        tree = ast.parse(code)
        assert "#" not in "".join(line for line in code.splitlines() if line.startswith("#"))
        assert not any(
            ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.Module)
        )


def test_a_sealed_file_holds_no_word_of_it_and_opens_again():
    sources = {"safedpo.labs.checks.nb01": "EXERCISES = {'dpo_loss': 1}" * 50}
    packed = seal(sources)
    assert unseal(packed) == sources and not any(word in packed for word in (b"EXERCISES", b"dpo_loss", b"nb01"))
    assert masked(masked(packed)) == packed


def test_a_function_that_was_only_a_docstring_still_is_one():
    spaces: dict = {}
    exec(stripped('def f():\n    "Nothing."\n\ndef g(x="secret"):\n    return x', {"secret"}), spaces)
    assert spaces["f"]() is None and spaces["g"]() == ""
