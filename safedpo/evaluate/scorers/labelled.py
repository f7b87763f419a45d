"""The refusal scorer against human labels, in files like XSTest's completions."""

from pathlib import Path

from safedpo.errors import UserError, brief
from safedpo.evaluate.judges.agreement import Agreement, agreement
from safedpo.evaluate.scorers.refusal import KINDS, refusal
from safedpo.records.readers import read_file

LABEL, JUDGE = "final_label", "gpt4_label"
NAMES = {f"{number}_{kind}": kind for number, kind in enumerate(KINDS, start=1)} | {kind: kind for kind in KINDS}
OTHER = "out of format"


def has_labels(source: str | Path) -> bool:
    """Whether the first row of a file has a human label of the kind of refusal.

    >>> from safedpo.household import load
    >>> has_labels(load("test"))
    False
    """
    first = next((row for row in read_file(Path(source)) if isinstance(row, dict)), {})
    return LABEL in first


def against_labels(source: str | Path, *, parity: int | None = None) -> dict[str, Agreement]:
    """Agreement with the human labels: of the scorer and, where the file has its labels, of GPT-4; kinds, and refused or not.

    A label of GPT-4 that is none of the three is counted as `out of format`. `parity` takes the rows 0, 2, 4, ... (0) or
    1, 3, 5, ... (1): the scorer's cues were written with the even ones in sight. Raises `UserError` for another label of people.
    """
    human: list[str] = []
    ours: list[str] = []
    theirs: list[str] = []
    for number, row in enumerate(read_file(Path(source))):
        if parity is not None and number % 2 != parity:
            continue
        fields = row if isinstance(row, dict) else {}
        label = NAMES.get(str(fields.get(LABEL)))
        text = fields.get("completion", fields.get("response"))
        if label is None or not isinstance(text, str):
            other = brief(repr(fields.get(LABEL)), 60)
            raise UserError(f"{source}, row {number + 1}: {LABEL} is {other}; it must be one of {', '.join(KINDS)}")
        human.append(label)
        ours.append(refusal(text))
        if JUDGE in fields:
            theirs.append(NAMES.get(str(fields[JUDGE]), OTHER))
    if not human:
        raise UserError(f"{source} holds no labelled rows")
    found = {
        "refusal scorer, three kinds": agreement(human, ours),
        "refusal scorer, refused or not": _refused(human, ours),
    }
    if len(theirs) == len(human):
        found |= {"GPT-4, three kinds": agreement(human, theirs), "GPT-4, refused or not": _refused(human, theirs)}
    return found


def _refused(human: list[str], other: list[str]) -> Agreement:
    def bit(label: str) -> str:
        return label if label == OTHER else "no" if label == "full_compliance" else "refused"

    return agreement([bit(label) for label in human], [bit(label) for label in other])
