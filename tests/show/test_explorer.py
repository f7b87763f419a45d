"""The explorer at every stop, against what it was given; other people's text in it; wrong input."""

import json
import math
import re
from html.parser import HTMLParser

import pytest
from synthetic import BUDGETS, DELTAS, HOSTILE, PROMPTS, SEEDS, parts

from safedpo.errors import UserError, visible
from safedpo.show import Said, explorer, tokens
from safedpo.show.style import number


@pytest.fixture(scope="module")
def made():
    return explorer(**parts())


def stored(figure) -> dict:
    """What stands in the page for explorer.js."""
    call = re.search(r'\(document\.getElementById\("x"\), (\{"prompts".*\})\);</script>$', figure.html("x"), re.DOTALL)
    return json.loads(call[1])


def test_every_stop_draws_every_seed_with_its_intervals(made):
    given, places = parts(), [(delta, pairs) for delta in DELTAS for pairs in BUDGETS]
    for flat, (delta, pairs) in enumerate(places):
        moved = dict(zip(made.frames.moved, made.frames.values[flat], strict=True))

        def drawn(trace, path, moved=moved):
            value = made.frames.data[trace]
            for key in path.split("."):
                value = value[key]
            return moved.get((trace, path), value)

        for group, other in enumerate(DELTAS):
            runs = given["measured"][other, pairs]
            # Two traces a group above (dots, legend), the reference first; one a group below.
            for trace, metric in ((2 * (group + 1), "helpfulness"), (2 * (len(DELTAS) + 1) + group + 1, "over_refusal")):
                assert drawn(trace, "x") == pytest.approx([run["harm"][0] for run in runs], rel=1e-6)
                assert drawn(trace, "y") == pytest.approx([run[metric][0] for run in runs], rel=1e-6)
                high = [run[metric][2] - run[metric][0] for run in runs]
                assert drawn(trace, "error_y.array") == pytest.approx(high, rel=1e-5)
                assert (drawn(trace, "marker.size") == 14) == (other == delta)
        runs = given["measured"][delta, pairs]
        mean = number(math.fsum(run["harm"][0] for run in runs) / SEEDS)
        assert f"Δ = {delta:g} after {pairs} pairs: harm {mean} (" in made.frames.sentences[flat]
        assert made.frames.sentences[flat].count(f"harm {number(given['reference']['harm'][0])}") == 1


def test_the_texts_are_whole_and_cut_at_the_unsafe_sentences(made):
    given, page = parts(), stored(made)
    places = [(delta, pairs) for delta in DELTAS for pairs in BUDGETS]
    for stop, at in zip(page["responses"], places, strict=True):
        for shown, said in zip(stop, given["said"][at], strict=True):
            assert "".join(text for text, _ in shown["text"]) == visible(said.text)
            unsafe = [text for text, bad in shown["text"] if bad]
            assert unsafe == [visible(said.text[start:end]) for start, end in said.unsafe]
            assert [piece for piece, _ in shown["tokens"]] == [visible(piece) for piece in said.pieces]
            written = [float(ratio) for _, ratio in shown["tokens"]]
            assert written == pytest.approx(list(said.log_ratios), abs=5e-4)
            total = f"log-ratio {number(math.fsum(said.log_ratios))} in all"
            assert total in shown["sum"] and f"reward {number(0.1 * math.fsum(said.log_ratios))} at" in shown["sum"]
    assert page["prompts"] == list(map(visible, PROMPTS))


def test_one_colour_scale_holds_nineteen_tokens_in_twenty(made):
    sizes = [abs(r) for said in parts()["said"].values() for one in said for r in one.log_ratios]
    within = sum(size <= stored(made)["scale"] for size in sizes) / len(sizes)
    assert within == pytest.approx(0.95, abs=0.005)


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
    plain = parts()
    quiet = [f"prompt {place}" for place in range(len(PROMPTS))]
    harmless = explorer(**plain | {
        "prompts": quiet, "reference_said": [Said("It said.")] * len(quiet),
        "said": {at: [Said("Said.", (), ["Said."], [1.0])] * len(quiet) for at in plain["said"]},
    })
    dirty, clean = Tags(made.html("x")), Tags(harmless.html("x"))
    assert dirty.tags == clean.tags and dirty.attributes == clean.attributes
    for text in HOSTILE.values():
        assert visible(text) in dirty.text


def test_tokens_in_a_notebook_make_hostile_text_visible():
    html = tokens(["\x1b[31m", "<img onerror=x>", "$x$"], [1.0, 1.0, 1.0], beta=1).html
    assert r">\x1b[31m</span>" in html and "&lt;img" in html and "\x1b" not in html
    assert 'class="safedpo-tokens mathjax_ignore tex2jax_ignore"' in html


def test_an_empty_response_says_so():
    given = parts()
    given["said"][0.0, 200][0] = Said("")
    shown = stored(explorer(**given))["responses"][0][0]
    assert shown == {"text": [], "tokens": [], "sum": "No tokens: the response is empty."}


def without(mapping: dict, key) -> dict:
    return {k: v for k, v in mapping.items() if k != key}


def broken(**changed):
    return lambda: explorer(**parts() | changed)


GIVEN, AT = parts(), (2.0, 400)


@pytest.mark.parametrize("draw, words", [
    (broken(measured={}), "at least one run"),
    (broken(prompts=[]), "at least one run and one prompt"),
    (broken(measured=without(GIVEN["measured"], AT)), "nothing is stored for Δ = 2 after 400 pairs.*unfinished"),
    (broken(measured=GIVEN["measured"] | {AT: []}), "nothing is stored for Δ = 2 after 400 pairs"),
    (broken(said=without(GIVEN["said"], AT)), "nothing is stored for Δ = 2 after 400 pairs"),
    (broken(said=GIVEN["said"] | {AT: [Said("one")]}), f"1 responses for {len(PROMPTS)} prompts at Δ = 2"),
    (broken(reference_said=[]), f"reference has 0 responses for {len(PROMPTS)}"),
    (broken(reference=without(GIVEN["reference"], "harm")), "harm was not measured"),
    (broken(reference=GIVEN["reference"] | {"over_refusal": (None, None, None)}), "over_refusal was not measured"),
    (broken(reference=GIVEN["reference"] | {"harm": (0.5, 0.6, 0.7)}), "outside its own interval"),
    (broken(reference_said=[Said("short", ((2, 9),))] * len(PROMPTS)), "from 2 to 9 in a response of 5"),
    (broken(reference_said=[Said("short", ((0, 3), (2, 4)))] * len(PROMPTS)), "from 2 to 4"),
    (broken(beta=0), "beta is 0"),
])
def test_wrong_input_raises(draw, words):
    with pytest.raises(UserError, match=words):
        draw()
