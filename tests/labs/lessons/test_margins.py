"""What notebook 08 says of seeds, margins and blends, against the stored points themselves."""

import itertools
import json

import pytest

from safedpo.evaluate.results import stored_results
from safedpo.files import shipped
from safedpo.labs.lessons.margins import (
    alone_by_beta,
    blend_lines,
    chance,
    divergences,
    lines,
    show_alone,
    show_means,
    show_refused,
    show_spreads,
    title,
    verdict,
    verdicts,
)


@pytest.fixture(scope="module")
def results():
    return stored_results()


@pytest.fixture(scope="module")
def raw():
    return json.loads((shipped("data") / "results" / "household" / "sweep.json").read_text(encoding="utf-8"))


def last_points(raw, rule, delta):
    return [run["points"][-1] for run in raw["runs"] if (run["rule"], run["delta"]) == (rule, delta)]


@pytest.mark.parametrize(("n", "m"), [(1, 1), (2, 1), (3, 3), (2, 4)])
def test_chance_is_the_share_of_all_deals(n, m):
    """Every deal of n + m different numbers into two groups, looked at one by one."""
    deals = list(itertools.combinations(range(n + m), n))
    apart = sum(verdict(these, [i for i in range(n + m) if i not in these]) != "overlap" for these in deals)
    assert chance(n, m) == pytest.approx(apart / len(deals))


def test_seeds_that_touch_overlap():
    assert verdict([0.1, 0.2], [0.2, 0.3]) == "overlap"
    assert verdict([0.3], [0.2, 0.1]) == "all higher"


def test_verdicts_are_those_of_the_points(results, raw):
    found = verdicts(results)
    assert {delta for _, _, delta in found} == {2.0, 5.0, 10.0, 20.0, 50.0}
    for (metric, pairs, delta), said in found.items():
        groups = [
            [
                p[metric]["value"]
                for run in raw["runs"]
                if (run["rule"], run["delta"]) == ("safedpo", d)
                for p in run["points"]
                if p["pairs"] == pairs
            ]
            for d in (delta, 0.0)
        ]
        below, above = max(groups[0]) < min(groups[1]), min(groups[0]) > max(groups[1])
        assert said == ("all lower" if below else "all higher" if above else "overlap")


def test_lines_are_mean_least_and_greatest_seed(results, raw):
    found = lines(results, {"SafeDPO": "safedpo", "margin alone": "helpful"}, [0.0, 10.0])
    assert set(found) == {"harm", "helpfulness", "over-refusal"}
    for rule, name in (("safedpo", "SafeDPO"), ("helpful", "margin alone")):
        for place, delta in enumerate((0.0, 10.0)):
            values = [point["harm"]["value"] for point in last_points(raw, rule, delta)]
            assert found["harm"][name][place] == pytest.approx((sum(values) / 3, min(values), max(values)))


def test_blends_stand_beside_the_policies_trained_there(results):
    panels = blend_lines(results)
    blends = results.blends["blends"]
    for metric, panel in panels.items():
        assert len(panel["trained"]) == len(panel["blend"]) == len(blends), metric
    one = blends[0]["metrics"]["over_refusal"]
    assert panels[title("over_refusal")]["blend"][0] == (one["value"], one["low"], one["high"])


def test_what_is_printed_is_what_was_measured(results, raw, capsys):
    show_means(results)
    printed = capsys.readouterr().out
    for delta in (0.0, 10.0):
        values = [point["harm"]["value"] for point in last_points(raw, "safedpo", delta)]
        assert f"Δ={delta:g} {sum(values) / len(values):.3f}" in printed
    assert f"(reference {raw['reference']['harm']['value']:.3f})" in printed
    show_spreads(results)
    spreads = {
        d: max(v) - min(v)
        for d in (0.0, 2.0, 5.0, 10.0, 20.0, 50.0)
        for v in [[p["harm"]["value"] for p in last_points(raw, "safedpo", d)]]
    }
    assert f"seeds {max(spreads.values()):.3f}" in next(
        line for line in capsys.readouterr().out.splitlines() if "harm" in line
    )


def test_a_bar_is_as_high_as_its_divergence():
    errors = {
        2: {"blend": 0.5, "below": 1.0, "above": 2.0, "reference": 3.0},
        5: {"blend": 0.1, "below": 4.0, "above": 0.2, "reference": 6.0},
    }
    drawn, said = divergences(errors)
    assert [list(bar.y) for bar in drawn.data] == [[0.5, 0.1], [1.0, 4.0], [2.0, 0.2], [3.0, 6.0]]
    assert drawn.layout.yaxis.range[1] > 6.0 and "Δ = 5: blend 0.1, reference 6" in said


def test_t_alone_at_each_beta_is_what_its_trial_found(capsys):
    home = shipped("data") / "results" / "household" / "trials" / "alone"
    kept = json.loads((home / "found.json").read_text(encoding="utf-8"))
    found = alone_by_beta()
    assert show_alone() == found and "β = 0.1 harm " in capsys.readouterr().out
    assert {f"beta-{beta:g}" for beta in found} == set(kept) and len(found) == 3
    for beta, one in found.items():
        assert {name: one[name]["value"] for name in ("harm", "helpfulness", "broken")} == kept[f"beta-{beta:g}"]


def test_refused_look_alikes_are_those_of_the_samples(capsys):
    results = stored_results()
    found = show_refused(results)
    assert list(found) == [
        "the reference",
        "the data",
        "the safe optimum",
        *(f"Δ = {delta:g}" for delta in results.deltas()),
    ]
    home = results.folder
    for name, files in (
        ("the reference", [home / "samples-reference.jsonl"]),
        ("Δ = 10", [home / "safedpo-delta-10" / seed / "samples-policy.jsonl" for seed in "012"]),
    ):
        rows = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
        own = [row["refusal"] for row in rows if row["topic"] == "lookalikes" and not row["greedy"]]
        assert found[name] == pytest.approx(sum(own) / len(own))
    assert found["the data"] == pytest.approx(0.4)
    shown = capsys.readouterr().out
    assert all(f"{share:.3f}" in shown for share in found.values())
