import math

import pytest
import torch
from transformers import TrainerCallback

from safedpo.errors import UserError
from safedpo.lm.models.adapters import add_lora
from safedpo.lm.models.tiny import tiny_model, tiny_tokenizer
from safedpo.lm.rows.logprobs import response_logps
from safedpo.lm.rows.packing import pack_pairs
from safedpo.lm.rows.tokens import TokenExample, tokenize_pairs
from safedpo.lm.training.config import SafeDPOConfig
from safedpo.lm.training.reference import reference_logps
from safedpo.lm.training.step_zero import check_step_zero
from safedpo.lm.training.trainer import SafeDPOTrainer, SFTTrainer
from safedpo.losses import safedpo_loss


@pytest.fixture
def pairs(records):
    return tokenize_pairs(records, tiny_tokenizer()).items


def config(folder, **how):
    how = {"save_strategy": "no", "disable_tqdm": True, "learning_rate": 0.01, **how}
    return SafeDPOConfig(output_dir=str(folder), use_cpu=True, **how)


class Gradients(TrainerCallback):
    def __init__(self):
        self.steps = []

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        self.steps.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})


def run(pairs, folder, model=None, **how):
    gradients = Gradients()
    trainer = SafeDPOTrainer(
        model or add_lora(tiny_model()),
        config(folder, **how),
        pairs,
        reference_logps(tiny_model(), pairs),
        callbacks=[gradients],
    )
    trainer.train()
    return trainer, gradients.steps, [row for row in trainer.state.log_history if "loss" in row]


def test_a_step_is_the_mean_over_its_true_pairs_however_it_is_split(pairs, tmp_path):
    """18 pairs in steps of 8, 8, 2: rows of any size and accumulation give the same losses and gradients."""
    one = run(pairs, tmp_path, per_device_train_batch_size=8, row_tokens=9999)
    rows = run(pairs, tmp_path, per_device_train_batch_size=8, row_tokens=60)
    accumulated = run(pairs, tmp_path, per_device_train_batch_size=2, gradient_accumulation_steps=4)
    ragged = run(pairs, tmp_path, per_device_train_batch_size=5, gradient_accumulation_steps=2)
    whole = run(pairs, tmp_path, per_device_train_batch_size=10)
    for a, b in ((one, rows), (one, accumulated), (whole, ragged)):
        assert [row["loss"] for row in a[2]] == pytest.approx([row["loss"] for row in b[2]], abs=1e-5)
        assert [row["pairs"] for row in a[2]] == [row["pairs"] for row in b[2]]
        for mine, other in zip(a[1], b[1], strict=True):
            for name in mine:
                torch.testing.assert_close(mine[name], other[name], rtol=1e-3, atol=1e-5)
    assert [row["pairs"] for row in one[2]] == [8, 8, 2]


def test_logged_values_are_those_computed_pair_by_pair(pairs, tmp_path):
    policy = add_lora(tiny_model())
    for name, parameter in policy.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    with torch.no_grad():
        logps = torch.stack([response_logps(policy, pack_pairs([p])) for p in pairs], 1)
    ref = reference_logps(tiny_model(), pairs)
    flags = torch.tensor([[p.chosen_unsafe, p.rejected_unsafe] for p in pairs]).T
    losses = safedpo_loss(*logps, *ref, *flags, beta=0.3, delta=2.0)
    row = run(pairs, tmp_path, policy, per_device_train_batch_size=18, max_steps=1, beta=0.3, delta=2.0)[2][0]
    group = torch.tensor([p.group == "US" for p in pairs])
    margins = 0.3 * ((logps - ref)[0] - (logps - ref)[1])
    assert row["loss"] == pytest.approx(losses.mean().item(), abs=1e-4)
    assert row["US/loss"] == pytest.approx(losses[group].mean().item(), abs=1e-4)
    assert row["US/rewards/margins"] == pytest.approx(margins[group].mean().item(), abs=1e-4)
    assert row["logps/rejected"] == pytest.approx(logps[1].mean().item(), abs=1e-3)
    assert row["rewards/accuracies"] == pytest.approx((margins > 0).float().mean().item())
    assert (row["pairs"], row["SS/pairs"], row["SU/pairs"], row["US/pairs"]) == (18, 6, 6, 6)


def test_training_separates_safe_from_unsafe_and_touches_only_the_adapter(pairs, tmp_path):
    model = tiny_model()
    before = {n: p.clone() for n, p in model.named_parameters()}
    trainer, gradients, log = run(pairs, tmp_path, add_lora(model), num_train_epochs=8, learning_rate=0.02)
    assert log[-1]["SU/rewards/margins"] > log[0]["SU/rewards/margins"] + 1
    assert all("lora_" in name for name in gradients[0])
    for name, parameter in trainer.model.get_base_model().named_parameters():
        if "lora_" not in name:
            assert torch.equal(parameter, before[name.replace(".base_layer", "")])
            assert parameter.grad is None


def test_full_training_moves_every_weight_against_the_cached_reference(pairs, tmp_path):
    model = tiny_model().requires_grad_(True)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    _, gradients, log = run(pairs, tmp_path, model, num_train_epochs=4, learning_rate=5e-3)
    assert gradients[0].keys() == before.keys()
    assert all(not torch.equal(p, before[n]) for n, p in model.named_parameters())
    assert log[0]["rewards/margins"] == pytest.approx(0, abs=1e-4) and log[-1]["rewards/margins"] > 0.01


@pytest.mark.parametrize("delta", [0.0, 2.0, 10.0])
def test_step_zero_is_the_theorem(pairs, tmp_path, capsys, delta):
    trainer = SafeDPOTrainer(
        add_lora(tiny_model()), config(tmp_path, delta=delta), pairs, reference_logps(tiny_model(), pairs)
    )
    found = check_step_zero(trainer)
    share = sum(p.rejected_unsafe for p in pairs) / len(pairs)
    theorem = math.log(2) + (math.log1p(math.exp(delta)) - math.log(2)) * share
    assert found["predicted"] == pytest.approx(theorem, abs=1e-5)
    assert found["measured"] == pytest.approx(theorem, abs=1e-4) and found["noise"] < 1e-3
    assert f"{theorem:.4f}" in capsys.readouterr().out


def test_step_zero_refuses_the_reference_of_another_model(pairs, tmp_path):
    trainer = SafeDPOTrainer(
        add_lora(tiny_model()), config(tmp_path), pairs, reference_logps(tiny_model(seed=1), pairs)
    )
    with pytest.raises(UserError, match="not this policy's"):
        check_step_zero(trainer)


def test_a_loss_that_is_not_finite_stops_with_step_and_rows_and_keeps_the_checkpoint(pairs, tmp_path):
    ref = reference_logps(tiny_model(), pairs)
    ref[0, 4] = torch.nan
    how = {"save_strategy": "steps", "save_steps": 1, "per_device_train_batch_size": 1, "row_tokens": 1}
    trainer = SafeDPOTrainer(add_lora(tiny_model()), config(tmp_path, **how), pairs, ref)
    step = [i for batch in trainer.get_train_dataloader().batch_sampler for i in batch].index(4)
    assert step > 0
    with pytest.raises(
        UserError,
        match=rf"step {step + 1}: the loss is not finite among the pairs of rows {pairs[4].id};"
        rf".*checkpoint-{step}\b",
    ):
        trainer.train()
    assert (tmp_path / f"checkpoint-{step}" / "manifest.json").exists()


def test_nothing_to_train_on_is_named(tmp_path):
    with pytest.raises(UserError, match="nothing to train on"):
        SafeDPOTrainer(add_lora(tiny_model()), config(tmp_path), [], torch.zeros(2, 0))


def test_sft_minimises_the_mean_over_response_tokens(tmp_path):
    model, examples = tiny_model(), [TokenExample((5, 6), (7, 8, 1), 1), TokenExample((5,), (9, 1), 2)]
    with torch.no_grad():
        nll = [
            model(
                torch.tensor([[*e.prompt_ids, *e.response_ids]]),
                labels=torch.tensor([[-100] * len(e.prompt_ids) + list(e.response_ids)]),
            ).loss.item()
            for e in examples
        ]
    wanted = (3 * nll[0] + 2 * nll[1]) / 5
    trainer = SFTTrainer(
        add_lora(model), config(tmp_path, num_train_epochs=30, learning_rate=0.02), [(e,) for e in examples], None
    )
    trainer.train()
    log = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert log[0] == pytest.approx(wanted, abs=1e-4) and log[-1] < wanted - 1
