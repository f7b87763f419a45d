"""The shipped adapters and the shipped results belong together, or are refused with what differs."""

import json
import shutil
import sys

import pytest

from safedpo.errors import UserError
from safedpo.evaluate.results import stored_results
from safedpo.files import shipped
from tests.edited import edited, unsealed

HOME = shipped("data") / "results" / "household"


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A shipped data folder of one's own, to damage."""
    for part in ("household", "adapters/sweep"):
        shutil.copytree(shipped("data") / part, tmp_path / "data" / part)
    (tmp_path / "data" / "results" / "household").mkdir(parents=True)
    shutil.copy(HOME / "sweep.json", tmp_path / "data" / "results" / "household")
    for module in ("folder", "policies"):
        monkeypatch.setattr(sys.modules[f"safedpo.evaluate.results.{module}"], "shipped", lambda name: tmp_path / name)
    monkeypatch.setattr("safedpo.household.load", lambda part: tmp_path / "data" / "household" / f"{part}.jsonl")
    stored_results()  # whole so far
    return tmp_path / "data"


@pytest.mark.parametrize("part, says", [("train", "other data .*train.jsonl"), ("test", "other prompts .*test.jsonl")])
def test_results_of_other_data_are_refused(copied, part, says):
    file = copied / "household" / f"{part}.jsonl"
    file.write_text("\n".join(file.read_text(encoding="utf-8").splitlines()[1:]) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=says):
        stored_results()


def test_results_of_another_reference_are_refused(copied):
    file = copied / "adapters" / "sweep" / "delta-5" / "run.json"
    reference = unsealed(HOME / "sweep.json")["fingerprints"]["reference"]
    edited(file, fingerprints={"reference": "feedfacefeedface"})
    with pytest.raises(
        UserError, match=f"rests on the reference {reference}, that of the adapter in .*delta-5 is feed"
    ):
        stored_results()


@pytest.mark.parametrize(("setting", "other"), [("beta", 0.1), ("lora_r", 8), ("batch_size", 2), ("dtype", "float32")])
def test_results_of_other_settings_are_refused_with_the_difference(copied, setting, other):
    file = copied / "results" / "household" / "sweep.json"
    sweep = unsealed(file)
    sweep["settings"][setting] = other
    file.write_text(json.dumps(sweep))
    with pytest.raises(UserError, match=f"different settings: {setting} {other} there, .* here; restore"):
        stored_results()
