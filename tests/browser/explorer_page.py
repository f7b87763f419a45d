"""An explorer on a page, as a person uses it: every control is moved, and what is shown compared with the sweep."""

import math
import os
import re
from pathlib import Path

import pytest

from safedpo.errors import visible
from safedpo.files import shipped
from safedpo.show import tokens
from tests.browser.chromium import SliderOnPage, check_against
from tests.show.synthetic import point

SHIPPED = shipped("data") / "results" / "household" / "sweep.json"
needs_the_shipped_sweep = pytest.mark.skipif(
    not SHIPPED.exists(), reason=f"no {SHIPPED.name} in data/results/household"
)


def keep(page, name: str) -> None:
    """A screenshot, where a person asked for one: SAFEDPO_SCREENSHOTS names the folder."""
    if folder := os.environ.get("SAFEDPO_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png")


def text(shown: SliderOnPage, name: str) -> str:
    return shown.figure.locator(f"[data-part={name}]").text_content()


def check_texts(shown: SliderOnPage, content: dict, judge) -> None:
    """Responses, marks, tokens and their sum are those of the stop and the prompt that the controls show."""
    delta, pairs = map(float, shown.shown())
    prompt = int(shown.figure.locator("select").input_value())
    said, reference = (one["responses"][prompt] for one in (point(content, delta, pairs), content["reference"]))
    assert text(shown, "prompt") == visible(said["prompt"]) == visible(reference["prompt"])
    assert text(shown, "policy-name") == f"Δ = {delta:g}, after {pairs:g} pairs (safedpo, seed 0)"
    for side, one in (("policy", said), ("reference", reference)):
        assert text(shown, side) == visible(one["greedy"])
        marked = shown.figure.locator(f"[data-part={side}] mark").all_text_contents()
        found = judge(one["prompt"], one["greedy"]).hazards
        assert marked == [visible(one["greedy"][hazard.start : hazard.end]) for hazard in found]
    heat = shown.figure.locator(".token")
    assert [t.replace("↵\n", "\n") for t in heat.all_text_contents()] == [visible(piece) for piece in said["tokens"]]
    numbers = heat.evaluate_all("all => all.map(one => one.dataset.number)")
    assert numbers == [f"{ratio:+.3f}" for ratio in said["log_ratios"]]
    assert text(shown, "sum") == visible(
        repr(tokens(said["tokens"], said["log_ratios"], beta=content["settings"]["beta"]))
    )
    total = float(re.search(r"log-ratio (\S+) in all", text(shown, "sum").replace("−", "-"))[1])
    assert total == pytest.approx(math.fsum(map(float, numbers)), abs=0.0005 * len(numbers) + 0.006 * abs(total))


def move_everything(shown: SliderOnPage, figure, content: dict, judge) -> None:
    """Both sliders by keyboard and mouse, and the prompt by keyboard; everything shown follows."""
    shown.scroll_to()
    check_against(shown, figure)
    check_texts(shown, content, judge)
    for number in (0, 1):
        for move, by in ((shown.press, "ArrowLeft"), (shown.press, "ArrowRight"), (shown.drag, 0.0), (shown.drag, 0.9)):
            before = shown.places(), shown.sentence()
            move(by, number=number)
            assert shown.places()[number] != before[0][number] and shown.places()[1 - number] == before[0][1 - number]
            assert shown.sentence() != before[1]
            check_against(shown, figure)
            check_texts(shown, content, judge)
    shown.figure.locator("select").focus()
    for prompt in range(1, len(content["reference"]["responses"])):
        shown.page.keyboard.press("ArrowDown")
        shown.settle()
        assert shown.figure.locator("select").input_value() == str(prompt)
        check_texts(shown, content, judge)
