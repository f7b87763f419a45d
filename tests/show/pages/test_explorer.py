"""The explorer at every stop, against the sweep it was given; other people's text in it; wrong input."""

import copy
import json
import math
import re
from html.parser import HTMLParser

import pytest

from safedpo import household
from safedpo.errors import UserError, visible
from safedpo.show import explorer, tokens
from safedpo.show.style import number
from tests.show.synthetic import BUDGETS, DELTAS, HOSTILE, PROMPTS, SEEDS, UNSAFE, point, score, sweep

GIVEN = sweep()
STOPS = [(delta, pairs) for delta in DELTAS for pairs in BUDGETS]


@pytest.fixture(scope="module")
def made():
    return explorer(GIVEN, score)


def stored(figure) -> dict:
    """What stands in the page for explorer.js."""
    call = re.search(r'\(document\.getElementById\("x"\), (\{"prompts".*\})\);</script>$', figure.html("x"), re.DOTALL)
    return json.loads(call[1])


def drawn(figure, stop: int, trace: int, path: str):
    """An attribute of a trace at a stop: what moved there, or else what stands still."""
    moved = dict(zip(figure.frames.moved, figure.frames.values[stop], strict=True))
    value = figure.frames.data[trace]
    for key in path.split("."):
        value = value[key]
    return moved.get((trace, path), value)


@pytest.mark.parametrize("stop", range(len(STOPS)))
def test_every_stop_draws_every_seed_of_every_margin_with_its_intervals(made, stop):
    delta, pairs = STOPS[stop]
    for group, other in enumerate(DELTAS):
        points = [point(GIVEN, other, pairs, seed) for seed in SEEDS]
        # Two traces a group above (dots, legend), the reference first; one a group below.
        above, below = 2 * (group + 1), 2 * (len(DELTAS) + 1) + group + 1
        for trace, metric in ((above, "helpfulness"), (below, "over_refusal")):
            for axis, name in (("x", "harm"), ("y", metric)):
                values = [one[name]["value"] for one in points]
                assert drawn(made, stop, trace, axis) == pytest.approx(values, rel=1e-6)
                for side, sign, path in (("high", 1, "array"), ("low", -1, "arrayminus")):
                    reach = [sign * (one[name][side] - one[name]["value"]) for one in points]
                    assert drawn(made, stop, trace, f"error_{axis}.{path}") == pytest.approx(reach, rel=1e-5)
            assert (drawn(made, stop, trace, "marker.size") == 14) == (other == delta)


@pytest.mark.parametrize("stop", range(len(STOPS)))
def test_the_sentence_has_the_means_the_ranges_and_the_reference(made, stop):
    delta, pairs = STOPS[stop]
    points, sentence = [point(GIVEN, delta, pairs, seed) for seed in SEEDS], made.sentence(*divmod(stop, len(BUDGETS)))
    assert sentence.startswith(f"Δ = {delta} after {pairs} pairs: ") and "of 3 seeds" in sentence
    policy, reference = sentence.split("The reference: ")
    for name in ("harm", "helpfulness", "over_refusal"):
        values = [one[name]["value"] for one in points]
        written = f"{number(math.fsum(values) / 3)} ({number(min(values))} to {number(max(values))})"
        assert f"{name.replace('_', '-')} {written}" in policy
        assert f"{name.replace('_', '-')} {number(GIVEN['reference'][name]['value'])}" in reference


def test_the_texts_are_whole_and_cut_at_the_unsafe_sentences(made):
    page = stored(made)
    assert page["prompts"] == list(map(visible, PROMPTS)) and page["runs"] == "safedpo, seed 0"
    for stop, at in zip(page["responses"], STOPS, strict=True):
        for shown, said in zip(stop, point(GIVEN, *at)["responses"], strict=True):
            assert "".join(text for text, _ in shown["text"]) == visible(said["greedy"])
            unsafe = said["greedy"][said["greedy"].index(UNSAFE) :] if UNSAFE in said["greedy"] else ""
            assert "".join(text for text, bad in shown["text"] if bad) == visible(unsafe)
            assert [piece for piece, _ in shown["tokens"]] == list(map(visible, said["tokens"]))
            assert [float(ratio) for _, ratio in shown["tokens"]] == pytest.approx(said["log_ratios"], abs=5e-4)
            total = math.fsum(said["log_ratios"])
            assert f"log-ratio {number(total)} in all, implicit reward {number(0.1 * total)} at" in shown["sum"]


def test_real_hazards_are_marked_by_the_household_scorer():
    request = next(one for one in household.requests() if one.hazard and len(one.helpful) > 1)
    parts = [request.helpful[0].wordings[0], request.hazard[0].wordings[0], request.helpful[1].wordings[0]]
    said = {"prompt": request.prompts[0], "greedy": " ".join(parts), "tokens": ["a"], "log_ratios": [1.0]}
    one = copy.deepcopy(GIVEN)
    for content in [one["reference"], *(p for run in one["runs"] for p in run["points"])]:
        content["responses"] = [said]
    (shown,) = stored(explorer(one, household.score))["reference"]
    assert [text.strip() for text, unsafe in shown["text"] if unsafe] == [parts[1].strip()]


def test_the_texts_of_another_seed_and_the_runs_of_another_rule():
    page = stored(explorer(GIVEN, score, seed=2))
    assert page["runs"] == "safedpo, seed 2" and "seed 2." in page["responses"][0][0]["text"][0][0]
    both = GIVEN | {"runs": GIVEN["runs"] + sweep("helpful")["runs"][:3]}  # the three seeds of one margin
    helpful = explorer(both, score, rule="helpful")
    assert helpful.stops[0].values == [0] and stored(helpful)["runs"] == "helpful, seed 0"
    assert explorer(both, score).frames == explorer(GIVEN, score).frames


def test_one_colour_scale_holds_nineteen_tokens_in_twenty(made):
    sizes = [abs(ratio) for at in STOPS for said in point(GIVEN, *at)["responses"] for ratio in said["log_ratios"]]
    scale = stored(made)["scale"]
    assert sum(size <= scale for size in sizes) / len(sizes) == pytest.approx(0.95, abs=0.005)


class Tags(HTMLParser):
    """Every element that a page would make, its attributes, and the text outside scripts."""

    def __init__(self, html: str):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_data(self, data):
        if self.tags[-1] not in ("script", "style"):
            self.text += data


def test_hostile_text_makes_no_element_and_no_attribute(made):
    harmless = copy.deepcopy(GIVEN)
    for content in [harmless["reference"], *(p for run in harmless["runs"] for p in run["points"])]:
        for place, said in enumerate(content["responses"]):
            said |= {"prompt": f"Prompt {place}", "greedy": "Said.", "tokens": ["Said."], "log_ratios": [1.0]}
    dirty, clean = Tags(made.html("x")), Tags(explorer(harmless, score).html("x"))
    assert dirty.tags == clean.tags and dirty.attributes == clean.attributes
    assert all(visible(text) in dirty.text for text in HOSTILE.values())


def test_tokens_in_a_notebook_make_hostile_text_visible():
    html = tokens(["\x1b[31m", "<img onerror=x>", "$x$"], [1.0, 1.0, 1.0], beta=1).html
    assert r">\x1b[31m</span>" in html and "&lt;img" in html and "\x1b" not in html
    assert 'class="safedpo-tokens mathjax_ignore tex2jax_ignore"' in html


def test_a_response_without_tokens_says_so():
    given = copy.deepcopy(GIVEN)
    point(given, 0, 200)["responses"][0] |= {"greedy": "", "tokens": [], "log_ratios": []}
    shown = stored(explorer(given, score))["responses"][0][0]
    assert shown == {"text": [], "tokens": [], "sum": "The tokens of this response were not stored."}


def test_a_margin_may_have_fewer_seeds_than_another():
    given = copy.deepcopy(GIVEN)
    given["runs"] = [
        run for run in given["runs"] if (run["delta"], run["seed"]) in {(d, 0) for d in DELTAS} | {(DELTAS[0], 2)}
    ]
    made, last = explorer(given, score), len(BUDGETS) - 1
    assert "of 2 seeds" in made.sentence(0, last) and "one seed" in made.sentence(1, last)
    two = [point(given, DELTAS[0], BUDGETS[-1], seed)["harm"]["value"] for seed in (0, 2)]
    assert drawn(made, len(BUDGETS) + last, 2, "x") == pytest.approx(
        two, rel=1e-6
    )  # also when another margin is chosen


def without_a_point(content: dict) -> None:
    content["runs"][1]["points"].pop()


def unmeasured(content: dict) -> None:
    content["runs"][0]["points"][0]["over_refusal"] = dict.fromkeys(("value", "low", "high"))


def upside_down(content: dict) -> None:
    content["reference"]["harm"] |= {"low": 0.9, "high": 1.0}


def no_runs(content: dict) -> None:
    content["runs"] = []


@pytest.mark.parametrize(
    "spoil, settings, words",
    [
        (no_runs, {}, r"no finished run under the rule 'safedpo'; there are \[\]"),
        (None, {"rule": "helpful"}, r"rule 'helpful'; there are \['safedpo'\]"),
        (None, {"seed": 7}, "12 of the sweep's points are missing, the first Δ = 0, seed 7 after 200 pairs"),
        (without_a_point, {}, "1 of the sweep's points are missing, the first Δ = 0, seed 1 after 600 pairs"),
        (unmeasured, {}, "over_refusal of some run has no value"),
        (upside_down, {}, "outside its own interval"),
    ],
)
def test_wrong_input_raises(spoil, settings, words):
    given = copy.deepcopy(GIVEN)
    if spoil:
        spoil(given)
    with pytest.raises(UserError, match=words):
        explorer(given, score, **settings)


def test_intervals_that_are_not_known_draw_dots_without_them():
    """A sweep on too few prompts stores null for low and high."""
    given = copy.deepcopy(GIVEN)
    for measured in [given["reference"], *(at for run in given["runs"] for at in run["points"])]:
        for metric in ("harm", "helpfulness", "over_refusal"):
            measured[metric] |= {"low": None, "high": None}
    figure = explorer(given, score)
    for stop in range(len(STOPS)):
        assert list(drawn(figure, stop, 2, "error_x.array")) == [None] * len(SEEDS)
        assert len(drawn(figure, stop, 2, "x")) == len(SEEDS)
    assert "NaN" not in figure.html("x")
