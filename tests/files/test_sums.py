"""Sums and seals: what was changed is found, in the file and in the list itself, by another program too."""

import json
import subprocess

import pytest

from safedpo.errors import UserError
from safedpo.files import SUMS, changed, read_json, sealed, verified, write_json, write_sums
from safedpo.files.sums import opened, read_sums


def test_the_list_is_what_sha256sum_checks(tmp_path):
    for name in ("a.txt", "sub/b ü.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    write_sums(tmp_path)
    done = subprocess.run(["sha256sum", "-c", "--strict", SUMS], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(read_sums(tmp_path)) == {"a.txt", "sub/b ü.txt"} and changed(tmp_path) == []
    (tmp_path / "a.txt").write_text("b")
    (tmp_path / "sub/b ü.txt").unlink()
    assert changed(tmp_path) == ["a.txt", "sub/b ü.txt"]


def test_a_list_that_lost_lines_is_damaged(tmp_path):
    for name in "abc":
        (tmp_path / name).write_text(name)
    write_sums(tmp_path)
    lines = (tmp_path / SUMS).read_text().splitlines(keepends=True)
    for left in (lines[:-1], lines[1:], lines[:1], [], [*lines, "x\n"]):
        (tmp_path / SUMS).write_text("".join(left))
        with pytest.raises(UserError, match=f"{SUMS} is damaged"):
            read_sums(tmp_path)


@pytest.mark.parametrize("content", [{}, {"a": 1.5, "ü": [None, "\ud800"]}, {"b": {"c": float("nan")}, "a": 0}])
def test_a_seal_survives_the_file_and_no_change(tmp_path, content):
    write_json(tmp_path / "a.json", content, seal=True)
    assert json.dumps(read_json(tmp_path / "a.json", seal=True)) == json.dumps(content)
    stored = json.loads((tmp_path / "a.json").read_text())
    for other in (stored | {"new": 1}, {**stored, "content_sha256": "0" * 64}, {**stored, "content_sha256": 7}):
        with pytest.raises(UserError, match="damaged"):
            opened(other, "a.json", "make it again")
    assert opened(sealed(sealed(content)), "a.json", "") == opened(sealed(content), "a.json", "") or "NaN" in str(
        stored
    )


def test_a_file_without_a_seal_is_read_unless_one_must_be_there(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    assert read_json(tmp_path / "a.json") == {} and verified(tmp_path / "a.json") == tmp_path / "a.json"
    with pytest.raises(UserError, match="has no content_sha256"):
        read_json(tmp_path / "a.json", seal=True)
