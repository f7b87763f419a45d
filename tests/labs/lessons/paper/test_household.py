"""What the household sweep has for the tables beside its metrics."""

import json
import shutil

from safedpo.errors import UserError
from safedpo.files import shipped
from safedpo.labs.lessons.paper import household


def test_comparisons_are_of_the_stored_responses_and_every_pair_has_an_outcome():
    found = household.compared("helpful")
    assert found.won + found.lost + found.tied + found.inconsistent + found.undecided == found.pairs == 40
    assert found.first_place.value > 0.5


def test_settings_and_verdicts_stand_in_their_tables(monkeypatch):
    monkeypatch.setattr("safedpo.evaluate.paper.stored_runs.household_cells", lambda again: {})
    cells = household.all_household_cells(1)
    run = json.loads((shipped("data") / "adapters" / "sweep" / "delta-10" / "run.json").read_text())["settings"]
    names = {
        "beta": "beta",
        "delta": "delta",
        "learning rate": "learning_rate",
        "batch size": "per_device_train_batch_size",
    }
    for shown, name in names.items():  # what the trainer of one of its runs wrote down
        assert cells["table-4", "SafeDPO", shown].value == run[name]
    assert cells["table-12", "SafeDPO against SFT", "won"].value == household.compared("helpful").won
    assert all(cell.why for cell in cells.values())


def test_verdicts_are_a_parameter(tmp_path):
    shutil.copytree(shipped("data") / "verdicts" / "smollm2-pairs", tmp_path / "v")
    assert household.compared("helpful", tmp_path / "v") == household.compared("helpful")
    try:
        household.compared("helpful", tmp_path / "none")
    except UserError as error:
        assert "safedpo judge" in str(error)
    else:
        raise AssertionError("a folder without verdicts was read")
