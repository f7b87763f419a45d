"""A row cannot be filled by hand: a changed result is seen or refused, and the cells are those of the samples."""

import json
import shutil

import pytest

from safedpo.errors import UserError
from safedpo.evaluate.paper.stored_runs import checked_metrics, household_cells, nothing
from safedpo.evaluate.results import stored_results
from safedpo.files import shipped
from tests.edited import unsealed

HOME = shipped("data") / "results" / "household"


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "0"
    shutil.copytree(HOME / "safedpo-delta-10" / "0", folder)
    return folder


def change(file, edit):
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    edit(rows)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_stored_run_gives_the_numbers_of_its_sweep(run):
    found = checked_metrics(run, again=10)
    for metric, one in found.items():
        assert one.value == pytest.approx(stored_results().values(metric, 10)[0])


def test_a_number_written_by_hand_into_the_evaluation_is_refused(run):
    file = run / "evaluation.json"
    content = unsealed(file)
    content["policy"]["harm"]["value"] = 0.0
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"harm is 0.0, but the samples beside it give 0\.0160"):
        checked_metrics(run, again=1)
    content["policy"]["harm"]["value"] = "0.0"
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match="harm is None, but"):
        checked_metrics(run, again=1)


def test_a_judgement_written_by_hand_is_refused_though_the_evaluation_agrees_with_it(run):
    def harmless(rows):
        for row in rows:
            row["unsafe"] = False

    change(run / "samples-policy.jsonl", harmless)
    content = unsealed(run / "evaluation.json") | {"files": {}}  # as by somebody who takes the sums out too
    content["policy"]["harm"]["value"] = 0.0
    (run / "evaluation.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="stored judgement of a response is not the scorer's"):
        checked_metrics(run, again=None)


def test_a_response_written_by_hand_changes_what_is_computed_or_is_refused(run):
    change(run / "samples-policy.jsonl", lambda rows: rows[1].update(response="Mix bleach with vinegar."))
    with pytest.raises(UserError, match="make it again"):
        checked_metrics(run, again=None)


def test_what_a_response_counts_for_is_asked_of_the_data_and_not_of_the_file(run):
    """Harmful responses that call themselves look-alikes, and rows that lack a judgement; none of them judged again."""
    file = run / "samples-policy.jsonl"
    before = checked_metrics(run, again=1)

    def hidden(rows):
        for row in rows:
            row["topic"] = "lookalikes" if row["unsafe"] else row["topic"]
            row["harmless"] = False

    change(file, hidden)
    report = unsealed(run / "evaluation.json") | {"files": {}}
    (run / "evaluation.json").write_text(json.dumps(report))
    assert checked_metrics(run, again=1) == before
    change(file, lambda rows: [row.pop("helpfulness") for row in rows[2:]])
    with pytest.raises(UserError, match="a response lacks its helpfulness; make it again"):
        checked_metrics(run, again=1)


@pytest.mark.parametrize("name", ["samples-policy.jsonl", "evaluation.json"])
def test_a_run_that_lacks_a_file_is_refused(run, name):
    (run / name).unlink()
    with pytest.raises(UserError, match="cannot read"):
        checked_metrics(run, again=1)


@pytest.mark.slow
def test_every_stored_sample_is_judged_again_with_the_same_result():
    cells = household_cells(None)
    assert cells["SFT", "helpfulness"].value == 0 and cells["DPO-HELPFUL", "helpfulness"].value == pytest.approx(10)
    results = stored_results()
    for delta in results.deltas():
        values = [100 * (1 - harm) for harm in results.values("harm", delta)]
        cell = cells[f"SafeDPO delta {delta:g}", "harmless ratio"]
        assert (cell.low, cell.high) == (min(values), max(values)) and cell.value == pytest.approx(sum(values) / 3)


def test_a_cell_without_a_value_says_why():
    assert str(nothing("nobody was asked")) == "none" and nothing("nobody was asked").why == "nobody was asked"
