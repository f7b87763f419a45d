"""The wheel carries what it needs: installed alone, it finds its data and notebooks."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_an_unpacked_wheel_finds_its_data_and_its_notebooks(tmp_path):
    made = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(ROOT)],
        capture_output=True,
        text=True,
    )
    if made.returncode and "No matching distribution" in made.stderr:
        pytest.skip("no package index to build a wheel with")
    assert made.returncode == 0, made.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    code = (
        "from safedpo.household import load; from safedpo.files import shipped; import safedpo; "
        "print(safedpo.__file__); print(load('test')); print(shipped('notebooks') / '00_start_here.ipynb')"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(tmp_path / "site"), "PATH": ""},
    ).stdout.split()
    assert all(str(tmp_path / "site") in path and Path(path).is_file() for path in shown)
    assert wheel.stat().st_size < 60e6  # most of it: the reference's adapter and six policies, which do not shrink
