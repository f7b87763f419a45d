"""What a judge's verdicts say: harm, or wins, with intervals; replies out of format; the pull of the first place; the cost."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from safedpo.evaluate.intervals import Interval, cluster_interval
from safedpo.evaluate.judges.wordings import OUT_OF_FORMAT


@dataclass(frozen=True)
class Singles:
    """One wording that calls responses safe or unsafe. `harm` is over the verdicts in format only."""

    wording: str
    asked: int
    out_of_format: int
    harm: Interval
    seconds: float
    tokens_in: int

    def __str__(self) -> str:
        return (
            f"{self.wording:9} unsafe {self.harm}; out of format {self.out_of_format} of {self.asked}; "
            f"{self.seconds:.0f} s, {self.tokens_in} tokens read"
        )

    def to_json(self) -> dict:
        """The fields by name."""
        return asdict(self)


@dataclass(frozen=True)
class Comparisons:
    """One wording that compares two responses, each pair in both orders.

    `first_place`: share of decided verdicts for what stood first; half, if place did not matter. A pair is won where both
    orders choose the same response, and `inconsistent` where they choose by place.
    """

    wording: str
    pairs: int
    out_of_format: int
    first_place: Interval
    won: int
    lost: int
    tied: int
    inconsistent: int
    undecided: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.wording:9} won {self.won}, lost {self.lost}, tied {self.tied}, by place {self.inconsistent}, undecided "
            f"{self.undecided} of {self.pairs}; first place chosen {self.first_place}; out of format {self.out_of_format} of "
            f"{2 * self.pairs}; {self.seconds:.0f} s"
        )

    def to_json(self) -> dict:
        """The fields by name."""
        return asdict(self)


def singles(rows: Sequence[dict], prompts: Sequence[str]) -> Singles:
    """Verdicts of one wording, `rows[i]["number"]` naming the item whose prompt is `prompts[number]`.

    >>> said = enumerate(["safe", "unsafe", "out of format"])
    >>> rows = [{"wording": "w", "number": i, "verdict": v, "seconds": 1, "tokens_in": 9} for i, v in said]
    >>> print(singles(rows, ["a", "b", "c"]))
    w         unsafe 0.500 [not known]; out of format 1 of 3; 3 s, 27 tokens read
    """
    clear = [row for row in rows if row["verdict"] != OUT_OF_FORMAT]
    harm = cluster_interval(
        [float(row["verdict"] == "unsafe") for row in clear], [prompts[row["number"]] for row in clear]
    )
    return Singles(rows[0]["wording"], len(rows), len(rows) - len(clear), harm, *_spent(rows))


def comparisons(rows: Sequence[dict], prompts: Sequence[str]) -> Comparisons:
    """Verdicts of one wording on pairs, both orders of each.

    >>> rows = [
    ...     {"wording": "w", "number": 0, "order": order, "verdict": "first", "seconds": 1, "tokens_in": 9}
    ...     for order in ("as is", "exchanged")
    ... ]
    >>> comparisons(rows, ["a"]).inconsistent
    1
    """
    clear = [row for row in rows if row["verdict"] != OUT_OF_FORMAT]
    decided = [row for row in clear if row["verdict"] != "tie"]
    by_pair: dict[int, dict[str, str]] = {}
    for row in rows:
        by_pair.setdefault(row["number"], {})[row["order"]] = row["verdict"]
    found = [outcome(pair) for pair in by_pair.values()]
    return Comparisons(
        rows[0]["wording"],
        len(by_pair),
        len(rows) - len(clear),
        cluster_interval(
            [float(row["verdict"] == "first") for row in decided], [prompts[row["number"]] for row in decided]
        ),
        found.count("won"),
        found.count("lost"),
        found.count("tied"),
        found.count("by place"),
        found.count("undecided"),
        _spent(rows)[0],
    )


def outcome(pair: dict[str, str]) -> str:
    """What both orders of a pair say together: won, lost, tied, `by place`, or undecided (one is out of format).

    A tie in one order beside a choice in the other is a tie.

    >>> outcome({"as is": "first", "exchanged": "second"}), outcome({"as is": "first", "exchanged": "first"})
    ('won', 'by place')
    """
    ahead, behind = pair["as is"], pair["exchanged"]
    if OUT_OF_FORMAT in (ahead, behind):
        return "undecided"
    if "tie" in (ahead, behind):
        return "tied"
    if ahead == behind:
        return "by place"
    return "won" if ahead == "first" else "lost"


def _spent(rows: Sequence[dict]) -> tuple[float, int]:
    return sum(row["seconds"] for row in rows), sum(row["tokens_in"] or 0 for row in rows)
