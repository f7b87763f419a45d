"""Environments of other graders, made once in a cache folder, from PyPI; a test skips where PyPI cannot be reached."""

import hashlib
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("SAFEDPO_TEST_ENVIRONMENTS", Path.home() / ".cache" / "safedpo-tests"))


def environment(requirement: str, *, sees_ours: bool = False) -> Path:
    """The Python of an environment with this requirement; with `sees_ours` it also finds this one's packages and the kit."""
    key = hashlib.sha256(f"{requirement} {sys.version} {sys.prefix} {sees_ours}".encode()).hexdigest()[:8]
    home = CACHE / f"{requirement.partition('=')[0]}-{key}"
    python = home / "bin" / "python"
    if not (home / "complete").is_file():
        venv.EnvBuilder(with_pip=True, clear=True).create(home)
        made = subprocess.run(
            [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", requirement],
            capture_output=True,
            text=True,
            timeout=400,
        )
        if made.returncode:
            reason = (made.stderr.strip().splitlines() or ["no reason given"])[-1]
            pytest.skip(f"{requirement} cannot be installed here: {reason[:200]}")
        if sees_ours:
            site = next((home / "lib").glob("python*/site-packages"))
            root = Path(__file__).parents[3]
            (site / "ours.pth").write_text(f"{root}\n{sysconfig.get_paths()['purelib']}\n")
        (home / "complete").touch()
    return python
