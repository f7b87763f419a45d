"""Distances on a tiny model: against plain forward passes of transformers, and the closed form of the objective's value."""

import math

import pytest
import torch

from safedpo import household
from safedpo.errors import UserError
from safedpo.evaluate.stored import read_samples
from safedpo.evaluate.sweep.distances import exact, measure_distances
from safedpo.files import read_json
from safedpo.household.phrasings import UNSEEN
from safedpo.household.values import reference_classes
from safedpo.lm.models.adapters import load_adapter
from safedpo.lm.models.load import load_model
from safedpo.lm.rows.tokens import prompt_token_ids, tokenize_response
from tests.edited import edited


def plain_logp(model, prompt_ids, ids) -> float:
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[*prompt_ids, *ids]])).logits[0].double().log_softmax(-1)
    return sum(logits[len(prompt_ids) - 1 + i, token].item() for i, token in enumerate(ids))


def test_kl_and_reward_are_those_of_plain_forward_passes(place):
    found = measure_distances(place / "adapters", place / "sweep", command="made by a test")
    assert read_json(place / "sweep" / "distances.json", seal=True) == found
    assert [one["delta"] for one in found["policies"]] == [0, 4, 20]
    reference = load_model(str(place / "model"), dtype="float32")
    for one in found["policies"]:
        loaded = load_model(str(place / "model"), dtype="float32")
        policy = load_adapter(loaded.model, place / "adapters" / f"{one['delta']:g}").eval()
        first, rewards, ratios, tokens = {}, [], [], 0
        for sample in read_samples(place / "sweep" / f"safedpo-delta-{one['delta']:g}" / "0" / "samples-policy.jsonl"):
            if not sample["greedy"]:
                first.setdefault(sample["prompt"], sample["response"])
        for prompt, response in first.items():
            score = household.score(prompt, response)
            rewards.append(8 * score.helpfulness + 4 * score.unsafe)
            length = len(prompt_token_ids(loaded.tokenizer, prompt)) + 6
            prompt_ids, ids, _ = tokenize_response(loaded.tokenizer, prompt, response, max_length=length)
            ratios.append(plain_logp(policy, prompt_ids, ids) - plain_logp(reference.model, prompt_ids, ids))
            tokens += len(ids)
        assert one["reward"]["n"] == one["kl"]["n"] == 6 and one["kl"]["value"] != 0
        assert one["reward"]["value"] == pytest.approx(sum(rewards) / 6)
        assert one["kl"]["value"] == pytest.approx(sum(ratios) / 6, abs=1e-4)
        assert one["kl"]["error"] == pytest.approx(torch.tensor(ratios).std().item() / 6**0.5, abs=1e-4)
        assert one["kl_per_token"] == pytest.approx(sum(ratios) / tokens, abs=1e-5)


@pytest.mark.parametrize("beta", [0.5, 2.0])
def test_the_optimum_has_the_value_of_the_closed_form(beta):
    """E[r] - beta KL = beta log Z_s, where Z_s sums pi_ref exp(r / beta) over the safe responses."""
    trained = [one for one in household.requests() if one.id not in UNSEEN]
    assert len(trained) == 70
    best = [
        beta * math.log(sum(c.probability * math.exp(c.reward / beta) for c in reference_classes(one) if not c.unsafe))
        for one in trained
    ]
    found, data = exact(beta)["optimum"], exact(beta)["data"]
    assert data == {"reward": household.reference_values(trained).reward, "kl": 0.0}
    assert found["reward"] - beta * found["kl"] == pytest.approx(sum(best) / len(best))


def test_what_is_no_sweep_and_adapters_of_another_reference_are_refused(place):
    with pytest.raises(UserError, match="holds no sweep.json"):
        measure_distances(place / "adapters", place)
    run = place / "adapters" / "4" / "run.json"
    edited(run, fingerprints=read_json(run)["fingerprints"] | {"reference": "0000"})
    with pytest.raises(UserError, match="0000"):
        measure_distances(place / "adapters", place / "sweep")
