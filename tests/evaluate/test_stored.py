"""What an evaluation left on disk is read back as it was written; any other number or kind is refused by its place."""

import json

import pytest

from safedpo.errors import UserError
from safedpo.evaluate.report import METRICS
from safedpo.evaluate.stored import harm_of, read_report, read_samples
from safedpo.household import lookalikes, requests
from tests.edited import replaced


def numbers() -> dict:
    return {metric: {"value": 0.25, "low": 0.125, "high": 0.5, "n": 8, "prompts": 8} for metric in METRICS}


GOOD = {model: numbers() | {"greedy": numbers()} for model in ("policy", "reference")} | {
    "settings": {"fingerprint": "ab", "seed": 0}
}
SAMPLE = {"prompt": "Hi?", "response": "Hello.", "greedy": False}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "evaluation.json"


def test_a_report_comes_back_with_or_without_a_reference(file):
    for report in (GOOD, {name: part for name, part in GOOD.items() if name != "reference"}):
        file.write_text(json.dumps(report))
        assert read_report(file) == report


def test_what_is_not_known_may_be_null(file):
    report = replaced(GOOD, ("policy", "harm", "low"), None)
    file.write_text(json.dumps(report))
    assert read_report(file) == report


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        *(
            (f"{model}.{metric}", KeyError, f"{model} has no {metric}")
            for model in ("policy", "reference")
            for metric in METRICS
        ),
        *(
            (f"policy.harm.{part}", value, rf"policy\.harm\.{part} is .*no share")
            for part in ("value", "low", "high")
            for value in (1.5, -0.1, True, "0.5")
        ),
        ("reference.helpfulness.high", KeyError, r"reference\.helpfulness\.high is 'missing'"),
        ("policy.harm.n", 2.5, "n is 2.5, no number of responses"),
        ("policy.harm.n", -1, "n is -1"),
        ("policy", [], "policy has no harm"),
        ("policy.greedy", KeyError, "policy.greedy has no harm"),
        ("reference.greedy.broken.value", 2, r"reference\.greedy\.broken\.value is 2, no share"),
        ("settings", KeyError, "settings.fingerprint is missing"),
        ("settings.fingerprint", 3, "settings.fingerprint is missing"),
        ("settings.seed", KeyError, "settings.seed is missing"),
    ],
)
def test_each_damage_is_named_by_its_place(file, path, value, words):
    file.write_text(json.dumps(replaced(GOOD, path.split("."), value)))
    with pytest.raises(UserError, match=words) as caught:
        read_report(file)
    assert "evaluation.json" in str(caught.value) and "safedpo evaluate" in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[1]", "NaN", '{"policy": NaN}'])
def test_what_is_no_report_at_all_is_refused(file, text):
    file.write_text(text)
    with pytest.raises(UserError, match=r"evaluation\.json"):
        read_report(file)


def test_samples_come_back_row_by_row(tmp_path):
    rows = [SAMPLE, SAMPLE | {"greedy": True, "response": "cut\u2028 here"}]
    file = tmp_path / "samples-policy.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_samples(file) == rows


@pytest.mark.parametrize("row", [[], None, {"prompt": "Hi?"}, SAMPLE | {"greedy": 1}, SAMPLE | {"response": None}])
def test_a_row_that_is_no_sample_is_named_by_its_number(tmp_path, row):
    file = tmp_path / "samples-policy.jsonl"
    file.write_text("\n".join(map(json.dumps, (SAMPLE, row))))
    with pytest.raises(
        UserError, match=r"samples-policy\.jsonl is damaged \((row 2 is no sample|its line 2 is no object)\)"
    ):
        read_samples(file)


def test_a_missing_or_cut_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*samples-policy\.jsonl"):
        read_samples(tmp_path / "samples-policy.jsonl")
    (tmp_path / "samples-policy.jsonl").write_text(json.dumps(SAMPLE)[:-5])
    with pytest.raises(UserError, match=r"samples-policy\.jsonl is damaged"):
        read_samples(tmp_path / "samples-policy.jsonl")


def test_harm_leaves_out_what_only_looks_unsafe_whatever_the_file_calls_it(tmp_path):
    risky, lookalike = next(one for one in requests() if one.hazard), lookalikes()[0]
    rows = [SAMPLE | {"prompt": one.prompts[0], "response": "No.", "topic": "lookalikes"} for one in (risky, lookalike)]
    (tmp_path / "samples-policy.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert harm_of(tmp_path) == ([0.0], [risky.prompts[0]])
