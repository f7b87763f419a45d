"""The house itself: instant import, floors, sizes, and a doctest for each public function."""

import ast
import doctest
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import safedpo

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "safedpo"
MODULES = sorted(m.name for m in pkgutil.walk_packages([str(PACKAGE)], "safedpo.") if "__main__" not in m.name)


def imports(path):
    """Modules of ours that a file imports anywhere, as dotted names below safedpo."""
    package = ("safedpo", *path.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) + "." if node.level else ""
            module = (base + (node.module or "")).rstrip(".")
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def test_importing_the_package_is_instant_and_brings_no_torch():
    code = (
        "import time; t=time.perf_counter(); import safedpo, sys; print(time.perf_counter()-t, 'torch' in sys.modules)"
    )
    seconds, torch_loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert float(seconds) < 0.3 and torch_loaded == "False"


def test_public_names_resolve():
    for name in safedpo.__all__:
        assert getattr(safedpo, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'dpo'"):
        safedpo.dpo  # noqa: B018


@pytest.mark.parametrize(
    ("room", "forbidden"),
    [
        ("finite", ("lm", "household", "evaluate", "show", "labs", "cli")),
        ("lm", ("finite", "evaluate", "show", "labs", "cli")),
        ("household", ("finite", "lm", "evaluate", "show", "labs", "cli")),
        ("show", ("labs", "cli", "lm.training", "finite.fit")),
        ("evaluate", ("finite", "show", "labs", "cli")),
        ("labs", ("cli",)),
    ],
)
def test_imports_only_go_down(room, forbidden):
    for path in (PACKAGE / room).rglob("*.py"):
        if path.relative_to(PACKAGE).as_posix().startswith("lm/sentences/"):
            continue  # the one door between the two worlds
        for name in imports(path):
            assert not any(name == f"safedpo.{f}" or name.startswith(f"safedpo.{f}.") for f in forbidden), (
                f"{path.relative_to(ROOT)} imports {name}"
            )


def test_the_core_stands_on_torch_alone():
    allowed = {"records/*": {"safedpo.errors", "safedpo.transform", "safedpo.records"}}
    allowed |= dict.fromkeys(("transform", "losses"), {"safedpo.errors"})
    for module, ours in allowed.items():
        files = sorted(PACKAGE.glob(f"{module}.py"))
        found = {n for file in files for n in imports(file) if n.startswith("safedpo.")}
        assert files
        assert {".".join(n.split(".")[:2]) for n in found} <= ours


@pytest.mark.parametrize("module", MODULES)
def test_every_module_imports_and_its_examples_run(module):
    result = doctest.testmod(
        importlib.import_module(module), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    )
    assert result.failed == 0


WITHOUT = ("transformers", "peft", "datasets", "psutil")  # what the exact world and the labs do without
BARE = """
import importlib, pkgutil, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
import safedpo
for module in {modules}:
    importlib.import_module(module)
from safedpo.finite import optimal_policy, six_answers
optimal_policy(six_answers(), 0.5)
loaded = {absent} & {{name.partition(".")[0] for name in sys.modules}}
assert not loaded, loaded
"""


def test_the_exact_world_the_figures_and_the_labs_do_without_the_large_libraries():
    """Every module of these rooms is imported where the large libraries do not exist, as in a browser's Python."""
    modules = [m for m in MODULES if m.split(".")[1:2] and m.split(".")[1] in ("finite", "show", "labs", "household")]
    assert len(modules) > 40
    code = BARE.format(absent=set(WITHOUT), modules=modules)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-1500:]
