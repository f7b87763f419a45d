"""The command line as a user meets it: exit codes, one clear message for a mistake, machine-readable results."""

import json
import subprocess
import sys

import pytest

from safedpo.cli.common import passed_on
from safedpo.errors import UserError
from safedpo.records import LabelNoise
from tests.records.row import GOOD
from tests.sparing import slow_but

COMMANDS = (
    "doctor",
    "verify",
    "data",
    "sft",
    "train",
    "generate",
    "evaluate",
    "sweep",
    "table",
    "score",
    "certify",
    "judge",
    "paper",
    "notebooks",
    "lab",
    "site",
)


@pytest.fixture
def mistake(safedpo):
    """Run a command that must end in one message and exit code 2: the message."""

    def run(*arguments):
        code, out, err = safedpo(*arguments)
        assert code == 2, out + err
        return err

    return run


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, safedpo):
    code, out, _ = safedpo(command, "--help")
    assert code == 0 and "Usage" in out and len(out.splitlines()) > 6


def test_data_counts_the_groups_and_writes_the_contracts_json(tmp_path, safedpo):
    swapped = GOOD | {"prompt": "Another?"}
    both_bad = GOOD | {"prompt": "Third?", "is_response_0_safe": False}
    kept = GOOD | {"prompt": "Fourth?", "better_response_id": 0}
    file = write_rows(tmp_path / "pairs.jsonl", [GOOD, swapped, both_bad, kept])
    code, out, _ = safedpo("data", file, "--json", tmp_path / "out.json")
    assert code == 0
    assert json.loads((tmp_path / "out.json").read_text()) == {
        "rows": 4,
        "SS": 0,
        "SU": 1,
        "US": 2,
        "UU": 1,
        "kept": 3,
        "swapped": 2,
        "dropped": 1,
        "labels": LabelNoise().to_json(),
        "problems": [],
    }
    assert "2 swapped, 1 dropped" in out


def test_data_names_bad_rows_and_exits_with_2(tmp_path, safedpo):
    file = write_rows(tmp_path / "pairs.jsonl", [GOOD, GOOD | {"prompt": ""}])
    code, printed, _ = safedpo("data", file, "--json", tmp_path / "out.json")
    assert code == 2 and "row 2: prompt is empty" in printed
    out = json.loads((tmp_path / "out.json").read_text())
    assert out["problems"] == [{"row": 2, "reason": "prompt is empty"}]
    assert out["kept"] + out["dropped"] == out["rows"] - len(out["problems"])


def test_mistakes_get_one_message(tmp_path, mistake):
    assert "nowhere.jsonl does not exist" in mistake("data", "nowhere.jsonl")
    good = write_rows(tmp_path / "good.jsonl", [GOOD])
    assert "cannot write" in mistake("data", good, "--json", tmp_path / "no" / "such" / "folder.json")
    run = ("train", "--output-dir", tmp_path / "run", "--data", good)
    assert "beta is 0.0" in mistake(*run, "--beta", "0")
    assert "delta is -1.0" in mistake(*run, "--delta", "-1")
    assert "label_smoothing_factor" in mistake(*run, "--label-smoothing-factor", "0.1")
    assert "unknown setting 'lerning_rate'" in mistake(*run, "--lerning-rate", "0.1")
    assert "known losses" in mistake(*run, "--loss", "dppo")
    assert "no recipe 'paper'" in mistake(*run, "--recipe", "paper")
    assert "presets are" in mistake(*run, "--model", "smollm3")
    assert "is not a folder" in mistake("evaluate", "--adapter", tmp_path / "nowhere")
    assert "a prompt is empty" in mistake("generate", " ")
    assert "no METHOD/SEED/evaluation.json" in mistake("table", tmp_path)
    assert "holds no notebooks" in mistake("site", "--out", tmp_path / "site", "--notebooks", tmp_path)
    assert "source" in mistake("notebooks", "check", "--folder", tmp_path)
    both_unsafe = write_rows(tmp_path / "uu.jsonl", [GOOD | {"is_response_0_safe": False}])
    assert "presets are" in mistake("train", "--output-dir", tmp_path / "run", "--data", both_unsafe, "--model", "x")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", slow_but(["data nowhere.jsonl"], ["data nowhere.jsonl", "doctor | head -1"]))
def test_no_traceback_reaches_a_shell(command):
    shell = f"{sys.executable} -c 'from safedpo.cli import main; main()' {command}"
    done = subprocess.run(shell, shell=True, capture_output=True, text=True)
    assert "Traceback" not in done.stderr and "Error" not in done.stderr


QUICK = ["--help", "train --help", "data nowhere.jsonl", "train --recipe x --output-dir y", "verify --worlds 0"]


def test_help_and_a_mistake_on_the_command_line_wait_for_no_large_library():
    """What takes seconds to import is imported when it is known to be needed; one process for all, since nothing is loaded."""
    code = f"""
import contextlib, io, sys
from safedpo.cli import main
for words in {QUICK}:
    sys.argv = ["safedpo", *words.split()]
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        main()
    print(words, *{{"torch", "transformers", "peft", "datasets", "plotly", "scipy"}} & set(sys.modules), sep="|")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == QUICK


def test_the_package_runs_as_a_module():
    done = subprocess.run([sys.executable, "-m", "safedpo", "verify", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "--worlds" in done.stdout


def test_settings_that_pass_through_keep_their_types():
    assert passed_on(["--warmup-steps", "0.05", "--optim", "adamw_torch", "--use-cpu"]) == {
        "warmup_steps": 0.05,
        "optim": "adamw_torch",
        "use_cpu": True,
    }
    assert passed_on(["--learning-rate=1e-4"]) == {"learning_rate": 1e-4}
    with pytest.raises(UserError, match="unexpected argument 'loose'"):
        passed_on(["loose"])


def test_verify_writes_its_ledger(tmp_path, safedpo):
    code, _, _ = safedpo("verify", "--worlds", 1, "--json", tmp_path / "ledger.json")
    rows = json.loads((tmp_path / "ledger.json").read_text())
    assert code == 0 and len(rows) >= 20
    assert set(rows[0]) == {"id", "statement", "source", "residual", "tolerance", "holds"}


def test_data_counts_contradictory_labels_and_skips_bad_rows_on_request(tmp_path, safedpo, mistake):
    against = GOOD | {"is_response_0_safe": False, "is_response_1_safe": True, "safer_response_id": 1}
    file = write_rows(tmp_path / "pairs[clean].jsonl", [GOOD, GOOD, against, GOOD | {"prompt": ""}])
    code, out, _ = safedpo("data", file, "--skip-bad-rows", "--json", tmp_path / "out.json")
    assert code == 0 and "row 4: prompt is empty" in out and "pairs[clean].jsonl" in "".join(out.split())
    assert "2 of 2 responses seen again carry both safety labels (100.0%), in 3 rows: kept as labelled" in out
    labels = json.loads((tmp_path / "out.json").read_text())["labels"]
    assert (labels["duplicates"], labels["contradictory"], labels["rate"]) == (1, 2, 1.0)
    code, out, _ = safedpo("data", file, "--skip-bad-rows", "--contradictions", "drop")
    assert code == 0 and "3 rows left out" in out
    assert "choose keep, drop or majority" in mistake("data", file, "--contradictions", "ignore")
