"""The ledger beside a derivation: one line of it, freshly computed, and where each line is used."""

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..errors import UserError

WORLDS = 5  # fresh random worlds for one line in a notebook; `safedpo verify` takes 50


@dataclass(frozen=True)
class Place:
    """Where a notebook checks a claim against the ledger."""

    notebook: str
    section: str
    claim: str


@cache
def ledger_row(claim: str, seed: int = 0):
    """The line ``claim`` of the ledger on fresh random worlds: id, statement, source, residual, tolerance, holds.

    The ledger computes its residual by a route of its own, so a derivation cell that agrees with it has been checked
    twice. Raises `UserError` for an unknown claim.

    >>> ledger_row("tv-closed-form").holds
    True
    """
    from ..finite.claims import CLAIMS
    from ..finite.claims import check as compute

    found = next((one for one in CLAIMS if one.id == claim), None)
    if found is None:
        raise UserError(f"the ledger has no claim {claim!r}; it has {', '.join(one.id for one in CLAIMS)}")
    return compute(found, seed, WORLDS)


def places(folder: Path) -> list[Place]:
    """Every claim that a complete notebook in ``folder`` checks itself against, in reading order."""
    found = []
    for path in sorted(folder.glob("[0-9][0-9]_*.ipynb")):
        section = ""
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            text = "".join(cell["source"])
            if cell["cell_type"] == "markdown":
                section = next(iter(re.findall(r"^## (.+)", text, re.MULTILINE)), section)
            else:
                found += [Place(path.stem, section, claim) for claim in re.findall(r'ledger_row\("([^"]+)"', text)]
    return found


def derived_in(equation, folder: Path) -> list[Place]:
    """The cells that derive an equation of the paper: those that check themselves against one of its claims.

    ``equation`` is one of `safedpo.finite.claims.EQUATIONS`; ``folder`` holds the complete notebooks.
    """
    return [place for place in places(folder) if place.claim in equation.claims]
