"""Lists of prompts and of responses: what is read, what is refused by row, and XSTest's own file."""

import json
import os
from pathlib import Path

import pytest

from safedpo.errors import UserError
from safedpo.evaluate.scorers.asked import Asked, is_prompt_list, read_asked, read_exchanges

REAL = os.environ.get("SAFEDPO_REAL_DATA")


def lines(path: Path, *rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_labels_types_and_neither(tmp_path):
    file = lines(
        tmp_path / "p.jsonl",
        {"prompt": "a", "label": "Safe", "type": "x"},
        {"prompt": "b", "label": "unsafe"},
        {"prompt": "c", "type": "contrast_x"},
        {"prompt": "d", "type": "x"},
        {"prompt": "e"},
        {"prompt": "a", "label": "safe"},
    )
    assert read_asked(file) == [
        Asked("a", True, "x"), Asked("b", False, ""), Asked("c", False, "x"), Asked("d", True, "x"), Asked("e", None, "")
    ]  # fmt: skip
    assert is_prompt_list(file) and not is_prompt_list("household-test") and not is_prompt_list("owner/name")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": " "}, "row 2: prompt is ' '"),
        ({"label": "safe"}, "row 2: prompt is None"),
        ({"prompt": "b", "label": "maybe"}, "row 2: label is 'maybe'; it must be safe or unsafe"),
        ({"prompt": "a", "label": "unsafe"}, "row 2: the prompt 'a' is called safe in one row and unsafe in another"),
        (["b"], "row 2: .*repair or remove"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, row, message):
    with pytest.raises(UserError, match=message):
        read_asked(lines(tmp_path / "p.jsonl", {"prompt": "a", "label": "safe"}, row))


def test_an_empty_list_is_refused(tmp_path):
    (tmp_path / "p.csv").write_text("prompt,label\n")
    with pytest.raises(UserError, match="holds no prompts"):
        read_asked(tmp_path / "p.csv")


def test_written_responses_come_one_at_a_time(tmp_path):
    file = lines(
        tmp_path / "r.jsonl", {"prompt": "a", "response": "b"}, {"prompt": "c", "completion": "d"}, {"prompt": "e"}
    )
    stream = read_exchanges(file)
    assert [next(stream), next(stream)] == [("a", "b"), ("c", "d")]
    with pytest.raises(UserError, match="row 3: prompt and response"):
        next(stream)


@pytest.mark.skipif(not REAL, reason="SAFEDPO_REAL_DATA is not set: no XSTest here")
def test_xstest_has_250_safe_and_200_unsafe_prompts_by_either_of_its_files():
    for name in ("xstest_prompts.csv", "xstest_v2_completions_gpt4_gpteval.csv"):
        asked = read_asked(Path(str(REAL)) / name)
        assert [sum(one.safe is safe for one in asked) for safe in (True, False)] == [250, 200]
