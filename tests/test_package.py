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
    "records/test_fuzz.py",
}
NOT_YET: set[str] = {
    "evaluate/stored.py",
    "evaluate/sweep_folder.py",
    "evaluate/sweep_points.py",
    "finite/newton.py",
    "finite/pair_table.py",
    "household/portable.py",
    "labs/lessons/finetuning.py",
    "labs/lessons/margins.py",
    "lm/models/download.py",
    "lm/models/fingerprint.py",
    "lm/models/gate/rules.py",
    "lm/models/loading.py",
    "lm/models/policies.py",
    "lm/models/presets.py",
    "lm/models/tiny.py",
    "lm/rows/masks.py",
    "lm/training/callbacks.py",
    "lm/training/on_disk/carry_out.py",
    "lm/training/on_disk/resume.py",
    "lm/training/on_disk/run_folder.py",
    "lm/training/settings.py",
    "lm/training/step_zero.py",
    "records/columns.py",
    "records/row.py",
    "show/pages/checked.py",
    "show/pages/foreign.py",
    "show/pages/live_model/engine.py",
    "show/pages/live_model/graph.py",
    "show/pages/live_model/graph_builder.py",
    "show/pages/live_model/parts.py",
    "show/pages/policy.py",
    "show/pages/prose.py",
    "show/pages/site.py",
}  # modules without a test file of their own; this set only shrinks
NO_EXAMPLE_YET: set[str] = {
    "finite/claims/claim.py:generator",
    "finite/claims/claim.py:largest",
    "finite/claims/claim.py:random_policies",
    "finite/claims/claim.py:relative",
    "finite/claims/loss.py:slope_at",
    "finite/claims/margin.py:force",
    "finite/claims/methods/constraints.py:limit_between",
    "finite/claims/methods/data.py:settings",
    "finite/claims/methods/data.py:slope_at",
    "finite/claims/methods/expected_cost.py:with_bits_as_cost",
    "finite/claims/noise.py:settings",
    "finite/claims/noise.py:trained_margins",
    "finite/claims/noise.py:true_groups",
    "finite/claims/noise.py:two_answers",
    "finite/claims/report.py:verify",
    "finite/claims/safedaa.py:margins",
    "finite/claims/training.py:distance_after_training",
    "finite/claims/training.py:infimum",
    "finite/claims/training.py:loss_above_infimum",
    "finite/claims/training.py:starts",
    "finite/claims/transform.py:law_under_modified_reward",
    "finite/claims/transform.py:random_pair_weight",
    "finite/claims/transform.py:table_of",
    "finite/fit.py:one_thread",
    "finite/methods/adversarial.py:apo",
    "finite/methods/adversarial.py:apo_optimum",
    "finite/methods/expected_cost/dual.py:check_limit",
    "finite/methods/expected_cost/dual.py:dual_curvature",
    "finite/methods/expected_cost/dual.py:dual_gradient",
    "finite/methods/expected_cost/dual.py:dual_value",
    "finite/methods/expected_cost/dual.py:largest_dual_curvature",
    "finite/methods/expected_cost/dual.py:least_cost",
    "finite/methods/expected_cost/dual.py:safe_rlhf_multiplier",
    "finite/methods/expected_cost/dual.py:safe_rlhf_policy",
    "finite/methods/expected_cost/each_prompt.py:repo",
    "finite/methods/expected_cost/each_prompt.py:repo_optimum",
    "finite/methods/expected_cost/exact_penalty.py:cs_rlhf",
    "finite/methods/expected_cost/exact_penalty.py:cs_rlhf_optimum",
    "finite/methods/expected_cost/lagrangian.py:c_dpo",
    "finite/methods/expected_cost/lagrangian.py:c_dpo_optimum",
    "finite/methods/expected_cost/lagrangian.py:policy_gradient",
    "finite/methods/expected_cost/lagrangian.py:safe_rlhf",
    "finite/methods/expected_cost/lagrangian.py:safe_rlhf_optimum",
    "finite/methods/expected_cost/one_shot.py:mocan",
    "finite/methods/expected_cost/one_shot.py:mocan_optimum",
    "finite/methods/expected_cost/one_shot.py:pecan",
    "finite/methods/expected_cost/one_shot.py:pecan_optimum",
    "finite/methods/expected_cost/safety_test.py:hc_rlhf",
    "finite/methods/learned.py:learned_cost",
    "finite/methods/learned.py:learned_world",
    "finite/methods/outcome.py:descend",
    "finite/methods/outcome.py:train",
    "finite/methods/pairwise/bregman.py:bso",
    "finite/methods/pairwise/categories.py:cat_dpo",
    "finite/methods/pairwise/orderings.py:delta_only",
    "finite/methods/pairwise/orderings.py:delta_only_optimum",
    "finite/methods/pairwise/orderings.py:dpo_harmless",
    "finite/methods/pairwise/orderings.py:dpo_harmless_optimum",
    "finite/methods/pairwise/orderings.py:dpo_helpful_optimum",
    "finite/methods/pairwise/orderings.py:dpo_safebetter",
    "finite/methods/pairwise/orderings.py:ordered",
    "finite/methods/pairwise/orderings.py:safe_optimum",
    "finite/methods/pairwise/orderings.py:t_only",
    "finite/methods/pairwise/reshaped.py:b_dpo",
    "finite/methods/pairwise/reshaped.py:b_dpo_optimum",
    "finite/methods/pairwise/reshaped.py:see_dpo",
    "finite/methods/pairwise/reshaped.py:see_dpo_optimum",
    "finite/methods/pairwise/robust.py:cdpo",
    "finite/methods/pairwise/robust.py:kldpo",
    "finite/methods/pairwise/robust.py:robust_dpo",
    "finite/methods/pairwise/robust.py:wdpo",
    "finite/methods/pairwise/targets.py:bfpo",
    "finite/methods/pairwise/targets.py:bfpo_optimum",
    "finite/methods/pairwise/targets.py:ipo",
    "finite/methods/pairwise/targets.py:ipo_optimum",
    "finite/methods/pairwise/winners.py:stable_po",
    "finite/methods/pairwise/winners.py:winner_loss",
    "finite/methods/two_stage.py:modpo",
    "finite/methods/two_stage.py:modpo_optimum",
    "finite/methods/two_stage.py:p_sacpo",
    "finite/methods/two_stage.py:p_sacpo_optimum",
    "finite/methods/two_stage.py:pd_dpo",
    "finite/methods/two_stage.py:pd_dpo_optimum",
    "finite/methods/two_stage.py:sacpo_optimum",
    "finite/newton.py:newton",
    "finite/pairs.py:concatenate",
    "finite/walker/duality.py:dual",
    "finite/walker/duality.py:every_policy",
    "finite/walker/duality.py:middle_limit",
    "finite/walker/duality.py:on_policy",
    "finite/walker/duality.py:own_price",
    "finite/walker/duality.py:policy_at",
    "finite/walker/duality.py:price",
    "finite/walker/duality.py:slater",
    "finite/walker/duality.py:small_steps",
    "finite/walker/duality.py:smooth",
    "finite/walker/objectives.py:bradley_terry",
    "finite/walker/objectives.py:intractable",
    "finite/walker/objectives.py:log_ratios",
    "finite/walker/objectives.py:pair_law",
    "finite/walker/objectives.py:right_bits",
    "finite/walker/objectives.py:sums",
    "finite/walker/objectives.py:surer",
    "finite/walker/objectives.py:swap",
    "finite/walker/objectives.py:tractable",
    "finite/walker/objectives.py:uu_free",
    "finite/walker/optima.py:bradley_terry",
    "finite/walker/optima.py:connected",
    "finite/walker/optima.py:endless_loss",
    "finite/walker/optima.py:ends",
    "finite/walker/optima.py:finite_delta",
    "finite/walker/optima.py:meets_safe",
    "finite/walker/optima.py:negative_delta",
    "finite/walker/optima.py:own_logits",
    "finite/walker/optima.py:pair_law",
    "finite/walker/optima.py:right_bits",
    "finite/walker/optima.py:slope",
    "finite/walker/optima.py:swap",
    "finite/walker/penalty.py:growing_penalty",
    "finite/walker/penalty.py:one_support",
    "finite/walker/penalty.py:right_bits",
    "finite/walker/penalty.py:safe_support",
    "finite/walker/premise.py:most_of",
    "lm/models/adapters.py:adapter_run",
    "lm/models/adapters.py:add_lora",
    "lm/models/adapters.py:load_adapter",
    "lm/models/adapters.py:refuse_changed",
    "lm/models/download.py:fetch_gguf",
    "lm/models/download.py:made_models",
    "lm/models/download.py:own_cache",
    "lm/models/dtype.py:bfloat16_instructions",
    "lm/models/gate/check.py:few_layers",
    "lm/models/gate/check.py:gate_prompts",
    "lm/models/gate/check.py:largest_difference",
    "lm/models/gate/rules.py:layer_list",
    "lm/models/gate/rules.py:wrong_turn_end",
    "lm/models/gguf.py:llama_tensors",
    "lm/models/gguf.py:read_gguf",
    "lm/models/load.py:model_path",
    "lm/models/loading.py:loading",
    "lm/models/loading.py:quiet",
    "lm/models/loading.py:read_model",
    "lm/models/memory.py:estimate_of",
    "lm/models/memory.py:kept_for_backward",
    "lm/models/memory.py:memory_estimate",
    "lm/models/memory.py:refuse_if_too_big",
    "lm/models/memory.py:shape_only",
    "lm/models/gate/outside.py:refuse_what_is_not_data",
    "lm/rows/attention.py:packed_attention",
    "lm/rows/fused.py:unfuse_lora",
    "lm/rows/logprobs.py:token_logps",
    "lm/rows/masks.py:attention_kind",
    "lm/rows/masks.py:row_masks",
    "lm/rows/packing.py:n_tokens",
    "lm/rows/packing.py:pack_examples",
    "lm/rows/packing.py:pack_items",
    "lm/rows/packing.py:pack_pairs",
    "lm/rows/tokens.py:prompt_token_ids",
    "lm/rows/tokens.py:tokenize_examples",
    "lm/rows/tokens.py:tokenize_response",
    "lm/rows/tokens.py:turn_end",
    "lm/rows/turns.py:resolve_template",
    "lm/rows/turns.py:template_date",
    "lm/rows/turns.py:written_response",
    "lm/rows/untrusted.py:time_limit",
    "lm/training/config.py:honoured_arguments",
    "lm/training/data.py:data_fingerprint",
    "lm/training/data.py:draw",
    "lm/training/data.py:records_of",
    "lm/training/data.py:usable",
    "lm/training/metrics.py:pair_columns",
    "lm/training/on_disk/carry_out.py:carry_out",
    "lm/training/on_disk/carry_out.py:resume_point",
    "lm/training/on_disk/carry_out.py:wait_for_all",
    "lm/training/on_disk/checkpoints.py:checkpoints",
    "lm/training/on_disk/checkpoints.py:clear",
    "lm/training/on_disk/checkpoints.py:last_good",
    "lm/training/on_disk/checkpoints.py:publish",
    "lm/training/on_disk/checkpoints.py:resume_from",
    "lm/training/on_disk/checkpoints.py:seal",
    "lm/training/on_disk/resume.py:is_trained",
    "lm/training/on_disk/resume.py:keep_pending",
    "lm/training/on_disk/resume.py:load_trained",
    "lm/training/on_disk/resume.py:refuse_damaged",
    "lm/training/on_disk/run_folder.py:about_run",
    "lm/training/on_disk/run_folder.py:claim",
    "lm/training/on_disk/run_folder.py:finish",
    "lm/training/on_disk/run_folder.py:held",
    "lm/training/on_disk/run_folder.py:note",
    "lm/training/on_disk/run_folder.py:read_log",
    "lm/training/on_disk/run_folder.py:versions",
    "lm/training/reference.py:reference_logps",
    "lm/training/run.py:sft",
    "lm/training/run.py:train",
    "lm/training/settings.py:check_machinery",
    "lm/training/settings.py:check_names",
    "lm/training/settings.py:check_own",
    "lm/training/settings.py:check_values",
    "lm/training/settings.py:checked_init",
    "lm/training/step_zero.py:check_step_zero",
    "records/columns.py:read_hub",
    "records/columns.py:read_parquet",
    "records/reading.py:counts_of",
}  # public functions without a doctest; this set only shrinks
LEAN = ("records", "transform", "losses", "finite", "lm")  # where each public function has an example
ENTRIES = 12
DATA_FOLDERS = {"household/texts/topics"}
NOT_YET_SMALL: dict[str, int] = {}  # folders with more entries


def python_files(root):
    """Files of a tree as text below it, without `__init__` and `__main__`."""
    return {
        path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*.py")) if not path.stem.startswith("__")
    }


def test_each_module_has_a_test_file_of_its_name():
    tests = {path.relative_to(ROOT / "tests").as_posix() for path in (ROOT / "tests").rglob("test_*.py")}
    assert set(TESTED_AS_ONE.values()) <= tests
    modules = [m for m in python_files(PACKAGE) if not any(m.startswith(f"{room}/") for room in TESTED_AS_ONE)]
    untested = {m for m in modules if f"{m.rpartition('/')[0]}/test_{Path(m).name}".lstrip("/") not in tests}
    assert untested == NOT_YET


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
        allowed = NOT_YET_SMALL.get(folder.relative_to(PACKAGE).as_posix(), ENTRIES)
        assert len(shown) <= allowed, f"{folder.relative_to(ROOT)} shows {len(shown)} entries: {', '.join(shown)}"


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
    lacking = {
        f"{name}:{function}"
        for name, path in python_files(PACKAGE).items()
        if name.removesuffix(".py").split("/")[0] in LEAN
        for function in without_example(path)
    }
    assert lacking == NO_EXAMPLE_YET


@pytest.mark.parametrize("module", ["safedpo", "safedpo.lm", "safedpo.lm.sentences", "safedpo.evaluate"])
def test_type_checkers_see_the_names_that_are_imported_late(module):
    found = importlib.import_module(module)
    tree = ast.parse(Path(found.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    stated = {alias.name: node.module for node in block.body for alias in node.names}
    assert stated == {name: f"{module}.{home}" for name, home in found._HOME.items()}
