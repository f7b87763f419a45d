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
from tests.sparing import slow_but

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


@pytest.mark.alone
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


# Their examples list all sentences of a trained model, or train it.
LENGTHY = {"safedpo.lm.sentences.measured", "safedpo.lm.sentences.enumeration", "safedpo.labs.lessons.kitchen"}


@pytest.mark.parametrize("module", slow_but([name for name in MODULES if name not in LENGTHY], MODULES))
def test_every_module_imports_and_its_examples_run(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # an example that names a folder leaves none in the tree
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


@pytest.mark.slow
def test_the_exact_world_the_figures_and_the_labs_do_without_the_large_libraries():
    """Every module of these rooms is imported where the large libraries do not exist, as in a browser's Python."""
    modules = [m for m in MODULES if m.split(".")[1:2] and m.split(".")[1] in ("finite", "show", "labs", "household")]
    assert len(modules) > 40
    code = BARE.format(absent=set(WITHOUT), modules=modules)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-1500:]


# ---- tests mirror the package, examples stand in docstrings, folders stay small --------------------------------------

# Rooms whose modules are alike and are tested together, by one file that goes through all of them.
TESTED_AS_ONE = {
    "cli": "cli/test_cli.py",
    "finite/claims": "finite/claims/test_claims.py",
    "finite/methods": "finite/methods/test_methods.py",
    "finite/walker": "finite/walker/test_walker.py",
    "labs/checks": "labs/checks/test_checks.py",
    "show/figures": "show/figures/test_figures.py",
}
# Tests of several modules together, of the project's files, or against another implementation.
CROSS_CUTTING = {
    "test_package.py",
    "test_project.py",
    "test_wheel.py",
    "lm/rows/test_architectures.py",
    "lm/test_real_data.py",
    "lm/training/test_golden_runs.py",
    "lm/training/test_trl.py",
    "lm/training/test_two_processes.py",
    "lm/training/test_less_common.py",
    "records/test_fuzz.py",
}
LEAN = ("records", "transform", "losses", "finite", "lm")  # where each public function has an example
ENTRIES = 12
DATA_FOLDERS = {"household/texts/topics"}


def python_files(root):
    """Files of a tree as text below it, without `__init__` and `__main__`."""
    return {
        path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*.py")) if not path.stem.startswith("__")
    }


def test_each_module_has_a_test_file_of_its_name():
    tests = {path.relative_to(ROOT / "tests").as_posix() for path in (ROOT / "tests").rglob("test_*.py")}
    assert set(TESTED_AS_ONE.values()) <= tests
    modules = [m for m in python_files(PACKAGE) if not any(m.startswith(f"{room}/") for room in TESTED_AS_ONE)]
    assert [m for m in modules if f"{m.rpartition('/')[0]}/test_{Path(m).name}".lstrip("/") not in tests] == []


def test_each_test_file_is_about_a_module_of_its_name():
    modules, rooms = python_files(PACKAGE), {path.name for path in PACKAGE.iterdir() if path.is_dir()}
    for name, path in python_files(ROOT / "tests").items():
        folder, _, file = name.rpartition("/")
        if not file.startswith("test_") or (folder and folder.split("/")[0] not in rooms):
            continue  # helpers; notebooks/, browser/, gpu/ and benchmarks/ mirror nothing
        if any(name.startswith(f"{room}/") for room in TESTED_AS_ONE):
            continue  # named after what they ask of the whole room
        named = f"{folder}/{file.removeprefix('test_')}".lstrip("/")
        assert named in modules or name in CROSS_CUTTING, f"{path.relative_to(ROOT)}: there is no safedpo/{named}"


def test_a_folder_shows_at_most_twelve_entries():
    for folder in (PACKAGE, *(path for path in PACKAGE.rglob("*") if path.is_dir())):
        if folder.name == "__pycache__" or folder.relative_to(PACKAGE).as_posix() in DATA_FOLDERS:
            continue
        shown = sorted(path.name for path in folder.iterdir() if not path.name.startswith(("__", ".")))
        assert len(shown) <= ENTRIES, f"{folder.relative_to(ROOT)} shows {len(shown)} entries: {', '.join(shown)}"


def without_example(path):
    """Public functions of a module, at the top level, whose docstring has no doctest; claims are run by the ledger."""
    tree = ast.parse(path.read_text())
    claims = next(
        (node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CLAIMS"),
        ast.Constant(None),
    )
    registered = {node.id for node in ast.walk(claims) if isinstance(node, ast.Name)}
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef) or node.name.startswith("_") or node.name in registered:
            continue
        if ">>>" not in (ast.get_docstring(node) or ""):
            yield node.name


def test_each_public_function_of_the_lean_rooms_has_an_example():
    lacking = [
        f"{name}:{function}"
        for name, path in python_files(PACKAGE).items()
        if name.removesuffix(".py").split("/")[0] in LEAN
        for function in without_example(path)
    ]
    assert lacking == []


@pytest.mark.parametrize("module", ["safedpo", "safedpo.lm", "safedpo.lm.sentences", "safedpo.evaluate"])
def test_type_checkers_see_the_names_that_are_imported_late(module):
    found = importlib.import_module(module)
    tree = ast.parse(Path(found.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    stated = {alias.name: node.module for node in block.body for alias in node.names}
    assert stated == {name: f"{module}.{home}" for name, home in found._HOME.items()}
