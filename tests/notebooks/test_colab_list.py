"""Colab's list is a dated file: what moved since is seen line by line, and the file can be made anew."""

import re
import subprocess
import sys

from tests.notebooks.colab_list import OURS, moved, read_freeze, refreshed

HERE = read_freeze(OURS.read_text(encoding="utf-8"))


def test_the_file_is_dated_and_is_what_its_command_writes():
    text = OURS.read_text(encoding="utf-8")
    date = re.search(r"list of (\d{4}-\d\d-\d\d)\. Refresh: make colab-list", text)[1]
    torch = re.search(r"Colab has (\S+) with CUDA", text)[1]
    assert refreshed(HERE, HERE | {"torch": torch}, date) == text


def test_what_moved_is_told_and_pytorch_stays_the_tested_one():
    theirs = HERE | {"torch": "2.14.0", "numpy": "2.3.0", "gguf": "0.20"}
    del theirs["torchao"]
    assert moved(HERE, HERE) == []
    lines = moved(HERE, theirs)
    assert lines == [f"numpy: {HERE['numpy']} -> 2.3.0", "torchao: 0.10.0 -> gone", "gguf: absent -> 0.20"]
    text = refreshed(HERE, theirs, "2027-01-01")
    assert "list of 2027-01-01" in text and "Colab has 2.14.0 with CUDA" in text and "torchao" not in text
    assert f"torch=={HERE['torch']}\n" in text and "numpy==2.3.0\n" in text and "gguf," not in text


def test_a_page_that_is_no_list_changes_nothing(tmp_path):
    before = OURS.read_bytes()
    (tmp_path / "page.html").write_text("<html>a proxy says no</html>")
    done = subprocess.run(
        [sys.executable, "-m", "tests.notebooks.colab_list", str(tmp_path / "page.html")],
        capture_output=True,
        text=True,
        cwd=OURS.parent,
    )
    assert done.returncode == 1 and "that is no list of Colab's packages" in done.stderr
    assert OURS.read_bytes() == before
