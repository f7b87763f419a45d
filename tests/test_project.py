"""The set-up files agree with one another, and the promises of the Makefile hold."""

import ast
import json
import re
import tomllib
from importlib.metadata import distributions
from pathlib import Path
from statistics import fmean

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pins(name):
    lines = [line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    return {Requirement(line).name.lower().replace("_", "-"): Requirement(line) for line in lines if line}


def requirements():
    extras = PROJECT["optional-dependencies"]
    lines = [*PROJECT["dependencies"], *extras["lab"], *extras["dev"]]
    return [Requirement(line) for line in lines if not line.startswith("safedpo")]


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-colab.txt"])
def test_the_tested_sets_satisfy_the_bounds(name):
    """constraints.txt pins every requirement; Colab's set pins what Colab has, inside our bounds."""
    pinned = pins(name)
    for requirement in requirements():
        pin = pinned.get(requirement.name.lower())
        if pin is None:
            assert name == "constraints-colab.txt", f"{requirement.name} is not pinned in {name}"
            continue
        (exact,) = pin.specifier
        assert exact.operator == "==" and requirement.specifier.contains(Version(exact.version))


def test_the_conda_environment_is_pyproject():
    text = (ROOT / "environment.yml").read_text()
    python = re.search(r"- python(.*)", text).group(1)
    assert python == PROJECT["requires-python"]
    assert re.findall(r"^      - (.*)$", text, re.M) == ["-c constraints.txt", "-e .[lab]"]


def test_citation_and_package_have_one_version():
    import safedpo

    citation = (ROOT / "CITATION.cff").read_text()
    assert f'version: "{PROJECT["version"]}"' in citation and safedpo.__version__ == PROJECT["version"]
    assert "2505.20065" in citation


def test_the_readme_names_the_two_commands_and_every_room():
    readme = (ROOT / "README.md").read_text()
    assert "make lab" in readme and "make test" in readme
    inside = [p for p in (ROOT / "safedpo").iterdir() if not p.name.startswith("_")]
    for room in (p for p in inside if p.suffix == ".py" or (p / "__init__.py").exists()):
        assert room.name in readme, f"{room.name} is missing from the README's tree"


def test_the_readmes_table_is_what_the_command_prints():
    from safedpo.evaluate.table import markdown_table, read_rows
    from safedpo.household import optimal_values, requests

    rows, readme = read_rows(ROOT / "data" / "results" / "household"), (ROOT / "README.md").read_text()
    assert markdown_table(rows) in readme
    greedy = read_rows(ROOT / "data" / "results" / "household", greedy=True)
    assert markdown_table(greedy) in (ROOT / "data" / "results" / "household" / "README.md").read_text(encoding="utf-8")
    mean = {row.name: {name: f"{100 * fmean(values):.1f}" for name, values in row.values.items()} for row in greedy}
    for row, said in (
        ("reference", "{helpfulness} helpful and {broken} broken"),
        ("safedpo-delta-10", "{helpfulness} and {broken}"),
    ):
        assert said.format_map(mean[row]) in readme
    mean = {row.name: {name: f"{100 * fmean(values):.1f}" for name, values in row.values.items()} for row in rows}
    said = "{reference} already for the small reference, {safedpo-delta-10} at Δ = 10 and {safedpo-delta-50} at Δ = 50"
    assert said.format_map({name: values["broken"] for name, values in mean.items()}) in " ".join(readme.split())
    sweep = json.loads((ROOT / "data" / "results" / "household" / "sweep.json").read_text(encoding="utf-8"))
    best = optimal_values(requests(), beta=sweep["settings"]["beta"]).helpfulness
    assert f"has {100 * best:.1f} (β = {sweep['settings']['beta']:g};" in readme
    assert f"{sweep['settings']['budgets'][-1]:,} pairs, β = {sweep['settings']['beta']:g};" in readme


def test_the_data_stays_small_and_so_does_what_is_installed():
    assert sum(path.stat().st_size for path in (ROOT / "data").rglob("*") if path.is_file()) < 60e6


def test_no_module_outgrows_its_room():
    for path in (ROOT / "safedpo").rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 250, f"{path} is long: is there a second room inside?"


def test_no_function_outgrows_a_screen():
    """Forty lines of statements; signature and docstring do not count, for they are what a reader wants whole."""
    long = []
    for path in (ROOT / "safedpo").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) is not None else node.body
                if body and node.end_lineno - body[0].lineno + 1 > 40:
                    long.append(f"{path.name}: {node.name}")
    assert long == []


def test_the_other_pythons_run_tests_that_exist():
    from tests.pythons import TESTS

    assert [name for name in TESTS if not (ROOT / name).exists()] == []


def test_the_tested_set_can_be_installed_on_the_oldest_python_that_is_promised():
    """Debian 12 has Python 3.11.2; a pin that asks for 3.11.5 leaves its users without an installation."""
    oldest = PROJECT["requires-python"].removeprefix(">=") + ".0"
    here = {one.metadata["Name"].lower().replace("_", "-"): one for one in distributions()}
    asked = {name: here[name].metadata["Requires-Python"] or "" for name in pins("constraints.txt") if name in here}
    assert len(asked) > 50
    assert {name: needs for name, needs in asked.items() if oldest not in SpecifierSet(needs)} == {}


def test_no_text_waits_to_be_filled_in():
    texts = [*ROOT.glob("*.md"), *(ROOT / "data").rglob("*.md"), *(ROOT / "teaching").rglob("*.md")]
    texts += [*(ROOT / "notebooks" / "source").iterdir(), *(ROOT / "safedpo").rglob("*.md")]
    assert len(texts) > 30 and [text for text in texts if "@@" in text.read_text(encoding="utf-8")] == []
