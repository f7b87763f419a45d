"""What a checkpoint of the library forgets is kept beside it: sums that wait for a log row, and that nothing is left to do."""

from pathlib import Path

import pytest
import torch
from transformers import TrainerCallback

from safedpo.errors import UserError
from safedpo.lm.models.adapters import add_lora
from safedpo.lm.models.tiny import tiny_model
from safedpo.lm.rows.tokens import TokenPair
from safedpo.lm.training.config import SafeDPOConfig
from safedpo.lm.training.metrics import QUANTITIES
from safedpo.lm.training.on_disk.resume import RestorePending, is_trained, keep_pending, load_trained, refuse_damaged
from safedpo.lm.training.trainer import SafeDPOTrainer

PAIRS = [
    TokenPair((5, 6), (7 + i, 1), (8 + i, 1), False, i % 2 == 0, "SU" if i % 2 == 0 else "SS", i) for i in range(4)
]


def trainer(folder, **how):
    how = {"max_steps": 4, "per_device_train_batch_size": 2, "logging_steps": 4, "save_steps": 2, **how}
    config = SafeDPOConfig(str(folder), use_cpu=True, disable_tqdm=True, learning_rate=0.01, **how)
    return SafeDPOTrainer(add_lora(tiny_model()), config, PAIRS, torch.full((2, 4), -7.0))


def test_what_waits_for_a_log_row_is_written_and_put_back(tmp_path):
    one = trainer(tmp_path / "one")
    one._tr_loss, one._total_loss_scalar, one._globalstep_last_logged = torch.tensor(2.5), 7.0, 3
    one.sums.add(torch.tensor([0, 1]), torch.ones(len(QUANTITIES), 2))
    keep_pending(one, tmp_path / "checkpoint-3")
    two = trainer(tmp_path / "two")
    two._tr_loss = torch.tensor(0.0)
    RestorePending(two, tmp_path / "checkpoint-3").on_train_begin(None, None, None)
    assert two._tr_loss == 2.5 and (two._total_loss_scalar, two._globalstep_last_logged) == (7.0, 3)
    assert torch.equal(two.sums.table, one.sums.table) and two.sums.table.abs().sum() > 0


def test_a_checkpoint_of_an_earlier_version_changes_nothing(tmp_path):
    one = trainer(tmp_path)
    before = one.sums.table.clone()
    RestorePending(one, tmp_path / "checkpoint-9").on_train_begin(None, None, None)
    assert torch.equal(one.sums.table, before)


@pytest.mark.parametrize(
    ("how", "steps"),
    [
        ({"max_steps": 4}, 4),
        ({"max_steps": -1, "num_train_epochs": 3}, 6),
        ({"max_steps": -1, "num_train_epochs": 1.5}, 3),
    ],
)
def test_the_last_step_is_counted_as_training_counts_it(tmp_path, how, steps):
    one = trainer(tmp_path, save_strategy="no", **how)
    assert [is_trained(one, Path(f"checkpoint-{n}")) for n in (steps - 1, steps)] == [False, True]
    assert not is_trained(one, None)
    one.train()
    assert one.state.global_step == steps


def test_a_trained_checkpoint_is_loaded_without_a_step_more(tmp_path):
    one = trainer(tmp_path / "run")
    one.train()
    trained = {name: weight.clone() for name, weight in one.model.named_parameters() if weight.requires_grad}

    class Steps(TrainerCallback):
        def on_step_end(self, *_, **__):
            pytest.fail("it trained")

    two = trainer(tmp_path / "run")
    two.add_callback(Steps())
    checkpoint = tmp_path / "run" / "checkpoint-4"
    assert is_trained(two, checkpoint)
    load_trained(two, checkpoint)
    assert two.state.global_step == 4 and two.state.log_history == one.state.log_history[: len(two.state.log_history)]
    assert all(
        torch.equal(weight, trained[name]) for name, weight in two.model.named_parameters() if weight.requires_grad
    )


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_trained_weight_that_is_no_number_is_refused_and_a_frozen_one_is_not_looked_at(value):
    model = add_lora(tiny_model())
    frozen = next(weight for weight in model.parameters() if not weight.requires_grad)
    frozen.data.view(-1)[0] = value
    refuse_damaged(model, Path("run"))
    name, weight = next((name, weight) for name, weight in model.named_parameters() if weight.requires_grad)
    weight.data.view(-1)[-1] = value
    with pytest.raises(UserError, match=f"run: the weight {name} is not finite"):
        refuse_damaged(model, Path("run"))
