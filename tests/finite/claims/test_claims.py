"""The ledger holds, says so in the promised forms, and covers sections 3 and 4 of the paper."""

import json
import math

import pytest

from safedpo.errors import UserError
from safedpo.finite import claims
from safedpo.finite.claims import (
    CLAIMS,
    EQUATIONS,
    NOT_FOUND,
    Claim,
    check,
    ledger,
    methods,
    verify,
)
from tests.sparing import slow_but

OF_THE_PAPER = tuple(claim for claim in CLAIMS if claim not in methods.CLAIMS)


@pytest.mark.parametrize("seed", slow_but([0], [0, 11]))
def test_every_claim_holds(seed):
    rows = ledger(seed=seed, worlds=12)
    assert [row.id for row in rows if not row.holds] == []
    assert [row.id for row in rows] == [claim.id for claim in CLAIMS]


def test_one_world_is_enough():
    assert [row.id for row in ledger(seed=3, worlds=1) if not row.holds] == []


def test_ids_are_unique_and_statements_are_said():
    ids = [claim.id for claim in CLAIMS]
    assert len(set(ids)) == len(ids) >= 24
    assert all(claim.statement and claim.source and claim.tolerance > 0 for claim in CLAIMS)


def test_equations_and_claims_cover_each_other():
    named = [claim for equation in EQUATIONS for claim in equation.claims]
    assert set(named) == {claim.id for claim in CLAIMS}
    names = [equation.name for equation in EQUATIONS]
    assert len(set(names)) == len(names)
    for expected in (
        *(f"Eq. {number}" for number in ("1-4", "5", "6", "7", "8", "9", "10-11", "12")),
        *("section 3.2", "section 3.4", "Assumption 4.1", "Prop. 4.2", "Prop. 4.3", "Prop. 4.4", "ablations"),
        *("App. A", "App. A.4", "tables and figures", "C-DPO, the problem", "C-DPO, dual", "C-DPO, more reward"),
    ):
        assert any(expected in name for name in names), expected


def test_no_place_of_the_table_is_empty():
    for one in EQUATIONS:
        assert one.words and bool(one.claims) == bool(one.notebook), one.name
        assert one.claims or NOT_FOUND in one.words or "notebook" in one.words.lower(), one.name


def test_both_versions_are_mapped():
    firsts = {one.first: one.name for one in EQUATIONS if one.first}
    for number, now in (("Prop. 3.1", "4.2"), ("Prop. 3.2", "4.3"), ("Prop. 3.3", "4.4"), ("Eq. 17", "Eq. 12")):
        assert now in firsts[number]


def test_not_a_number_does_not_hold():
    row = check(Claim("nan", "no number", "none", 1.0, lambda seed, worlds: math.nan), 0, 1)
    assert row.holds is False


def test_verify_writes_json_and_names_what_fails(monkeypatch, tmp_path, capsys):
    good = CLAIMS[0]
    bad = Claim("broken-claim", "1 = 2 [never]", "none", 0.5, lambda seed, worlds: math.inf)
    monkeypatch.setattr(claims, "CLAIMS", (good, bad))
    assert verify(seed=1, worlds=2, json_path=tmp_path / "ledger.json") == 1
    shown = capsys.readouterr().out
    assert "1 of 2 claims do not hold: broken-claim" in shown and "[never]" in shown
    lines = json.loads((tmp_path / "ledger.json").read_text(encoding="utf-8"))
    assert [set(line) for line in lines] == [{"id", "statement", "source", "residual", "tolerance", "holds"}] * 2
    assert [line["holds"] for line in lines] == [True, False]
    assert lines[1]["residual"] is None and 0 <= lines[0]["residual"] <= lines[0]["tolerance"]
    monkeypatch.setattr(claims, "CLAIMS", (good,))
    assert verify(seed=1, worlds=2) == 0


def test_seed_and_worlds_are_checked():
    for seed, worlds in ((-1, 5), (0, 0)):
        with pytest.raises(UserError, match="seed is"):
            ledger(seed, worlds)
