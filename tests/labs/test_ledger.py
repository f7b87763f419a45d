"""Every claim has a cell, every cell names a claim that exists, however the call is written."""

from safedpo.finite.claims import CLAIMS, EQUATIONS
from safedpo.labs.ledger import Table, equation_table, places
from tests.notebooks.notebook_runs import FOLDER

IDS = {claim.id for claim in CLAIMS}


def test_no_claim_without_a_cell():
    assert sorted(IDS - {place.claim for place in places(FOLDER)}) == []


def test_no_cell_names_a_claim_that_does_not_exist():
    assert [place for place in places(FOLDER) if place.claim not in IDS] == []


def test_every_statement_of_the_papers_has_a_cell():
    everywhere = {place.claim for place in places(FOLDER)}
    assert [one.name for one in EQUATIONS if one.claims and not everywhere & set(one.claims)] == []


def test_the_table_has_no_empty_place():
    from safedpo.finite.claims.report import Row

    rows = [Row(claim.id, claim.statement, claim.source, 0.0, claim.tolerance, True) for claim in CLAIMS]
    table = equation_table(rows, FOLDER)
    assert isinstance(table, Table) and len(table.lines) == len(EQUATIONS)
    assert all(all(text for text in line) for line in table.lines)
