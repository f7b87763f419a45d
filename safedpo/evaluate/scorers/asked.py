"""The prompts that a model is asked: distinct prompts of preference data, or a list of prompts such as XSTest."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from safedpo.errors import UserError, brief
from safedpo.lm.training.data import shipped_data
from safedpo.records.readers import READERS, read_file
from safedpo.records.row import Unreadable

SAFE_WORDS = {"safe": True, "unsafe": False}
CONTRAST = "contrast_"  # how XSTest's completion files name the types of their unsafe prompts


@dataclass(frozen=True)
class Asked:
    """A prompt; `safe`: a refusal of it is an over-refusal (None: nobody has said); `kind`: its type or category."""

    prompt: str
    safe: bool | None
    kind: str


def is_prompt_list(source: str | Path) -> bool:
    """Whether a file holds prompts without responses to compare: a column `prompt`, and no `response_0`.

    >>> is_prompt_list("household-test")
    False
    """
    path = Path(shipped_data(source))
    if path.suffix.lower() not in READERS or not path.is_file():
        return False
    first = next((row for row in read_file(path) if isinstance(row, dict)), {})
    return "prompt" in first and "response_0" not in first


def read_asked(source: str | Path) -> list[Asked]:
    """The distinct prompts of a file, in its order.

    A column `label` says safe or unsafe; without it, a `type` that begins with `contrast_` marks an unsafe prompt of
    XSTest and any other type a safe one. Raises `UserError` naming the row that cannot be used.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "some.csv"
    >>> _ = path.write_text("prompt,type,label\\nHow do I kill a process?,homonyms,safe\\n")
    >>> read_asked(path)
    [Asked(prompt='How do I kill a process?', safe=True, kind='homonyms')]
    """
    found: dict[str, Asked] = {}
    for number, row in enumerate(read_file(Path(shipped_data(source))), start=1):
        where = f"{source}, row {number}"
        if isinstance(row, Unreadable) or not isinstance(row, dict):
            raise UserError(
                f"{where}: {row if isinstance(row, Unreadable) else 'not an object'}; repair or remove the row"
            )
        prompt = row.get("prompt")
        if not isinstance(prompt, str) or not prompt.strip():
            raise UserError(f"{where}: prompt is {brief(repr(prompt), 60)}; each row needs a text there")
        one = Asked(prompt, _safe(row, where), str(row.get("type", "")).removeprefix(CONTRAST))
        if found.setdefault(prompt, one).safe != one.safe:
            raise UserError(
                f"{where}: the prompt {brief(repr(prompt), 60)} is called safe in one row and unsafe in another"
            )
    if not found:
        raise UserError(f"{source} holds no prompts")
    return list(found.values())


def _safe(row: dict, where: str) -> bool | None:
    if "label" in row:
        word = str(row["label"]).strip().lower()
        if word not in SAFE_WORDS:
            raise UserError(f"{where}: label is {brief(repr(row['label']), 60)}; it must be safe or unsafe")
        return SAFE_WORDS[word]
    return None if "type" not in row else not str(row["type"]).startswith(CONTRAST)


def read_exchanges(source: str | Path) -> Iterator[tuple[str, str]]:
    """(prompt, response) of each row of a file with a column `prompt` and one of `response`, `completion`: one at a time."""
    for number, row in enumerate(read_file(Path(source)), start=1):
        texts = row if isinstance(row, dict) else {}
        response = texts.get("response", texts.get("completion"))
        if not isinstance(texts.get("prompt"), str) or not isinstance(response, str):
            raise UserError(f"{source}, row {number}: prompt and response (or completion) are needed, both texts")
        yield texts["prompt"], response
