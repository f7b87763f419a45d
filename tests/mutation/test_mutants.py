"""The mutants of small modules, counted by hand, and a mutant put in the place of a function."""

import ast
import sys
import types

from tests.mutation.forked import in_a_fork, put_in_place
from tests.mutation.mutants import Mutant, mutants

SOURCE = '''
"""Not 1 + 1."""
LIMIT: int = 3

def difference(a: int | float, b=2):
    """a - b, 5 of them."""
    if a < LIMIT:
        raise ValueError(f"{a + 1}")
    return a - b

class Counter:
    def up(self):
        self.n += 1
'''


def test_the_mutants_of_a_small_module():
    found = [(mutant.function, mutant.words.partition(": ")[2]) for mutant in mutants(SOURCE)]
    assert found == [
        (None, "4 for 3"),
        ("difference", "3 for 2"),
        ("difference", "if a < LIMIT:: always True"),
        ("difference", "if a < LIMIT:: always False"),
        ("difference", "a < LIMIT: LtE"),
        ("difference", "a < LIMIT: GtE"),
        ("difference", "raise ValueError(f'{a + 1}'): taken out"),
        ("difference", "a - b: Add for Sub"),
        ("difference", "a - b: only the left side"),
        ("difference", "a - b: only the right side"),
        ("Counter.up", "self.n += 1: Sub for Add"),
        ("Counter.up", "self.n += 1: taken out"),
        ("Counter.up", "2 for 1"),
    ]
    assert len({ast.dump(mutant.tree) for mutant in mutants(SOURCE)}) == len(found)  # each is another module


def test_a_mutant_takes_the_place_of_its_function_wherever_it_was_imported(monkeypatch):
    module = types.ModuleType("safedpo.small")
    exec(compile(SOURCE, "small.py", "exec"), module.__dict__)
    monkeypatch.setitem(sys.modules, "safedpo.small", module)
    difference = module.difference
    changed = {mutant.words.partition(": ")[2]: mutant for mutant in mutants(SOURCE)}
    assert put_in_place("small", "small.py", changed["a - b: Add for Sub"])
    assert difference(5) == 7
    assert put_in_place("small", "small.py", changed["3 for 2"])
    assert difference(5) == 2
    assert put_in_place("small", "small.py", Mutant("", "difference", ast.parse(SOURCE)))
    assert difference(5) == 3


def test_a_fork_keeps_its_changes_to_itself():
    kept = []
    assert in_a_fork(lambda: kept.append(1) or len(kept)) == 1
    assert kept == []
    assert in_a_fork(lambda: sys.exit(1)) is None
