"""The fence holds for compiled code too, inside it everything works, and it is there from the moment it was asked for."""

import subprocess
import sys

import pytest

CODE = """
import os, sqlite3, sys
from safedpo.labs.grading.fence import fence
inside, outside = sys.argv[1:]
if not fence([inside, "/dev"]):
    sys.exit(77)
os.makedirs(inside + "/a/b")
open(inside + "/a/b/x", "w").write("x")
os.rename(inside + "/a/b/x", inside + "/y")
open(os.devnull, "w").write("x")
assert open(outside + "/kept").read() == "kept"
def sqlite():
    sqlite3.connect(outside + "/db").execute("create table a (b)")
for attempt in (
    sqlite,
    lambda: open(outside + "/kept", "a"),
    lambda: os.truncate(outside + "/kept", 0),
    lambda: os.rename(inside + "/y", outside + "/y"),
    lambda: os.link(outside + "/kept", inside + "/link"),
    lambda: os.remove(outside + "/kept"),
    lambda: os.mkdir(outside + "/folder"),
):
    try:
        attempt()
    except (OSError, sqlite3.Error):
        continue
    sys.exit(3)
"""


def test_outside_nothing_is_written_and_inside_everything(tmp_path):
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (outside / "kept").write_text("kept")
    done = subprocess.run([sys.executable, "-c", CODE, str(inside), str(outside)], capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip("this system has no Landlock")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in outside.iterdir()] == ["kept"] and (outside / "kept").read_text() == "kept"
    assert (inside / "y").read_text() == "x"


def test_a_system_without_it_is_told_apart(monkeypatch):
    from safedpo.labs.grading.fence import fence

    monkeypatch.setattr(sys, "platform", "darwin")
    assert fence(["/"]) is False
