"""What notebook 07 prints beside the package, against the records, samples and logs that it was given."""

import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from safedpo.evaluate.intervals import Interval
from safedpo.evaluate.results import stored_results
from safedpo.evaluate.table import markdown_table
from safedpo.files import shipped
from safedpo.household import find_request, lookalikes
from safedpo.labs.lessons.finetuning import (
    at_budget,
    kept_at,
    kept_of_update,
    late,
    metric_rows,
    pairs_seen,
    show_before_and_after,
    show_drawn,
    show_goals,
    show_help_by_kind,
    show_swapped_pair,
    show_table,
    step_zero,
    unplugged,
)
from safedpo.records import Record, Records


def record(prompt, unsafe, better):
    return Record(prompt, (f"{prompt}, first", f"{prompt}, second"), unsafe, better, 0, 1)


def sample(prompt, response, *, unsafe=False, greedy=True):
    return SimpleNamespace(prompt=prompt, response=response, unsafe=unsafe, greedy=greedy)


def test_the_swapped_pair_is_the_first_whose_better_response_alone_is_unsafe(capsys):
    rows = (record("safe", (False, True), 0), record("both", (True, True), 0), record("swap", (False, True), 1))
    show_swapped_pair(Records("here", (*rows, record("later", (True, False), 0)), ()))
    assert capsys.readouterr().out.splitlines() == [
        "swap",
        "  [safe] swap, first",
        "  [UNSAFE, preferred] swap, second",
    ]


def test_unsafe_responses_come_first_and_sampled_ones_not_at_all(capsys):
    before = [sample("a", "kind"), sample("b", "cruel", unsafe=True), sample("b", "drawn", greedy=False)]
    show_before_and_after(before, [sample("a", "kinder"), sample("b", "mild")], count=2)
    printed = capsys.readouterr().out
    assert printed.index("before: cruel") < printed.index("after:  mild") < printed.index("before: kind")
    assert "drawn" not in printed


def test_pairs_are_counted_over_the_whole_log():
    log = [{"SS/pairs": 2, "SU/pairs": 1}, {"SS/pairs": 1, "UU/pairs": 0}, {"train_loss": 1.0}]
    assert pairs_seen(log) == {"SS": 3, "SU": 1, "US": 0, "UU": 0}


def test_late_is_the_mean_of_the_rows_that_have_it():
    log = [{"loss": 100.0}, *({"loss": float(i)} for i in range(10)), {"loss": None, "SU/loss": 4.0}]
    assert late(log, ["loss", "SU/loss", "no such"], rows=5) == {"loss": 7.5, "SU/loss": 4.0}


def test_step_zero_is_what_the_run_noted(tmp_path):
    noted = {"predicted": 10.0, "measured": 10.1, "noise": 1e-5}
    (tmp_path / "run.json").write_text(json.dumps({"model": "tiny", "step_zero": noted}))
    assert step_zero(tmp_path) == noted


def test_metrics_without_responses_are_left_out():
    judged = {
        "policy": SimpleNamespace(
            metrics={"harm": Interval(0.2, 0.1, 0.3, 9, 9), "refusal": Interval(None, None, None, 0, 0)}
        )
    }
    assert metric_rows(judged) == {"policy": {"harm": (0.2, 0.1, 0.3)}}


def test_the_table_shown_is_that_of_the_results(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    show_table(stored_results())
    show_table(stored_results(), greedy=True)
    assert shown[0].data == markdown_table(stored_results().table())
    assert shown[1].data == markdown_table(stored_results().table(greedy=True)) != shown[0].data


def test_goals_that_are_reached_and_missed_are_called_so(capsys):
    values = {"harm": [0.0, 0.01], "helpfulness": [0.6, 0.68], "broken": [0.02, 0.08]}
    results = SimpleNamespace(values=lambda metric, delta: values[metric])
    for recipe, verdicts in (("long", ["reached", "missed", "missed"]), ("ten-minute", ["reached"] * 3)):
        assert show_goals(results, recipe) == {"harm": 0.005, "helpfulness": 0.64, "broken": 0.05}
        first, *rest = capsys.readouterr().out.splitlines()
        assert first == f"the {recipe} recipe:" and [line.rpartition(": ")[2] for line in rest] == verdicts


def test_help_by_kind_of_request_is_that_of_the_files():
    results = stored_results()
    for name, files in (
        ("reference", [results.folder / "samples-reference.jsonl"]),
        ("dpo-helpful", [results.folder / "dpo-helpful" / seed / "samples-policy.jsonl" for seed in "012"]),
    ):
        sums = {"harmless": [], "hazardous": [], "safe draws": []}
        for line in (line for file in files for line in file.read_text(encoding="utf-8").splitlines()):
            row = json.loads(line)
            request = find_request(row["prompt"])
            if row["greedy"] or request in lookalikes():
                continue
            sums["hazardous" if request.hazard else "harmless"].append(row["helpfulness"])
            if request.hazard and not row["unsafe"]:
                sums["safe draws"].append(row["helpfulness"])
        wanted = {kind: pytest.approx(sum(values) / len(values)) for kind, values in sums.items()}
        assert show_help_by_kind(results, (name,)) == {name: wanted}


@pytest.mark.parametrize("step", [1, 3])
def test_the_plug_is_pulled_after_the_step_named(step):
    callback, taken = unplugged(step), []
    with pytest.raises(KeyboardInterrupt):
        for number in range(1, 9):
            taken.append(number)
            callback.on_step_end(None, SimpleNamespace(global_step=number), None)
    assert taken[-1] == step


SHIPPED = shipped("data") / "adapters" / "sweep" / "delta-10" / "adapter_model.safetensors"


def test_the_share_that_a_rank_keeps_is_that_of_the_dense_update():
    """Against the singular values of B A itself, and against the distance of the truncated matrix."""
    weights = {name: value for name, value in load_file(SHIPPED).items() if ".layers.3." in name and "_proj" in name}
    kept = kept_of_update(weights)
    assert set(kept) == {f"{kind}_proj" for kind in ("q", "k", "v", "o", "gate", "up", "down")} | {"all layers"}
    parts, wholes = [torch.zeros(5).double() for _ in range(2)]
    for name, a in weights.items():
        if not name.endswith("lora_A.weight"):
            continue
        dense = weights[name.replace("lora_A", "lora_B")].double() @ a.double()
        u, s, v = torch.linalg.svd(dense, full_matrices=False)
        for rank in range(5):
            near = u[:, :rank] @ torch.diag(s[:rank]) @ v[:rank]
            share = 1 - ((dense - near).norm() / dense.norm()).square()
            assert kept[name.split(".")[-3]][rank] == pytest.approx(share.item(), abs=1e-9)
            parts[rank] += near.norm().square()
            wholes[rank] += dense.norm().square()
    assert kept["all layers"] == pytest.approx((parts / wholes).tolist(), abs=1e-9)


def test_every_stop_of_the_rank_shows_its_bars_and_says_their_numbers():
    kept = kept_of_update(load_file(SHIPPED))
    for rank in range(5):
        drawn, sentence = kept_at(kept, rank)
        assert list(drawn.data[0].y) == [one[rank] for one in kept.values()] and drawn.layout.yaxis.range == (0, 1.12)
        assert sentence.startswith(f"Rank {rank} of 4 keeps {100 * kept['all layers'][rank]:.1f} % of the update; ")
    values = list(kept["all layers"])
    assert values[0] == 0 and values[-1] == pytest.approx(1) and values == sorted(values)


def test_every_stop_of_the_budget_has_the_stored_seeds():
    raw = json.loads((shipped("data") / "results" / "household" / "sweep.json").read_text(encoding="utf-8"))
    results = stored_results()
    for place, pairs in enumerate(results.budgets):
        rows = at_budget(results, pairs)
        for name, rule, delta in (
            ("plain DPO", "helpful", 0),
            ("T alone, Δ = 0", "safedpo", 0),
            ("SafeDPO, Δ = 10", "safedpo", 10),
        ):
            seeds = [run["points"][place] for run in raw["runs"] if (run["rule"], run["delta"]) == (rule, delta)]
            assert len(seeds) == 3 and all(one["pairs"] == pairs for one in seeds)
            values = [one["over_refusal"]["value"] for one in seeds]
            assert rows[name]["over-refusal"] == pytest.approx((sum(values) / 3, min(values), max(values)))


def test_drawn_responses_are_printed_as_they_are_stored_with_the_scorers_marks(capsys):
    results = stored_results()
    assert show_drawn(results) == 20
    printed = capsys.readouterr().out
    blocks = [block.splitlines() for block in printed.strip().split("\n\n")]
    assert len(blocks) == len({block[0] for block in blocks}) == 20
    for name, file in (
        ("reference", results.folder / "samples-reference.jsonl"),
        ("Δ = 10", results.folder / "safedpo-delta-10" / "0" / "samples-policy.jsonl"),
    ):
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        for prompt, *lines in blocks:
            row = next(one for one in rows if one["prompt"] == prompt and not one["greedy"])
            line = next(one for one in lines if one.lstrip().startswith(f"{name}:"))
            said, _, marks = line.partition(f"{name}:")[2].strip().partition("  [")
            assert said == row["response"].replace("\n", r" \n ") and ("unsafe" in marks) == row["unsafe"]
            assert ("broken" in marks) == (row["broken"] > 0)
