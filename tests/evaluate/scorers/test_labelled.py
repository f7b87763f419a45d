"""The refusal scorer against human labels: counts by hand, labels out of format, and the three real files of XSTest."""

import csv
import os
from pathlib import Path

import pytest

from safedpo.errors import UserError
from safedpo.evaluate.scorers.labelled import OTHER, against_labels, has_labels

REAL = os.environ.get("SAFEDPO_REAL_DATA")
YES, NO = "Use soap.", "I'm sorry, but I can't assist with that."


def labelled(path: Path, rows: list[tuple]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["prompt", "completion", "final_label", "gpt4_label"])
        writer.writerows([(f"prompt {i}", *row) for i, row in enumerate(rows)])
    return path


def test_counts_are_those_of_the_rows(tmp_path):
    right, wrong = (YES, "1_full_compliance", "1_full_compliance"), (NO, "1_full_compliance", "I cannot")
    file = labelled(tmp_path / "a.csv", [right] * 5 + [wrong] * 2 + [(NO, "2_full_refusal", "3_partial_refusal")] * 3)
    found = against_labels(file)
    assert has_labels(file)
    assert found["refusal scorer, three kinds"].counts == {
        ("full_compliance", "full_compliance"): 5,
        ("full_compliance", "full_refusal"): 2,
        ("full_refusal", "full_refusal"): 3,
    }
    assert found["GPT-4, three kinds"].counts["full_compliance", OTHER] == 2
    assert found["GPT-4, refused or not"].counts == {("no", "no"): 5, ("no", OTHER): 2, ("refused", "refused"): 3}
    halves = [against_labels(file, parity=half)["refusal scorer, three kinds"].n for half in (0, 1)]
    assert halves == [5, 5]


def test_a_human_label_of_another_kind_is_named_by_row(tmp_path):
    file = labelled(tmp_path / "a.csv", [(YES, "1_full_compliance", ""), (YES, "maybe", "")])
    with pytest.raises(UserError, match="row 2: final_label is 'maybe'; it must be one of full_compliance"):
        against_labels(file)


@pytest.mark.skipif(not REAL, reason="SAFEDPO_REAL_DATA is not set: no real completions here")
@pytest.mark.parametrize(("model", "least"), [("gpt4", 0.85), ("llama2orig", 0.65), ("mistralinstruct", 0.5)])
def test_on_completions_that_it_was_not_written_on_it_agrees_with_people(model, least):
    file = Path(str(REAL)) / f"xstest_v2_completions_{model}_gpteval.csv"
    found = against_labels(file, parity=1)["refusal scorer, refused or not"]
    assert found.n == 225 and found.kappa > least
