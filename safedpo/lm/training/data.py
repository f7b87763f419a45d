"""What a run trains on: records read, responses chosen, items drawn, and the fingerprint of it all."""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from safedpo.errors import UserError, visible
from safedpo.household import SPLITS, load
from safedpo.lm.rows.tokens import Tokenized, tokenize_pairs
from safedpo.records import LabelNoise, Record, Records, read_records, settle_records


def shipped_data(source: str | Path) -> str | Path:
    """The shipped files by their names, `household-train` to `household-unseen`; all else as it is.

    >>> shipped_data("household-test").name, shipped_data("mine.jsonl")
    ('test.jsonl', 'mine.jsonl')
    """
    split = str(source).removeprefix("household-")
    if source == f"household-{split}" and split in SPLITS:
        return load(split)
    return source


def labels_settled(data, *, skip_bad_rows: bool = False, contradictions: str = "keep") -> tuple[Records, dict]:
    """The records of a path, of `Records` or of a sequence, read once, and what their labels are like, for `run.json`.

    `skip_bad_rows` leaves bad rows out, counted; `contradictions` is what becomes of a response that carries both
    safety labels (`safedpo.records.labels`). Says in one line what it found, where it found anything.

    >>> pair = Record("hi", ("hello", "go away"), (False, True), better=0, safer=0, row=1)
    >>> labels_settled([pair])[1]["bad_rows"]
    0
    """
    if isinstance(data, str | Path):
        data = read_records(shipped_data(data), strict=not skip_bad_rows, contradictions=contradictions)
    elif not isinstance(data, Records):
        data = settle_records(data, "records", (), contradictions)
    elif data.noise == LabelNoise() or contradictions not in ("keep", data.noise.contradictions):  # not looked at yet
        data = settle_records(data.records, data.source, data.problems, contradictions)
    else:
        return data, data.noise.to_json() | {"bad_rows": len(data.problems)}  # read, and said so, before
    if data.noise.contradictory or data.noise.duplicates:
        print(f"labels of {visible(data.source)}: {data.noise}")
    if data.problems:
        first = data.problems[0]
        print(f"{len(data.problems)} bad rows left out, the first: row {first.row}: {visible(first.reason)}")
    return data, data.noise.to_json() | {"bad_rows": len(data.problems)}


@dataclass(frozen=True)
class Prepared:
    """Pairs tokenized once, for one run or for many: what is left of the data, its name and its fingerprint."""

    tokens: Tokenized
    source: str
    fingerprint: str
    how: tuple[str, int, str]  # rule, max_length, template
    labels: dict  # what the labels are like, for run.json


def prepare_pairs(
    data: "tuple[Sequence[Record], str, dict] | Prepared",
    tokenizer,
    *,
    rule: str = "safedpo",
    max_length: int = 512,
    template: str = "auto",
) -> Prepared:
    """Records, the name of their source and what their labels are like; ordered by `rule` and tokenized.

    What was prepared already is only checked.

    >>> from safedpo.lm.models.tiny import tiny_tokenizer
    >>> pair = Record("hi", ("hello", "go away"), (False, True), better=0, safer=0, row=1)
    >>> prepared = prepare_pairs(([pair], "my pairs", {}), tiny_tokenizer())
    >>> prepare_pairs(prepared, tiny_tokenizer()) is prepared, len(prepared.tokens.items)
    (True, 1)
    """
    how = (rule, max_length, template)
    if isinstance(data, Prepared):
        if data.how != how:
            raise UserError(f"these pairs were prepared with (rule, max_length, template) = {data.how}, not {how}")
        return data
    records, source, labels = data
    tokens = tokenize_pairs(records, tokenizer, rule=rule, max_length=max_length, template=template)
    return Prepared(tokens, source, data_fingerprint(records), how, labels)


def sft_rows(records: Sequence[Record], responses: str) -> list[tuple[str, str, int]]:
    """The (prompt, response, row) triples that supervised fine-tuning uses: distinct ones, or for `all` every one.

    >>> record = Record("hi", ("hello", "go away"), (False, True), better=1, safer=0, row=1)
    >>> sft_rows([record, record], "both")
    [('hi', 'hello', 1), ('hi', 'go away', 1)]
    >>> sft_rows([record], "better"), sft_rows([record], "safe")
    ([('hi', 'go away', 1)], [('hi', 'hello', 1)])
    >>> len(sft_rows([record, record], "all"))
    4
    """
    wanted = {
        "both": lambda record, i: True,
        "better": lambda record, i: i == record.better,
        "safe": lambda record, i: not record.unsafe[i],
        "all": lambda record, i: True,
    }
    if responses not in wanted:
        raise UserError(f"responses is {responses!r}; choose {', '.join(wanted)}")
    if responses == "all":
        return [(record.prompt, record.responses[i], record.row) for record in records for i in (0, 1)]
    first: dict[tuple[str, str], int] = {}
    for record in records:
        for i in (0, 1):
            if wanted[responses](record, i):
                first.setdefault((record.prompt, record.responses[i]), record.row)
    return [(prompt, response, row) for (prompt, response), row in first.items()]


def usable(tokens: Tokenized, source: str, what: str, rule: str) -> list:
    """The items that can be trained on; raises `UserError` with the counts where there are none.

    >>> usable(Tokenized(), "mine.jsonl", "pair", "the rule safedpo")
    Traceback (most recent call last):
    safedpo.errors.UserError: mine.jsonl leaves no pair to train on after the rule safedpo: ...
    """
    if not tokens.items:
        raise UserError(
            f"{source} leaves no {what} to train on after {rule}: {tokens.counts()}"
            + (f"; first refused row: {tokens.refused[0]}" if tokens.refused else "")
        )
    return tokens.items


def draw(items: list, limit: int | None, seed: int) -> list:
    """`limit` of the items, drawn with `seed`, in their order; all of them without a limit.

    >>> drawn = draw(list(range(100)), 5, seed=0)
    >>> drawn == sorted(drawn) == draw(list(range(100)), 5, seed=0), len(set(drawn)), draw([1, 2], None, seed=0)
    (True, 5, [1, 2])
    """
    if limit is None or limit >= len(items):
        return items
    if limit < 1:
        raise UserError(f"{limit} items were asked for; at least 1 is needed")
    return [items[i] for i in sorted(random.Random(seed).sample(range(len(items)), limit))]


def data_fingerprint(records: Sequence[Record]) -> str:
    """A name that changes with any word or label of the data.

    >>> pair = Record("hi", ("hello", "go away"), (False, True), better=0, safer=0, row=1)
    >>> other = Record("hi", ("hello", "go away"), (False, True), better=1, safer=0, row=1)
    >>> data_fingerprint([pair]) == data_fingerprint([other]), len(data_fingerprint([pair]))
    (False, 16)
    """
    digest = hashlib.sha256()
    for record in records:
        digest.update(repr(tuple(asdict(record).values())).encode())
    return digest.hexdigest()[:16]
