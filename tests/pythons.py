"""The tested set on the other Pythons that are here: `make test-pythons`, part of `make test-slow`.

    python -m tests.pythons [VERSION...]      all of VERSIONS where none is named
    python tests/pythons.py --find VERSION    where that Python is; nothing if it is not here

For each version that is found (on the path, or under ~/.pyenv) and is not the one running, an environment `.venv-3.X` is
made once from constraints.txt, and the quick tests run in it. A version that is not here is skipped, and said.
"""

import shutil
import subprocess
import sys
import time
from pathlib import Path

VERSIONS = ("3.11", "3.12", "3.13", "3.14")
ROOT = Path(__file__).parents[1]
# Quick, and one of each kind: records, losses, the exact world, rows of tokens, adapters, training, labs, command line.
TESTS = (
    "tests/test_package.py",
    "tests/records/test_reading.py",
    "tests/test_transform.py",
    "tests/test_losses.py",
    "tests/finite/test_optimum.py",
    "tests/lm/models/test_gguf.py",
    "tests/lm/models/test_adapters.py",
    "tests/lm/models/test_dtype.py",
    "tests/lm/rows",
    "tests/labs/test_setup.py",
    "tests/show/sliders/test_live.py",
    "tests/cli/test_doctor.py",
)
TOOLS = ("pytest", "pytest-timeout", "hypothesis", "gguf", "latex2mathml", "mistune", "pygments")
TOOLS += ("ipywidgets", "anywidget", "ipython", "jupytext", "nbclient")


def interpreter(version: str) -> str | None:
    """A Python of that version here that really starts (pyenv's stand-ins on the path may not), or None."""
    pyenv = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}*/bin/python"), reverse=True)
    for python in (shutil.which(f"python{version}"), *map(str, pyenv)):
        asked = [python, "-c", "import sys; print('.'.join(map(str, sys.version_info[:2])))"]
        if python and subprocess.run(asked, capture_output=True, text=True).stdout.strip() == version:
            return python
    return None


def environment(version: str, python: str) -> Path:
    """The Python of `.venv-VERSION`, made anew where constraints.txt or pyproject.toml is newer than it."""
    home = ROOT / f".venv-{version}"
    inside, stamp = home / "bin" / "python", home / "stamp"
    newest = max((ROOT / name).stat().st_mtime for name in ("constraints.txt", "pyproject.toml"))
    if not (stamp.exists() and stamp.stat().st_mtime > newest):
        subprocess.run([python, "-m", "venv", "--clear", str(home)], check=True)
        pip = [str(inside), "-m", "pip", "--disable-pip-version-check", "install", "-q", "-c", "constraints.txt"]
        subprocess.run([*pip, "-e", ".", *TOOLS], check=True, cwd=ROOT)
        stamp.touch()
    return inside


def main() -> int:
    if sys.argv[1:2] == ["--find"]:
        print(interpreter(sys.argv[2]) or "")
        return 0
    own, failed = ".".join(map(str, sys.version_info[:2])), []
    for version in sys.argv[1:] or VERSIONS:
        if version == own:
            print(f"Python {version}: this one, its tests are the others'", flush=True)
        elif python := interpreter(version):
            inside, start = environment(version, python), time.monotonic()
            done = subprocess.run([str(inside), "-m", "pytest", "-q", *TESTS], cwd=ROOT)
            print(f"Python {version}: {'passed' if done.returncode == 0 else 'FAILED'}, ", end="")
            print(f"{time.monotonic() - start:.0f} s", flush=True)
            failed += [version] if done.returncode else []
        else:
            print(f"Python {version}: not here, skipped", flush=True)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
