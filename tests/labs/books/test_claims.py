"""The claims of a cell are read however the call is written, or the cell is named: none is missed in silence."""

import pytest

from safedpo.errors import UserError
from safedpo.labs.books.claims import claims_in


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
        ('ledger_row(claim="a")', ["a"]),
        ('labs.ledger_row("a")', ["a"]),
        ('name = "a"\nledger_row(name)', ["a"]),
        ('[ledger_row(n) for n in ("a", "b") if n != "b"]', ["a"]),
        ('for i, (n, why) in enumerate([("a", 1), ("b", 2)]):\n    ledger_row(n)', ["a", "b"]),
        ('for n in {"a": 1, "b": 2}.keys():\n    ledger_row(n)', ["a", "b"]),
        ('for n in {1: "a", 2: "b"}.values():\n    ledger_row(n)', ["a", "b"]),
        ('for n, m in zip("xy", ("a", "b")):\n    ledger_row(m)', ["a", "b"]),
        ('for n in sorted({"b", "a"}):\n    ledger_row(n)', ["a", "b"]),
        ('for n in range(2):\n    ledger_row(f"a{n}")', ["a0", "a1"]),
        ('[ledger_row(n) for pair in (("a",), ("b",)) for n in pair]', ["a", "b"]),
        ('x = ("a", "b")\n[ledger_row(n) for n in [y for y in x]]', ["a", "b"]),
        ('ledger_row("a" if 1 else "b")', ["a"]),
        ('# ledger_row("a")', []),
        ("print(\"ledger_row('a')\")", []),
    ],
)
def test_calls_are_read_however_they_are_written(cell, names):
    found = claims_in(cell)
    assert sorted(found) == ["a", "b"] if names is None else found == names


@pytest.mark.parametrize(
    "cell",
    [
        "ledger_row(name)",
        "for n in find():\n    ledger_row(n)",
        "ledger_row(f'{x}-a')",
        "ledger_row()",
        "ledger_row(3)",
        'ledger_row(*["a"])',
        'names = ("a",)\nfor n in names: ledger_row(n)\nnames = ("b",)\nfor n in names: ledger_row(n)',
        'names = ["a"]\nnames += ["b"]\nfor n in names: ledger_row(n)',
        'names = ["a"]\nnames.append("b")\nfor n in names: ledger_row(n)',
        'names = {"a": 1}\nnames["b"] = 2\nfor n in names: ledger_row(n)',
        'for n in ("a", "b"):\n    n = "c"\n    ledger_row(n)',
        '[ledger_row(n) for n in ("a", "b") if good(n)]',
    ],
)
def test_a_call_that_cannot_be_read_is_named(cell):
    with pytest.raises(UserError, match=r"notebook 03, section 2: (labs\.)?ledger_row\(.*names no claim"):
        claims_in(cell, "notebook 03, section 2")


@pytest.mark.parametrize(
    "cell",
    [
        'if FAST:\n    ledger_row("a")',
        'def later():\n    return ledger_row("a")',
        'later = lambda: ledger_row("a")',
        'while True:\n    ledger_row("a")',
        'for n in ("a", "b"):\n    if n == "b": break\n    ledger_row(n)',
        'ledger_row("a") if FAST else None',
    ],
)
def test_a_call_that_may_not_run_does_not_count(cell):
    with pytest.raises(UserError, match="stands where it may not run"):
        claims_in(cell)


@pytest.mark.parametrize(
    "cell",
    [
        'from safedpo.labs import ledger_row as row\nrow("a")',
        'list(map(ledger_row, ["a", "b"]))',
        'row = ledger_row\nrow("a")',
        'partial(ledger_row, "a")()',
        'def ledger_row(claim):\n    return True\nledger_row("a")',
    ],
)
def test_a_call_under_another_name_is_refused(cell):
    with pytest.raises(UserError, match="call it by its own name"):
        claims_in(cell)


def test_a_cell_that_is_no_python_is_named():
    with pytest.raises(UserError, match="notebook 03: the cell cannot be read"):
        claims_in('ledger_row("a"', "notebook 03")
