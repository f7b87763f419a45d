"""The proof walker: take away one premise of a statement and search the smallest world in which it fails.

`PREMISES`: statement -> premise -> `Premise`. `search` goes through `candidates`, smallest first, and also checks that
with the premise in place every candidate agrees to 1e-9. Results found earlier are in `stored`.
"""

from safedpo.finite.walker import duality, objectives, optima, penalty
from safedpo.finite.walker.candidates import candidates
from safedpo.finite.walker.premise import Premise, Walk, search
from safedpo.finite.walker.stored import read_walks, write_walks

PREMISES: dict[str, dict[str, Premise]] = {}
for _one in penalty.PREMISES + objectives.PREMISES + optima.PREMISES + duality.PREMISES:
    PREMISES.setdefault(_one.statement, {})[_one.name] = _one

__all__ = ["PREMISES", "Premise", "Walk", "candidates", "read_walks", "search", "write_walks"]
