"""Everything on the page is moved, by mouse and by keyboard, and what is wrong is said."""

import math

import pytest

from tests.browser.playground.against_python import check_run
from tests.browser.playground.worlds import SIX, WORLDS, link, slow

pytestmark = pytest.mark.browser


def test_everything_is_moved_by_mouse(playground):
    playground.story(1)
    row = playground.row(4)
    slider = row.locator("input[type=range]").nth(1)
    box = slider.bounding_box()
    middle = box["y"] + box["height"] / 2
    page = playground.page
    page.mouse.move(box["x"] + 0.14 * box["width"], middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], middle, steps=5)
    page.mouse.up()
    moved = playground.state()["answers"][4]["reference"]
    assert 0.6 < moved < 0.8
    assert "sum to" in playground.notices() and "normalised" not in playground.notices()
    check_run(playground)
    row.locator(".bit").click()
    assert playground.state()["answers"][4]["unsafe"] is False and "safe" in row.locator(".bit").inner_text()
    check_run(playground)
    row.locator(".gone").click()
    assert len(playground.state()["answers"]) == 5
    page.locator("#add").click()
    page.keyboard.type("my answer")
    assert playground.state()["answers"][5]["text"] == "my answer"
    page.locator("#data-choice").select_option("drawn")
    page.locator("#compare-box").check()
    playground.play_until(40)
    check_run(playground)
    page.locator("#reset").click()
    assert playground.numbers()["step"] == 0


def test_everything_is_moved_by_keyboard(playground):
    page = playground.page
    page.locator("#stories button").nth(1).focus()
    page.keyboard.press("Enter")
    row = playground.row(0)
    for number, name, step in ((0, "reward", 0.1), (1, "reference", 0.01)):
        before = playground.state()["answers"][0][name]
        row.locator("input[type=range]").nth(number).focus()
        page.keyboard.press("ArrowRight")
        assert playground.state()["answers"][0][name] == pytest.approx(before + step)
    row.locator(".bit").focus()
    page.keyboard.press("Space")
    assert playground.state()["answers"][0]["unsafe"] is True
    for name in ("beta", "delta", "penalty", "lr", "noise"):
        before = playground.state()[name]
        page.locator(f"#{name}-slider").focus()
        page.keyboard.press("ArrowRight")
        assert playground.state()[name] > before, name
        field = page.locator(f"#{name}-field")
        field.fill("0,37")
        field.press("Tab")
        assert playground.state()[name] == 0.37, name
    check_run(playground)
    for _ in range(3):
        page.locator("#one-step").press("Enter")
    assert playground.numbers()["step"] == 3
    check_run(playground)
    page.locator("#add").focus()
    while page.locator("#add").is_enabled():
        page.locator("#add").press("Enter")
    assert len(playground.state()["answers"]) == 12
    for _ in range(10):
        page.locator(".gone").last.press("Enter")
    assert len(playground.state()["answers"]) == 2 and page.locator(".gone").first.is_disabled()
    check_run(playground)


@slow
def test_every_control_can_be_reached_by_the_tab_key(playground):
    page = playground.page
    expected = page.evaluate(
        "[...document.querySelectorAll('button, input, select, a[href]')]"
        ".filter(e => !e.disabled && e.offsetParent && !e.closest('dialog')).length"
    )
    seen = set()
    for _ in range(expected + 3):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("[...document.querySelectorAll('*')].indexOf(document.activeElement)"))
    assert len(seen) >= expected


@slow
def test_wrong_numbers_are_said(playground):
    field = playground.page.locator("#beta-field")
    field.fill("a lot")
    field.press("Tab")
    assert "needs a number; it stays at 0.5" in playground.notices() and field.input_value() == "0.5"
    field.fill("-3")
    field.press("Tab")
    assert "lies between 0.01 and 20; it was set to 0.01" in playground.notices()
    reference = playground.row(0).locator(".reference .number")
    reference.fill("7")
    reference.press("Tab")
    assert "it was set to 1" in playground.notices() and playground.state()["answers"][0]["reference"] == 1
    playground.open(link(WORLDS["all zero"]))
    assert "equally likely" in playground.notices()
    playground.open(link(WORLDS["not normalised"]))
    assert "sum to 1.703, so each is divided by 1.703" in playground.notices()
    playground.open(link(WORLDS["all unsafe"]))
    assert "drops every pair" in playground.notices() and "Infeasible" in playground.notices()
    playground.page.locator("#play").click()
    playground.settle()
    assert playground.numbers()["step"] == 0
    playground.open(link(SIX, loss="ipo", lr=1))
    assert "may overshoot" in playground.notices()
    playground.page.locator("#play").click()
    playground.page.wait_for_function("() => safedpoPlayground.numbers().divergedAt !== null")
    found = playground.numbers()
    assert (
        f"diverged at step {found['divergedAt']}" in playground.notices() and found["step"] == found["divergedAt"] - 1
    )
    assert all(one is None or math.isfinite(one) for one in found["logps"]["trained"])


@slow
def test_a_run_ends_at_the_last_step(playground):
    playground.open(link(SIX[:2], step=19_990))
    playground.page.locator("#play").click()
    playground.page.wait_for_function(
        "() => document.querySelector('#notices').textContent.includes('20000')", timeout=20_000
    )
    assert playground.numbers()["step"] == 20_000 and playground.page.locator("#play").inner_text() == "Play"


@slow
def test_words_do_not_start_the_training_again_and_numbers_do(playground):
    playground.open(link(SIX, step=7))
    playground.row(1).locator(".text").fill("another text")
    playground.page.locator("#prompt").fill("another prompt")
    playground.page.locator("#speed-field").fill("9")
    playground.page.locator("#speed-field").press("Tab")
    assert playground.numbers()["step"] == playground.state()["step"] == 7
    assert "(changed by you)" in playground.page.locator("#story").inner_text()
    playground.page.locator("#beta-slider").press("ArrowRight")
    assert playground.numbers()["step"] == 0
    playground.page.locator("#one-step").click()
    playground.page.locator("#reset").click()
    assert playground.numbers()["step"] == 0 and playground.state()["beta"] == 0.6


@slow
def test_a_loss_without_a_margin_says_so_and_its_cell_names_none(playground):
    playground.open(link(SIX, delta=5, compare="yes", loss="ipo", lr=0.02, step=20))
    assert (
        playground.page.locator("#delta-slider").is_disabled() and playground.page.locator("#compare-box").is_disabled()
    )
    assert "no margin" in playground.page.locator(".knob", has=playground.page.locator("#delta-slider")).inner_text()
    assert playground.numbers()["beside"] is None and playground.page.locator(".margin").count() == 0
    playground.page.locator("#cell").click()
    assert "delta" not in playground.page.locator("#dialog-text").input_value()
    check_run(playground)
