"""Blends measured beside trained policies, on a tiny model: against weights added by hand, and where nothing may differ."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from safedpo import household
from safedpo.errors import UserError
from safedpo.evaluate import Decoding, generate, judge, scorer_for
from safedpo.evaluate.sweep import blends
from safedpo.evaluate.sweep.blends import differences, measure_blends
from safedpo.files import read_json
from safedpo.lm.models.load import load_model
from safedpo.records import read_records
from tests.edited import edited


@pytest.fixture
def compared(monkeypatch):
    """What was compared: the samples of each blend and of the trained policy."""
    kept = []
    monkeypatch.setattr(
        blends, "differences", lambda these, those: kept.append((these, those)) or differences(these, those)
    )
    return kept


def measure(place, **changes):
    return measure_blends(place / "adapters", place / "sweep", **{"prompts": place / "test.jsonl"} | changes)


def by_hand(place, weights):
    """The reference with W + sum of w (alpha / r) B A written into its weights."""
    loaded = load_model(str(place / "model"), dtype="float32")
    layers = dict(loaded.model.named_modules())
    for delta, weight in weights.items():
        folder = place / "adapters" / delta
        config, tensors = (
            json.loads((folder / "adapter_config.json").read_text()),
            load_file(folder / "adapter_model.safetensors"),
        )
        for name, a in tensors.items():
            if name.endswith("lora_A.weight"):
                b = tensors[name.replace("lora_A", "lora_B")]
                layer = layers[name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")]
                layer.weight.data += weight * config["lora_alpha"] / config["r"] * (b @ a)
    return loaded


def test_a_blend_is_measured_as_the_weights_added_by_hand(place, compared):
    found = measure(place, command="python -m ...")
    assert read_json(place / "sweep/blends.json") == found
    (one,) = found["blends"]
    assert (found["command"], found["seed"], one["delta"]) == ("python -m ...", 0, 4.0)
    share = torch.log(torch.tensor(5.0)) / torch.log(torch.tensor(21.0))  # linear in log(1 + delta)
    assert one["weights"] == {"0": pytest.approx(1 - share.item()), "20": pytest.approx(share.item())}
    asked = [record.prompt for record in read_records(place / "test.jsonl").records]
    model = by_hand(place, one["weights"])
    said = judge(
        generate(
            model.model, model.tokenizer, asked, Decoding(samples=2, max_new_tokens=6, greedy=False), progress=False
        ),
        scorer_for(asked),
    )
    assert compared[0][0] == said.samples != tuple(compared[0][1])
    evaluation = json.loads((place / "sweep/safedpo-delta-4/0/evaluation.json").read_text())["policy"]
    for metric in ("harm", "helpfulness", "over_refusal", "broken"):
        assert one["metrics"][metric] == said.metrics[metric].to_json()
        gap = said.metrics[metric].value - evaluation[metric]["value"]
        assert one["minus_trained"][metric]["value"] == pytest.approx(gap)


@pytest.mark.slow
def test_neighbours_that_are_the_trained_policy_itself_make_no_difference(place, compared):
    """The margin in between on both sides: the blend is its policy, its samples are the stored ones."""
    for delta in (0, 20):
        settings = json.loads((place / f"adapters/{delta}/run.json").read_text())
        shutil.copytree(place / "adapters/4", place / f"adapters/{delta}", dirs_exist_ok=True)
        files = json.loads((place / "adapters/4/run.json").read_text())["files"]
        edited(place / f"adapters/{delta}/run.json", **settings | {"files": files})
    (one,) = measure(place)["blends"]
    ((these, those),) = compared
    assert list(these) == those and len(those) == 12
    bound = pytest.approx(1 - 0.025 ** (1 / 6))
    assert one["minus_trained"]["helpfulness"] == {
        "value": 0,
        "low": -one["minus_trained"]["helpfulness"]["high"],
        "high": bound,
        "n": 12,
        "prompts": 6,
    }


def test_what_cannot_be_compared_is_refused(place):
    with pytest.raises(UserError, match="holds no sweep.json"):
        measure_blends(place / "adapters", place)
    with pytest.raises(UserError, match="has the prompts .* give those of the sweep"):
        measure(place, prompts=household.load("test"))
    shutil.rmtree(place / "sweep/safedpo-delta-4")
    with pytest.raises(UserError, match="samples-policy.jsonl is missing.*safedpo-delta-4, seed 0"):
        measure(place)
    shutil.rmtree(place / "adapters/20")
    with pytest.raises(UserError, match="adapters of 2 margins and 1 seeds"):
        measure(place)
