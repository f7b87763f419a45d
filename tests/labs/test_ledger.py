"""Every claim has a cell, every cell names a claim that exists, however the call is written."""

import pytest

from safedpo.errors import UserError
from safedpo.finite.claims import CLAIMS, EQUATIONS
from safedpo.labs.ledger import Table, claims_in, equation_table, places
from tests.notebooks.notebook_runs import FOLDER

IDS = {claim.id for claim in CLAIMS}


def test_no_claim_without_a_cell():
    assert sorted(IDS - {place.claim for place in places(FOLDER)}) == []


def test_no_cell_names_a_claim_that_does_not_exist():
    assert [place for place in places(FOLDER) if place.claim not in IDS] == []


def test_every_statement_of_the_papers_has_a_cell():
    everywhere = {place.claim for place in places(FOLDER)}
    assert [one.name for one in EQUATIONS if one.claims and not everywhere & set(one.claims)] == []


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ('assert ledger_row("a").holds', ["a"]),
        ("row = ledger_row('a', seed=3)", ["a"]),
        ('x = [ledger_row(f"m-{n}") for n in ["a", "b"]]', ["m-a", "m-b"]),
        ('for n in ("a", "b"):\n    assert ledger_row(n).holds', ["a", "b"]),
        ('names = ("a", "b")\nassert all(ledger_row("c-" + n).holds for n in names)', ["c-a", "c-b"]),
        ('for n, why in {("a", 1), ("b", 2)}:\n    ledger_row(n)', None),
        ('for n, why in [("a", 1), ("b", 2)]:\n    ledger_row(n)', ["a", "b"]),
        ('for n in {"a": 1, "b": 2}:\n    ledger_row(n)', ["a", "b"]),
        ('for n, why in {"a": 1, "b": 2}.items():\n    ledger_row(n)', ["a", "b"]),
        ('for n in find():\n    n\nall(ledger_row(n) for n in ("a", "b"))', ["a", "b"]),
        ('for n in ("x",):\n    all(ledger_row(n) for n in ("a", "b"))', ["a", "b"]),
        ("print(1)", []),
        ('%time\nledger_row("a")', ["a"]),
    ],
)
def test_calls_are_read_however_they_are_written(cell, names):
    found = claims_in(cell)
    assert sorted(found) == ["a", "b"] if names is None else found == names


@pytest.mark.parametrize("cell", ["ledger_row(name)", "for n in find():\n    ledger_row(n)", "ledger_row(f'{x}-a')"])
def test_a_call_that_cannot_be_read_is_named(cell):
    with pytest.raises(UserError, match="notebook 03, section 2: ledger_row"):
        claims_in(cell, "notebook 03, section 2")


def test_the_table_has_no_empty_place():
    from safedpo.finite.claims.report import Row

    rows = [Row(claim.id, claim.statement, claim.source, 0.0, claim.tolerance, True) for claim in CLAIMS]
    table = equation_table(rows, FOLDER)
    assert isinstance(table, Table) and len(table.lines) == len(EQUATIONS)
    assert all(all(text for text in line) for line in table.lines)
