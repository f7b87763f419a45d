"""Which claim checks which statement of which paper: SafeDPO in both versions, C-DPO, and the wider field.

Proofs are the kit's own throughout: the appendix of SafeDPO and the body of C-DPO could not be read.
"""

from safedpo.finite.claims.equations import cdpo, safedpo, wider
from safedpo.finite.claims.equations.row import NOT_FOUND, Equation

EQUATIONS: tuple[Equation, ...] = safedpo.ROWS + cdpo.ROWS + wider.ROWS

__all__ = ["EQUATIONS", "NOT_FOUND", "Equation"]
