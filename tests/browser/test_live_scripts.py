"""The live page's modules against the Python that they repeat: scorer, sliders, random numbers, hidden characters."""

import json
import math

import pytest
import torch

from safedpo.cli.maintain.live_hazards import uniform_numbers
from safedpo.errors import visible
from safedpo.evaluate.generation import draw
from safedpo.household import find_request, lookalikes, requests, score
from safedpo.lm.blending.load import load_adapters
from safedpo.lm.models.adapters import add_lora
from safedpo.lm.models.tiny import tiny_model
from tests.browser.live_page import RESULTS, live_page, page_without_model

DELTAS = [0, 2, 5, 10, 20, 50]
ODD = [
    "",
    " \t\n",
    "Never mix bleach with vinegar. Mix bleach with vinegar!",
    "Use 2.5 bar.\x1cMix bleach\x85and vinegar\u2028now. \ufeffOk\u00a0. ?!..",
    "Don\u2019t do it. DON'T\u3000DO IT... \U0001f600 \U0001f600. na\u00efve \u0130stanbul \u03a3\u03a3 \u212a",
    "pour the water " * 5,
    "a\u0300 b c\u001f d. \ud7ff e\x0b\x0cf",
]


@pytest.fixture(scope="module")
def page(running, tmp_path_factory):
    with live_page(running, page_without_model(tmp_path_factory.mktemp("live"))) as shown:
        shown.open()
        yield shown


def stored_texts() -> list[tuple[str, str]]:
    """Every response that the results and the readings hold, with its prompt, once."""
    files = [*sorted(RESULTS.rglob("samples-*.jsonl")), RESULTS.parents[1] / "household" / "readings.jsonl"]
    rows = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    pairs = [json.loads(line) for line in (RESULTS.parents[1] / "household" / "test.jsonl").read_text().splitlines()]
    found = [(row["prompt"], row["response"]) for row in rows]
    return sorted({*found, *((row["prompt"], row[f"response_{side}"]) for row in pairs for side in (0, 1))})


def python_score(prompt: str, response: str) -> dict:
    """The score as the page's scorer gives it, its sentences as text (JavaScript counts some characters twice)."""
    found = score(prompt, response)
    findings = {
        name: [[one.request, one.part, response[one.start : one.end]] for one in getattr(found, name)]
        for name in ("helpful_parts", "hazards")
    }
    plain = {name: getattr(found, name) for name in ("unsafe", "helpfulness", "refusal", "gibberish")}
    return plain | findings


def page_scores(page, texts) -> list[dict]:
    return page.page.evaluate(
        """async ([address, texts]) => {
          const { makeScorer } = await import(`${address}/model/scorer.js`);
          const scorer = makeScorer(await (await fetch(`${address}/household.json`)).json());
          return texts.map(([prompt, response]) => {
            const { helpfulParts, hazards, ...rest } = scorer.score(prompt, response);
            const plain = (all) => all.map((one) => [one.request, one.part, response.slice(one.start, one.end)]);
            return { ...rest, helpful_parts: plain(helpfulParts), hazards: plain(hazards) };
          });
        }""",
        [page.address, texts],
    )


def check_scores(page, texts) -> None:
    for (prompt, response), found in zip(texts, page_scores(page, texts), strict=True):
        assert found == python_score(prompt, response), (prompt, response)


@pytest.mark.browser
def test_the_scorer_gives_pythons_scores(page):
    texts = stored_texts()
    assert len(texts) > 5000
    # A tenth of the stored responses here, all of them in the slow test; and every wording of hazards and refusals.
    asked = (*requests(), *lookalikes())
    known = [(r.prompts[0], w) for r in asked for part in (*r.helpful, *r.hazard) for w in part.wordings]
    odd = [(f"  {requests()[3].prompts[0].upper()}\u2003", text) for text in ODD]
    check_scores(page, [*texts[::10], *known, *odd])


@pytest.mark.browser
@pytest.mark.slow
def test_the_scorer_gives_pythons_scores_for_all_stored_responses(page):
    texts = stored_texts()
    for start in range(0, len(texts), 2000):
        check_scores(page, texts[start : start + 2000])


@pytest.mark.browser
def test_for_an_unknown_request_hazards_count_and_helpfulness_does_not(page):
    hazard = next(r for r in requests() if r.hazard).hazard[0].wordings[0]
    (found,) = page_scores(page, [("Write a sonnet.", hazard)])
    assert found["unsafe"] and found["helpfulness"] is None and found["helpful_parts"] == []
    with pytest.raises(Exception, match="no scorer for this prompt"):
        find_request("Write a sonnet.")


@pytest.mark.browser
def test_sliders_give_the_blends_weights_and_labels(page, tmp_path):
    for delta in DELTAS:
        add_lora(tiny_model(), seed=delta).save_pretrained(tmp_path / str(delta))
    blend = load_adapters(tiny_model(), {delta: tmp_path / str(delta) for delta in DELTAS})
    blend.beta = 2.0
    stops = page.module("page/settings.js", "marginStops", DELTAS)
    assert len(stops) == 51 and stops == sorted(set(stops)) and set(DELTAS) <= set(stops)
    for delta in stops:
        setting = blend.at(delta)
        expected = [setting.weights[stop] for stop in DELTAS]
        assert page.module("page/settings.js", "shares", delta, DELTAS) == pytest.approx(expected, abs=1e-12)
        assert page.module("page/settings.js", "label", delta, 1, DELTAS, 2) == setting.label
    for delta, x in ((10, 0), (10, 1), (0, 0.35), (50, 1.75), (5, 0.05)):
        label = page.module("page/settings.js", "label", delta, x, DELTAS, 2)
        assert label == blend.strength(x, delta).label
        weights = page.module("page/settings.js", "weightsAt", delta, x, DELTAS)
        assert weights == [x if stop == delta else 0 for stop in DELTAS]


@pytest.mark.browser
def test_a_blends_error_is_the_stored_one_of_its_neighbours(page):
    blends = json.loads((RESULTS / "blends.json").read_text())["blends"]
    for delta, named in ((7.1, (5, 10)), (1.4, (2,)), (30.2, (20,)), (10, ())):
        text = page.module("page/settings.js", "blendError", delta, DELTAS, blends)
        assert text.count("was left out") == len(named)
        for one in (one for one in blends if one["delta"] in named):
            assert f"Δ = {one['delta']:g} was left out" in text
            for metric in ("harm", "helpfulness"):
                values = one["minus_trained"][metric]
                for number in (round(values[name], 3) for name in ("value", "low", "high")):
                    shown = f"{number:.3g}".replace("-", "−").replace("e−0", "e-0")
                    assert shown in text, (shown, text)


@pytest.mark.browser
def test_random_numbers_and_draws_are_pythons(page):
    for seed in (0, 1, 7, 2**31, 2**32 - 1):
        found = page.page.evaluate(
            "([path, seed]) => import(path).then(({ uniform }) => { const next = uniform(seed); "
            "return Array.from({ length: 200 }, next); })",
            [f"{page.address}/model/sampling.js", seed],
        )
        assert found == uniform_numbers(seed, 200)
    # Not a poor generator: mean, variance and lag-one correlation of 10,000 numbers within 5 standard errors.
    numbers = torch.tensor(uniform_numbers(3, 10_000), dtype=torch.float64) - 0.5
    assert abs(numbers.mean()) < 5 / math.sqrt(12 * 10_000) and abs(numbers.var() * 12 - 1) < 0.05
    assert abs((numbers[1:] * numbers[:-1]).mean() * 12) < 5 / 100
    logits = torch.randn(40, 300, generator=torch.Generator().manual_seed(0)) * 3
    luck = torch.rand(40, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    picked = [
        page.module("model/sampling.js", "draw", row, number)
        for row, number in zip(logits.tolist(), luck.tolist(), strict=True)
    ]
    assert picked == draw(logits, luck).tolist()
    totals = [page.module("model/sampling.js", "logTotal", row) for row in logits.tolist()]
    assert totals == pytest.approx(logits.double().logsumexp(-1).tolist(), abs=1e-12)


@pytest.mark.browser
def test_hidden_characters_become_visible_as_in_python(page):
    for text in ("a\nb\tc\r\x1b[31m", "\u202eabc\u200b\ufeff", "\ue000 \U000e0001 \x7f\x9f", "Grüße 😀 \u2028\u2029"):
        assert page.module("page/view.js", "visible", text) == visible(text)


@pytest.mark.browser
def test_an_odd_fragment_changes_nothing(page):
    stops = page.module("page/settings.js", "marginStops", DELTAS)
    for odd in (
        "#delta=11",
        "#delta=NaN&strength=-1&seed=1.5",
        "#strength=1e9&seed=-1",
        "#seed=4294967296",
        "#x",
        "#delta=",
    ):
        assert page.module("page/settings.js", "fromFragment", odd, stops) == {}
    state = {"prompt": "a & b=#?\u00e4 <b>", "delta": 7.1, "strength": 1.25, "seed": 5}
    fragment = page.module("page/settings.js", "toFragment", state)
    assert page.module("page/settings.js", "fromFragment", fragment, stops) == state
