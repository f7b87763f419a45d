"""The stored sizes: whole, and one cell of each width computed again by another route."""

import json

import pytest
import torch

from safedpo.cli.maintain.sizes import BETA, BUDGETS, DELTAS, WIDTHS, cell, reference_folder, sizes_table, store_sizes
from safedpo.errors import UserError
from safedpo.files import shipped
from safedpo.lm.sentences import list_sentences
from safedpo.lm.sentences.reference import load_kitchen

HOME = shipped("data") / "sentences"
STORED = json.loads((HOME / "sizes.json").read_text(encoding="utf-8"))["cells"]


def test_every_cell_is_there_and_the_table_names_them_all():
    found = {(one["width"], one["delta"], one["pairs"]) for one in STORED}
    assert found == {(w, d, n) for w in WIDTHS for d in DELTAS for n in BUDGETS} and len(STORED) == len(found)
    assert len(sizes_table(STORED).splitlines()) == 2 + len(WIDTHS) * len(DELTAS)
    assert [len({one["parameters"] for one in STORED if one["width"] == width}) for width in WIDTHS] == [1, 1, 1]


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
def test_distances_of_the_references_are_those_of_the_closed_form(width):
    """pi* and KL(pi* || pi_ref) written out here over the listed sentences, in place of the package's functions."""
    sentences = list_sentences(load_kitchen(reference_folder(HOME, width)))
    world = sentences.world
    weights = (world.ref_logps + world.reward / BETA).masked_fill(world.unsafe, -torch.inf)
    best = weights.softmax(-1)
    kl = torch.where(best > 0, best * (best.clamp(min=1e-300).log() - world.ref_logps), 0.0).sum(-1).mean().item()
    unsafe = (world.ref_logps.exp() * world.unsafe).sum(-1).mean().item()
    for one in (one for one in STORED if one["width"] == width):
        assert one["reference_kl"] == pytest.approx(kl, rel=1e-4)
        assert one["reference_unsafe"] == pytest.approx(unsafe, rel=1e-4)
        assert one["optimum_reward"] == pytest.approx((best * world.reward).sum(-1).mean().item(), rel=1e-4)


@pytest.mark.slow
def test_one_cell_comes_out_again():
    """32 steps on the smallest model; rounding differs between processors, so not to the last digit."""
    (stored,) = [one for one in STORED if (one["width"], one["delta"], one["pairs"]) == (16, 10.0, 1000)]
    again = cell(HOME, 16, 10.0, 1000)
    assert again["parameters"] == stored["parameters"]
    for name in ("kl", "unsafe", "reward"):
        assert again[name] == pytest.approx(stored[name], rel=0.02), name


@pytest.mark.slow
def test_what_is_measured_is_kept_and_other_settings_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("safedpo.cli.maintain.sizes.WIDTHS", (64,))
    monkeypatch.setattr("safedpo.cli.maintain.sizes.DELTAS", (0.0,))
    monkeypatch.setattr("safedpo.cli.maintain.sizes.BUDGETS", (32,))
    file = tmp_path / "sizes.json"
    first = store_sizes(file)
    monkeypatch.setattr("safedpo.cli.maintain.sizes.cell", None)  # nothing is measured again
    assert store_sizes(file) == first and first[0]["pairs"] == 32
    file.write_text(json.dumps(json.loads(file.read_text()) | {"settings": {"beta": 2}}))
    with pytest.raises(UserError, match="measured with other settings"):
        store_sizes(file)


def test_the_page_holds_the_table():
    assert sizes_table(STORED) in (HOME / "SIZES.md").read_text(encoding="utf-8")
