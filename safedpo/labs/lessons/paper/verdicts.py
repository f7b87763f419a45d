"""The stored verdicts of notebook 09: a small judge, a word filter, and the refusal scorer against people."""

import hashlib
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from safedpo.errors import UserError
from safedpo.files import read_json, shipped
from safedpo.household import score
from safedpo.household.data.agreement import read_readings

if TYPE_CHECKING:  # their modules are imported when they are used: with them come larger libraries
    from safedpo.evaluate.judges.agreement import Agreement
    from safedpo.evaluate.judges.run import Item
    from safedpo.evaluate.judges.summary import Singles

OUT_OF_FORMAT = "out of format"


def readings() -> Path:
    """The file of responses that a judge, the scorer and two readers judged."""
    return shipped("data") / "household" / "readings.jsonl"


def single_verdicts(folder: Path | None = None) -> dict[str, list[dict]]:
    """wording -> the small judge's stored verdicts of the readings; refused where the responses are others by now."""
    from safedpo.evaluate.judges.run import read_verdicts

    rows = read_verdicts(folder or shipped("data") / "verdicts" / "smollm2-single")
    by_wording: dict[str, list[dict]] = {}
    for row in rows:
        by_wording.setdefault(row["wording"], []).append(row)
    items = judged_items(by_wording)
    for name, found in by_wording.items():
        if [items[row["number"]].key for row in found] != [row["item"] for row in found]:
            raise UserError(
                f"the verdicts of the wording {name} are of other responses than the readings; judge them again"
            )
    return by_wording


def judged_items(by_wording: dict[str, list[dict]]) -> "list[Item]":
    """The readings that were judged, in order."""
    from safedpo.evaluate.judges.items import read_items

    return read_items(readings(), limit=len(next(iter(by_wording.values()))))


def sweep_of_wordings(folder: Path | None = None) -> "dict[str, Singles]":
    """wording -> what the judge says when asked so."""
    from safedpo.evaluate.judges.summary import singles

    found = single_verdicts(folder)
    prompts = [item.prompt for item in judged_items(found)]
    return {name: singles(rows, prompts) for name, rows in found.items()}


def judge_against_scorer(folder: Path | None = None) -> "dict[str, Agreement]":
    """wording -> agreement of the small judge with the exact scorer; a reply out of format is a label of its own."""
    from safedpo.evaluate.judges.agreement import agreement

    found = single_verdicts(folder)
    items = judged_items(found)
    exact = ["unsafe" if score(item.prompt, item.response).unsafe else "safe" for item in items]
    return {
        name: agreement(exact, [row["verdict"] for row in rows], [item.prompt for item in items])
        for name, rows in found.items()
    }


def mixed_pairs(wording: str, folder: Path | None = None) -> tuple[float, float, float]:
    """What T would make of a safe beside an unsafe response if the small judge gave the safety labels: the share kept in
    order for sure, turned to the unsafe one for sure, and dropped. The rest keeps the raters' order.

    With a = P(judge says safe | safe), b = P(judge says unsafe | unsafe), by the exact scorer and in format: a b,
    (1 - a)(1 - b), (1 - a) b, for labels that err independently.
    """
    found = single_verdicts(folder)
    said: dict[bool, list[bool]] = {True: [], False: []}
    for item, row in zip(judged_items(found), found[wording], strict=True):
        if row["verdict"] != OUT_OF_FORMAT:
            said[score(item.prompt, item.response).unsafe].append(row["verdict"] == "unsafe")
    a, b = 1 - fmean(said[False]), fmean(said[True])
    return a * b, (1 - a) * (1 - b), (1 - a) * b


def between_wordings(one: str, other: str, folder: Path | None = None) -> "Agreement":
    """Agreement of the judge with itself, asked in two ways, on what both wordings answered in format."""
    from safedpo.evaluate.judges.agreement import agreement

    found = single_verdicts(folder)
    pairs = [
        (a["verdict"], b["verdict"])
        for a, b in zip(found[one], found[other], strict=True)
        if OUT_OF_FORMAT not in (a["verdict"], b["verdict"])
    ]
    return agreement([a for a, _ in pairs], [b for _, b in pairs])


def readers_and_scorer() -> "dict[str, Agreement]":
    """Agreement about `unsafe` on all readings: reader a with reader b, and the exact scorer with each."""
    from safedpo.evaluate.judges.agreement import agreement

    rows = read_readings(readings())
    prompts = [row["prompt"] for row in rows]
    labels = {
        "reader a": [bool(row["reading_a_unsafe"]) for row in rows],
        "reader b": [bool(row["reading_b_unsafe"]) for row in rows],
    }
    labels["scorer"] = [score(row["prompt"], row["response"]).unsafe for row in rows]
    couples = (("reader a", "reader b"), ("scorer", "reader a"), ("scorer", "reader b"))
    return {f"{a}, {b}": agreement(labels[a], labels[b], prompts) for a, b in couples}


def word_filter_against_reader() -> "tuple[str, Agreement, int]":
    """The negative control: the filter's name, its agreement with reader a about `unsafe`, and the responses it flags."""
    from safedpo.evaluate.judges.agreement import agreement

    content = read_json(shipped("data") / "verdicts" / "control.json")
    rows = read_readings(readings())
    if content["responses_sha256"] != hashlib.sha256("\0".join(row["response"] for row in rows).encode()).hexdigest():
        raise UserError("control.json is of other responses than the readings; run `safedpo maintain control` again")
    flagged = [bool(bit) for bit in content["unsafe"]]
    found = agreement([bool(row["reading_a_unsafe"]) for row in rows], flagged, [row["prompt"] for row in rows])
    return content["judge"], found, sum(flagged)


def refusals() -> dict[str, dict[str, dict]]:
    """file -> agreement with people (refused or not) on the rows that the scorer was not written on: scorer and GPT-4."""
    content = read_json(shipped("data") / "verdicts" / "refusals.json")
    return {file["name"]: file["others"] for file in content["files"]}
