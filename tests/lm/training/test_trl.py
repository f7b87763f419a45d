"""An oracle that is not ours: TRL's DPOTrainer on the same pairs and the same tiny model (TRL is in the dev extra)."""

import pytest
import torch
from transformers import TrainerCallback

from safedpo.lm.models.adapters import add_lora
from safedpo.lm.models.tiny import tiny_model, tiny_tokenizer
from safedpo.lm.rows.tokens import prompt_text, tokenize_pairs
from safedpo.lm.training.config import SafeDPOConfig
from safedpo.lm.training.reference import reference_logps
from safedpo.lm.training.trainer import SafeDPOTrainer
from safedpo.losses import shift_reference
from safedpo.transform import order_pairs

trl = pytest.importorskip("trl", reason="TRL is not installed (it is in the dev extra)")
pytestmark = pytest.mark.filterwarnings("ignore")
SAME = {
    "max_steps": 10,
    "learning_rate": 0.05,
    "optim": "sgd",
    "lr_scheduler_type": "constant",
    "warmup_steps": 0,
    "logging_steps": 1,
    "max_grad_norm": 0.0,
    "use_cpu": True,
    "report_to": "none",
    "disable_tqdm": True,
    "save_strategy": "no",
    "beta": 0.1,
    "max_length": 512,
}


class Gradients(TrainerCallback):
    """Keeps the gradient of every adapter matrix before each optimizer step."""

    def __init__(self):
        self.steps = []

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        self.steps.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})


def policy():
    return add_lora(tiny_model(), r=3)  # starts at the reference; from the second step on it has left it


def rows_for_trl(records, rule):
    tokenizer = tiny_tokenizer()
    chosen, keep = order_pairs([r.better for r in records], [r.unsafe for r in records], rule)
    kept = [(r, pick) for r, pick, k in zip(records, chosen.tolist(), keep.tolist(), strict=True) if k]
    return [
        {
            "prompt": prompt_text(tokenizer, r.prompt),
            "chosen": r.responses[pick],
            "rejected": r.responses[1 - pick],
            "chosen_unsafe": r.unsafe[pick],
            "rejected_unsafe": r.unsafe[1 - pick],
        }
        for r, pick in kept
    ]


def their_trainer(records, rule, folder, gradients):
    from datasets import Dataset

    rows = rows_for_trl(records, rule)
    config = trl.DPOConfig(
        output_dir=str(folder),
        per_device_train_batch_size=len(rows),
        bf16=False,
        gradient_checkpointing=False,
        precompute_ref_log_probs=True,
        **SAME,
    )
    return trl.DPOTrainer(
        policy(),
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=tiny_tokenizer(),
        callbacks=[gradients],
    )


def ours(records, rule, folder, gradients, **how):
    pairs = tokenize_pairs(records, tiny_tokenizer(), rule=rule).items
    config = SafeDPOConfig(
        output_dir=str(folder), per_device_train_batch_size=len(pairs), rule=rule, row_tokens=100, **SAME, **how
    )
    trainer = SafeDPOTrainer(policy(), config, pairs, reference_logps(tiny_model(), pairs), callbacks=[gradients])
    trainer.train()
    return [row["loss"] for row in trainer.state.log_history if "loss" in row]


def assert_same_gradients(a, b):
    for step, (mine, theirs) in enumerate(zip(a.steps, b.steps, strict=True)):
        assert mine.keys() == theirs.keys()
        for name in mine:
            torch.testing.assert_close(
                mine[name],
                theirs[name],
                rtol=2e-3,
                atol=1e-5,
                msg=lambda m, name=name, step=step: f"step {step}, {name}: {m}",
            )


@pytest.mark.slow
def test_with_delta_0_and_the_helpful_rule_ten_steps_are_trls(records, tmp_path):
    mine, theirs = Gradients(), Gradients()
    losses = ours(records, "helpful", tmp_path / "a", mine, delta=0.0)
    trainer = their_trainer(records, "helpful", tmp_path / "b", theirs)
    trainer.train()
    expected = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert len(losses) == len(expected) == 10 and losses[-1] < losses[0] - 1e-3
    assert losses == pytest.approx(expected, abs=1e-5)
    assert_same_gradients(mine, theirs)


@pytest.mark.slow
def test_safedpo_runs_in_unmodified_trl_by_shifting_its_reference_column(records, tmp_path):
    mine, theirs = Gradients(), Gradients()
    losses = ours(records, "safedpo", tmp_path / "a", mine, delta=10.0)
    trainer = their_trainer(records, "safedpo", tmp_path / "b", theirs)

    def shift(row):
        both = torch.tensor([row["ref_chosen_logps"], row["ref_rejected_logps"]])
        flags = torch.tensor([row["chosen_unsafe"], row["rejected_unsafe"]])
        chosen, rejected = shift_reference(both, flags, beta=0.1, delta=10.0).tolist()
        return {"ref_chosen_logps": chosen, "ref_rejected_logps": rejected}

    trainer.train_dataset = trainer.train_dataset.map(shift)
    trainer.train()
    expected = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert losses[0] > 5  # the margin is there
    assert losses == pytest.approx(expected, abs=1e-4)
    assert_same_gradients(mine, theirs)
