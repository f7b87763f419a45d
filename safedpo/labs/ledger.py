"""The ledger beside a derivation: one line of it, freshly computed, and where each line is used."""

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from safedpo.errors import UserError
from safedpo.files import shipped
from safedpo.labs.books.claims import claims_in
from safedpo.labs.books.order import in_order

if TYPE_CHECKING:
    from safedpo.finite.claims import Row

WORLDS = 5  # fresh random worlds for one line in a notebook; `safedpo verify` takes 50


@dataclass(frozen=True)
class Place:
    """Where a notebook checks a claim against the ledger."""

    notebook: str
    section: str
    claim: str


@cache
def ledger_row(claim: str, seed: int = 0) -> "Row":
    """The line `claim` of the ledger on fresh random worlds: id, statement, source, residual, tolerance, holds.

    The ledger computes its residual by a route of its own, so a derivation cell that agrees with it has been checked
    twice. Raises `UserError` for an unknown claim.

    >>> ledger_row("tv-closed-form").holds
    True
    """
    from safedpo.finite.claims import CLAIMS
    from safedpo.finite.claims import check as compute

    found = next((one for one in CLAIMS if one.id == claim), None)
    if found is None:
        raise UserError(f"the ledger has no claim {claim!r}; it has {', '.join(one.id for one in CLAIMS)}")
    return compute(found, seed, WORLDS)


def places(folder: Path) -> list[Place]:
    """Every claim that a complete notebook in `folder` checks itself against, in reading order."""
    found = []
    for path in in_order(folder):
        section = ""
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            text = "".join(cell["source"])
            if cell["cell_type"] == "markdown":
                section = next(iter(re.findall(r"^## (.+)", text, re.MULTILINE)), section)
            else:
                found += [Place(path.stem, section, claim) for claim in claims_in(text, f"{path.name}, {section}")]
    return found


def contents(folder: Path | None = None) -> "Table":
    """The complete notebooks in `folder` (the kit's own): title, number of exercises, file.

    >>> contents().lines[0]
    ('00 · Start here', '0', '00_start_here.ipynb')
    """
    lines = []
    for path in in_order(folder or shipped("notebooks")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        exercises = sum(bool(re.match(r"check\(", "".join(cell["source"]))) for cell in cells)
        lines.append((cells[0]["source"][0].removeprefix("# ").strip(), str(exercises), path.name))
    return Table(("notebook", "exercises", "file"), lines)


@dataclass(frozen=True)
class Table:
    """Rows of text for a notebook: HTML where there is a page, lines where there is not."""

    head: tuple[str, ...]
    lines: Sequence[tuple[str, ...]]

    def _repr_html_(self) -> str:
        def row(tag: str, texts) -> str:
            look = "text-align:left;vertical-align:top"
            # Short lines stay whole, so that a list reads as a list.
            looks = [look + ";white-space:nowrap" * (max(map(len, text.split("\n"))) < 34) for text in texts]
            cells = (escape(text).replace("\n", "<br>") for text in texts)
            return (
                "<tr>" + "".join(f"<{tag} style='{a}'>{b}</{tag}>" for a, b in zip(looks, cells, strict=True)) + "</tr>"
            )

        return f"<table>{row('th', self.head)}{''.join(row('td', line) for line in self.lines)}</table>"

    def __repr__(self) -> str:
        return "\n".join(" | ".join(text.replace("\n", ", ") for text in line) for line in self.lines)


def run_ledger(seed: int, worlds: int) -> list["Row"]:
    """Every line of the ledger, with a progress bar: what `safedpo verify` checks at the command line."""
    from tqdm import tqdm

    from safedpo.finite.claims import CLAIMS
    from safedpo.finite.claims import check as compute

    return [compute(claim, seed, worlds) for claim in tqdm(CLAIMS, desc="ledger", file=sys.stdout, mininterval=0.5)]


def ledger_table(rows: Sequence["Row"]) -> Table:
    """The ledger as a table: each claim in words, how far its two sides are apart, and how far they may be."""
    return Table(
        ("claim", "statement", "residual", "allowed", "holds"),
        [
            (row.id, row.statement, f"{row.residual:.0e}", f"{row.tolerance:.0e}", "yes" if row.holds else "NO")
            for row in rows
        ],
    )


def equation_table(rows: Sequence["Row"], folder: Path | None = None) -> Table:
    """The table of notebook 00, from the ledger's `rows` and the cells of the complete notebooks in `folder` (the kit's own).

    A cell derives a statement of the paper if it checks itself against one of its claims, `ledger_row("...")`; which
    claims belong to a statement is in `safedpo.finite.claims.EQUATIONS`.
    """
    from safedpo.finite.claims import EQUATIONS

    by_id, everywhere = {row.id: row for row in rows}, places(folder or shipped("notebooks"))
    lines = []
    for one in EQUATIONS:
        cells = dict.fromkeys(f"{p.notebook[:2]} § {p.section}" for p in everywhere if p.claim in one.claims)
        claims = [by_id[claim] for claim in one.claims]
        checked = "\n".join(f"{row.id} {row.residual:.0e}{'' if row.holds else ' FAILS'}" for row in claims)
        name = f"{one.name}\n(first version: {one.first})" if one.first else one.name
        lines.append((name, one.words, "\n".join(cells) or "-", checked or "-"))
    return Table(("paper", "says", "derived in", "checked by the ledger"), lines)
