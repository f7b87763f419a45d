"""Before training the policy is its reference, so each loss has a value known by theorem; what differs is refused."""

import math

import pytest
import torch

from safedpo.errors import UserError
from safedpo.lm.models.adapters import add_lora
from safedpo.lm.models.tiny import tiny_model, tiny_tokenizer
from safedpo.lm.rows.tokens import tokenize_pairs
from safedpo.lm.training.config import SafeDPOConfig
from safedpo.lm.training.reference import reference_logps
from safedpo.lm.training.step_zero import check_step_zero
from safedpo.lm.training.trainer import SafeDPOTrainer


def trainer(records, folder, model=None, ref=None, *, tokens_of="safedpo", **how):
    pairs = tokenize_pairs(records, tiny_tokenizer(), rule=tokens_of).items
    config = SafeDPOConfig(str(folder), use_cpu=True, save_strategy="no", disable_tqdm=True, **how)
    ref = reference_logps(tiny_model(), pairs) if ref is None else ref(pairs)
    return SafeDPOTrainer(model or add_lora(tiny_model()), config, pairs, ref)


# The loss of a pair at m = 0, by hand; beta is 0.1.
AT_ZERO = {
    "dpo": math.log(2),
    "cdpo": math.log(2),
    "robust_dpo": math.log(2),
    "ipo": (1 / (2 * 0.1)) ** 2,
}


@pytest.mark.parametrize("loss", AT_ZERO)
def test_each_loss_begins_at_its_own_value(records, tmp_path, loss):
    found = check_step_zero(trainer(records, tmp_path, loss=loss, rule="helpful", tokens_of="helpful", beta=0.1))
    assert found["predicted"] == pytest.approx(AT_ZERO[loss], rel=1e-6)
    assert found["measured"] == pytest.approx(AT_ZERO[loss], rel=1e-4)


@pytest.mark.parametrize("kinds", [("SS",), ("SU",), ("SS", "US")])
def test_every_mix_of_groups_has_its_mean(records, tmp_path, kinds, capsys):
    """softplus(delta) for a safe-over-unsafe pair after T, log 2 for a pair of equal safety."""
    place = {"SS": 0, "SU": 1, "US": 2}
    chosen = [record for i, record in enumerate(records) if i % 4 in [place[kind] for kind in kinds]]
    found = check_step_zero(trainer(chosen, tmp_path, delta=3.0))
    values = [math.log(2) if kind == "SS" else math.log1p(math.exp(3.0)) for kind in kinds]
    assert found["measured"] == pytest.approx(sum(values) / len(values), abs=1e-4)
    assert f"over {len(chosen)} pairs" in capsys.readouterr().out


def test_an_adapter_that_is_not_zero_is_noticed(records, tmp_path):
    policy = add_lora(tiny_model())
    with torch.no_grad():
        for name, weight in policy.named_parameters():
            if "lora_B" in name:
                weight.normal_(generator=torch.Generator().manual_seed(0))
    with pytest.raises(UserError, match="not this policy's"):
        check_step_zero(trainer(records, tmp_path, policy))


def test_one_shifted_reference_value_is_noticed(records, tmp_path):
    def shifted(pairs):
        found = reference_logps(tiny_model(), pairs)
        found[0, 0] -= 5.0
        return found

    with pytest.raises(UserError, match="not this policy's"):
        check_step_zero(trainer(records, tmp_path, ref=shifted))
