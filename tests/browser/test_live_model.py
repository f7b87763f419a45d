"""The live page with its model in a real browser: the same tokens and log-probabilities as Python, and what a reader does.

SAFEDPO_FULL=1 compares all 16 prompts at every trained margin and three blends; else each prompt at one of these nine.
"""

import json
import os
import sys

import pytest
import torch

from safedpo.files import shipped
from safedpo.household import score
from safedpo.lm.blending.load import load_adapters
from safedpo.lm.models.load import load_model
from safedpo.lm.rows.tokens import prompt_token_ids
from safedpo.lm.rows.untrusted import special_token_in
from tests.browser.live_page import ISOLATED, RESULTS, live_page, whole_page

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(7200)]
TRAINED = (0, 2, 5, 10, 20, 50)
BLENDS = ((1.4, 1), (7.1, 0.5), (21.9, 1.5))  # margin between two trained ones, strength
CLOSE = 1e-3  # nats, of a token's log-probability
MOST_FILES, MOST_TOKENS = 150e6, 64


@pytest.fixture(scope="module")
def folder():
    with whole_page() as assembled:
        yield assembled


@pytest.fixture(scope="module")
def page(running, folder):
    with live_page(running, folder, viewport={"width": 1000, "height": 900}) as shown:
        shown.open()
        shown.load()
        yield shown


@pytest.fixture(scope="module")
def python():
    """The reference in float32 with all adapters on it."""
    loaded = load_model("smollm2-135m-household", dtype="float32")
    adapters = shipped("data") / "adapters" / "sweep"
    return loaded, load_adapters(loaded, {delta: adapters / f"delta-{delta}" for delta in TRAINED})


def prompts() -> list[str]:
    return json.loads((RESULTS / "sweep.json").read_text(encoding="utf-8"))["shown_prompts"]


@torch.no_grad()
def greedy_logps(blend, weights, before, ids) -> tuple[list[int], list[float]]:
    """At each token of an answer: the most probable one given all before it, and log pi of the answer's own."""
    blend.set(weights)
    rows = torch.tensor([[*before, *ids]])
    logits = blend.model(input_ids=rows, use_cache=False, logits_to_keep=len(ids) + 1).logits[0, :-1].float()
    own = logits.log_softmax(-1).gather(1, torch.tensor(ids)[:, None])[:, 0]
    return logits.argmax(-1).tolist(), own.tolist()


def cases() -> list[tuple[str, float, float]]:
    settings = [(delta, 1) for delta in TRAINED] + list(BLENDS)
    if os.environ.get("SAFEDPO_FULL"):
        return [(prompt, *setting) for prompt in prompts() for setting in settings]
    return [(prompt, *settings[place % len(settings)]) for place, prompt in enumerate(prompts())]


def test_greedy_answers_and_log_probabilities_are_pythons(page, python):
    """Every token is Python's most probable one after the tokens before it: so the greedy answers are the same."""
    loaded, blend = python
    worst = tokens = 0
    for count, (prompt, delta, strength) in enumerate(cases()):
        page.move(delta, strength)
        page.ask(prompt)
        shown = page.tokens()
        ids, before = [one["id"] for one in shown], prompt_token_ids(loaded.tokenizer, prompt)
        setting = blend.at(delta)
        weights = {stop: strength * weight for stop, weight in setting.weights.items()}
        greedy, policy = greedy_logps(blend, weights, before, ids)
        _, reference = greedy_logps(blend, {}, before, ids)
        assert ids == greedy and (ids[-1] == loaded.tokenizer.eos_token_id or len(ids) == MOST_TOKENS), (prompt, delta)
        assert page.said("policy") == loaded.tokenizer.decode(ids, skip_special_tokens=True).strip()
        for name, expected in (("policy", policy), ("reference", reference)):
            gap = max(abs(one[name] - logp) for one, logp in zip(shown, expected, strict=True))
            assert gap < CLOSE, (prompt, delta, strength, name, gap)
            worst = max(worst, gap)
        tokens += len(ids)
        if os.environ.get("SAFEDPO_FULL"):
            print(f"{count + 1}: {prompt[:30]!r} delta {delta} x {strength}: {worst:.2e}", file=sys.stderr, flush=True)
    print(f"{len(cases())} answers, {tokens} tokens, largest difference {worst:.2e} nats")
    assert tokens > 10 * len(cases())


def test_the_tokenizer_is_pythons(page, python):
    loaded, _ = python
    rows = [json.loads(line) for line in (RESULTS / "samples-reference.jsonl").read_text("utf-8").splitlines()]
    odd = [
        "",
        " ",
        "a  b\n\n c",
        "1234567 ½ ² ٣",
        "naïve 😀 e\u0301",
        "<|im_end|> <repo_name>x<|im_start|>",
        "\x00\x1c\x85\ufeff'S don't",
    ]
    texts = [*odd, *{row["response"] for row in rows}][:600]
    found = page.page.evaluate(
        """async ([address, file, texts]) => {
          const { readGguf } = await import(`${address}/model/gguf.js`);
          const { makeTokenizer } = await import(`${address}/model/tokenizer.js`);
          const tokenizer = makeTokenizer(readGguf(await (await fetch(file)).arrayBuffer()).values);
          return texts.map((text) => {
            const ids = tokenizer.encode(text);
            return [ids, tokenizer.decode(ids), tokenizer.prompt(text), tokenizer.specialIn(text) ?? null];
          });
        }""",
        [page.address, json.loads(page._manifest())["files"]["model"]["path"], texts],
    )
    for text, (ids, decoded, prompt, special) in zip(texts, found, strict=True):
        expected = loaded.tokenizer(text, add_special_tokens=False)["input_ids"]
        assert ids == expected, text
        assert decoded == loaded.tokenizer.decode(
            expected, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        assert (special is None) == (special_token_in(loaded.tokenizer, text) is None), text
        assert special is None or special in text
        if special is None:  # otherwise both refuse
            assert prompt == list(prompt_token_ids(loaded.tokenizer, text))


def test_a_stored_hazard_vanishes_under_the_readers_hand(page):
    """By keyboard, from the table of hazards: at Δ = 0 the sampled answer is marked, at Δ = 10 it is not."""
    stored = json.loads((RESULTS / "live_hazards.json").read_text(encoding="utf-8"))
    found = [one for one in stored["prompts"] if one["seed"] is not None]
    assert len(stored["prompts"]) == 16 and sum(not one["after"]["unsafe"] for one in found) >= 10
    for one in found:
        assert [score(one["prompt"], one[when]["text"]).unsafe for when in ("before", "after")] == [
            one[when]["unsafe"] for when in ("before", "after")
        ]
    page.page.locator("#hazards summary").click()
    rows = page.page.locator("#hazards-rows tr")
    assert rows.count() == 16
    for one in found[1:3]:
        page.page.locator("#hazards-rows tr", has_text=one["prompt"]).get_by_role("button").focus()
        page.page.keyboard.press("Enter")
        page.page.locator("#answers[data-done='']").wait_for(state="attached")
        page.wait()
        assert page.said("policy") == one["before"]["text"]
        assert page.page.locator("#policy-said mark").count() == len(
            score(one["prompt"], one["before"]["text"]).hazards
        )
        page.page.locator("#delta").focus()
        for _ in range(30):
            page.page.keyboard.press("ArrowRight")
        page.page.locator("#answers[data-done='']").wait_for(state="attached")
        page.wait()
        assert page.page.locator("#delta-value").inner_text() == "10"
        assert page.said("policy") == one["after"]["text"] and page.page.locator("#policy-said mark").count() == 0
    page.page.locator("#hazards summary").click()
    page.page.locator("input[value=greedy]").check()
    page.wait()


def test_a_hostile_request_is_text(page):
    hostile = "<img src=x onerror=alert(1)><script>alert(2)</script> \u202e {{7*7}} how do I boil an egg?"
    page.ask(hostile)
    page.wait()
    assert page.page.locator("main img, main script, main iframe").count() == 0
    assert "helpfulness cannot be scored" in page.page.locator("#policy-score").inner_text().lower()
    page.page.goto("about:blank")
    page.open("#prompt=%3Cimg%20src%3Dx%20onerror%3Dalert(3)%3E&delta=%3Cb%3E")
    assert page.page.locator("#request").input_value() == "<img src=x onerror=alert(3)>"
    assert page.page.locator("main img").count() == 0
    page.load()  # from the browser's cache this time
    page.ask("word " * 400)
    page.page.locator("#problem:visible").wait_for()
    assert "shorten it to 256" in page.page.locator("#problem").inner_text()
    page.ask("hello <|im_end|> there")
    page.page.locator("#problem", has_text="special token <|im_end|>").wait_for()
    page.ask("   ")
    assert page.page.locator("#problem").inner_text() == "Write a request first."


def test_files_are_few_and_kept_and_a_changed_one_is_refused(running, folder):
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < MOST_FILES
    asked = []
    with live_page(running, folder, headers=ISOLATED) as shown:
        shown.page.on("request", lambda request: asked.append(request.url.removeprefix(shown.address)))
        shown.open()
        told = shown.load()
        assert float(told["gap"]) < CLOSE and int(told["threads"]) == min(4, os.cpu_count())
        assert any(url.endswith(".gguf") for url in asked)
        asked.clear()
        shown.open()
        shown.load()
        assert not any("weights/" in url or url.endswith((".onnx", ".packed")) for url in asked)
        shown.page.route("**/weights/adapter-delta-5.safetensors", lambda route: route.fulfill(body=b"x" * 2_496_632))
        shown.page.evaluate("caches.delete('safedpo-live-model')")
        shown.open()
        shown.page.locator("#load").click()
        shown.page.locator("#problem:visible").wait_for(timeout=60_000)
        assert "adapter-delta-5.safetensors is not the expected file" in shown.page.locator("#problem").inner_text()
