"""A folder belongs to one program at a time: a second one waits, or is refused."""

import subprocess
import sys
import threading

import pytest

from safedpo.errors import UserError
from safedpo.files import exclusive

HOLD = """
import sys, time
from pathlib import Path
from safedpo.files import exclusive
with exclusive(Path(sys.argv[1])):
    print(1, flush=True)
    time.sleep(60)
"""


def test_another_process_is_refused_until_it_is_killed(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"1\n"
        with pytest.raises(UserError, match="another program is at work"), exclusive(tmp_path):
            pass
        other.kill()
        other.wait()
        with exclusive(tmp_path):
            assert not list(tmp_path.iterdir())


def test_who_waits_comes_after(tmp_path):
    order = []

    def second():
        with exclusive(tmp_path, wait=True):
            order.append("second")

    with exclusive(tmp_path):
        waiting = threading.Thread(target=second)
        waiting.start()
        waiting.join(timeout=0.3)
        order.append("first")
    waiting.join(timeout=20)
    assert order == ["first", "second"]
