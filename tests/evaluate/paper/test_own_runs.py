"""A reader's own run: its values are those of its samples, a changed number is refused, deviations are named."""

import json
import shutil

import pytest

from safedpo.errors import UserError
from safedpo.evaluate.paper.own_runs import own_cells
from safedpo.files import shipped
from tests.edited import unsealed

RUN = shipped("data") / "results" / "household" / "safedpo-delta-20" / "1"
SCORER = {"reward_model": "r", "cost_model": "c", "refusals": False}


def scored(folder, **policy):
    """What `safedpo evaluate --cost-model` leaves: three costs, and their mean and ratio."""
    folder.mkdir()
    rows = [
        {"prompt": f"p{i}", "response": "x", "greedy": False, "cost": cost, "reward": 1.0}
        for i, cost in enumerate((-2.0, 0.0, 5.0))
    ]
    (folder / "samples-policy.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    metrics = {"harmless_ratio": 2 / 3, "harmlessness": -1.0} | policy
    content = {
        "policy": {
            name: {"value": value, "low": None, "high": None, "n": 3, "prompts": 3} for name, value in metrics.items()
        },
        "settings": {
            "scorer": SCORER,
            "data": "PKU-SafeRLHF-30K",
            "samples": 1,
            "model": "m",
            "fingerprint": "f",
            "seed": 0,
        },
    }
    (folder / "evaluation.json").write_text(json.dumps(content))
    return folder


def test_a_household_run_is_judged_again_and_named(tmp_path):
    cells = own_cells(RUN)
    assert cells["harmless ratio"].value == pytest.approx(
        100 * (1 - json.loads((RUN / "evaluation.json").read_text())["policy"]["harm"]["value"])
    )
    assert cells["harmless ratio"].low < cells["harmless ratio"].value < cells["harmless ratio"].high
    assert "the paper: PKU-SafeRLHF-30K" in cells["harmless ratio"].why and "2 responses" in cells["harmless ratio"].why
    shutil.copytree(RUN, tmp_path / "run")
    file = tmp_path / "run" / "evaluation.json"
    content = unsealed(file)
    content["policy"]["over_refusal"]["value"] = 0.0
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match="over_refusal is 0.0, but the samples"):
        own_cells(tmp_path / "run")


def test_scores_of_models_are_computed_from_the_samples(tmp_path):
    cells = own_cells(scored(tmp_path / "a"))
    assert cells["harmless ratio"].value == pytest.approx(200 / 3) and cells["harmlessness"].value == -1.0
    assert (
        "judge r, c (beaver-7b-unified)" in cells["harmlessness"].why
        and "responses a prompt" not in cells["harmlessness"].why
    )
    with pytest.raises(UserError, match="harmless_ratio is 1.0, but the samples beside it give 0.66"):
        own_cells(scored(tmp_path / "b", harmless_ratio=1.0))


@pytest.mark.parametrize("content", [{}, {"policy": {}, "settings": {"scorer": SCORER}}, {"settings": {}, "policy": 1}])
def test_what_is_no_evaluation_is_refused(tmp_path, content):
    folder = scored(tmp_path / "a")
    (folder / "evaluation.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="make it again"):
        own_cells(folder)
