"""Colab's own package list against ours: `make colab-list` fetches it, says what moved, and rewrites our pins.

    python -m tests.notebooks.colab_list [FILE]     from a file instead of the network

`constraints-colab.txt` holds, of the several hundred packages there, those that the kit meets. PyTorch is kept at the
tested CPU build, and what Colab has instead is said in the file's head.
"""

import datetime
import re
import sys
import urllib.request
from pathlib import Path

SOURCE = "https://raw.githubusercontent.com/googlecolab/backend-info/main/pip-freeze.gpu.txt"
OURS = Path(__file__).parents[2] / "constraints-colab.txt"
TESTED = "torch"  # the one package whose version is ours
ABSENT = ("gguf", "latex2mathml", "trl")  # what the kit may not take for granted there
HEAD = """\
# What Colab's GPU runtime ships, as far as the kit meets it; list of {date}. Refresh: make colab-list
# Python 3.13. PyTorch is the tested CPU build: Colab has {torch} with CUDA. Not there, nor in the environment that the
# test makes of this list: {absent}.
"""


def read_freeze(text: str) -> dict[str, str]:
    """`pip freeze` lines -> version by normalised name; a wheel's address gives the version in its file name.

    >>> read_freeze("numpy==2.1.3\\ntorch @ https://x.org/torch-2.11.0%2Bcu128-cp313-cp313-linux_x86_64.whl#sha256=0")
    {'numpy': '2.1.3', 'torch': '2.11.0'}
    """
    found = {}
    for line in text.splitlines():
        line = line.partition("#")[0].strip()
        match = re.match(r"([\w.-]+)==([^\s;+]+)", line) or re.match(r"([\w.-]+) @ \S*/[\w.]+-(\d[^-%+]*)", line)
        if match:
            found[normal(match[1])] = match[2]
    return found


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def moved(ours: dict[str, str], theirs: dict[str, str]) -> list[str]:
    """What is different there now, a line each; the tested PyTorch is left out."""
    lines = [
        f"{name}: {version} -> {theirs.get(name, 'gone')}"
        for name, version in ours.items()
        if name != TESTED and theirs.get(name) != version
    ]
    return lines + [f"{name}: absent -> {theirs[name]}" for name in ABSENT if name in theirs]


def refreshed(ours: dict[str, str], theirs: dict[str, str], date: str) -> str:
    """The new text of `constraints-colab.txt`."""
    absent = ", ".join(name for name in ABSENT if name not in theirs)
    head = HEAD.format(date=date, torch=theirs.get(TESTED, "none"), absent=absent)
    kept = {name: version if name == TESTED else theirs.get(name) for name, version in ours.items()}
    return head + "".join(f"{name}=={version}\n" for name, version in kept.items() if version)


def main() -> None:
    if len(sys.argv) > 1:
        text = Path(sys.argv[1]).read_text(encoding="utf-8")
    else:
        try:
            with urllib.request.urlopen(SOURCE, timeout=60) as answer:
                text = answer.read().decode("utf-8")
        except OSError as error:
            sys.exit(f"{SOURCE} cannot be read ({error}); check the network, or give the list as a file")
    ours, theirs = read_freeze(OURS.read_text(encoding="utf-8")), read_freeze(text)
    if len(theirs) < 100:
        sys.exit(f"that is no list of Colab's packages: {len(theirs)} lines name==version; nothing was changed")
    print("\n".join(moved(ours, theirs)) or "nothing moved")
    OURS.write_text(refreshed(ours, theirs, datetime.date.today().isoformat()), encoding="utf-8")


if __name__ == "__main__":
    main()
