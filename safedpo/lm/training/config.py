"""The settings of a run: ours, and those of `transformers.TrainingArguments` that this trainer honours.

Every other training argument is refused by name when it is set: an argument that is accepted and then ignored is worse
than an error.
"""

from dataclasses import MISSING, dataclass, field, fields

from transformers import TrainingArguments

from safedpo import losses
from safedpo.errors import UserError, brief
from safedpo.lm.rows.turns import TEMPLATES
from safedpo.lm.training.recipes import RECIPES
from safedpo.lm.training.settings import check_values, checked_init
from safedpo.transform import RULES, check_rule

LOSSES = {
    "safedpo": losses.safedpo_loss,
    "dpo": losses.dpo_loss,
    "cdpo": losses.cdpo_loss,
    "bfpo": losses.bfpo_loss,
    "robust_dpo": losses.robust_dpo_loss,
    "ipo": losses.ipo_loss,
}
DELTA = 10.0
_HOUSEHOLD = RECIPES["household"]  # the one owner of defaults

HONOURED = {
    "output_dir",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "num_train_epochs",
    "max_steps",
    "learning_rate",
    "lr_scheduler_type",
    "lr_scheduler_kwargs",
    "warmup_steps",
    "warmup_ratio",
    "optim",
    "optim_args",
    "weight_decay",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "max_grad_norm",
    "activation_checkpointing",
    "activation_checkpointing_kwargs",
    "gradient_checkpointing",
    "gradient_checkpointing_kwargs",
    "logging_strategy",
    "logging_steps",
    "logging_first_step",
    "log_level",
    "disable_tqdm",
    "report_to",
    "run_name",
    "project",
    "save_strategy",
    "save_steps",
    "save_total_limit",
    "seed",
    "data_seed",
    "full_determinism",
    "use_cpu",
    "torch_empty_cache_steps",
    "ddp_backend",
    "ddp_timeout",
    "local_rank",
    "skip_memory_metrics",
}
INSTEAD = {
    "bf16": "choose the dtype when the model is loaded (dtype='bfloat16')",
    "fp16": "float16 overflows on summed log-probabilities; load the model with dtype='float32' or 'bfloat16'",
    "label_smoothing_factor": "for flipped preference labels use loss='cdpo' or 'robust_dpo'",
    "eval_strategy": "evaluate the adapter after the run (safedpo evaluate)",
    "auto_find_batch_size": "set row_tokens: it bounds the memory of a step whatever the batch size",
    "resume_from_checkpoint": "an interrupted run goes on by itself when started again with the same output_dir",
}


@dataclass
class SafeDPOConfig(TrainingArguments):
    """SafeDPO's settings, on top of `transformers.TrainingArguments` (those in `HONOURED`; others are refused).

    >>> SafeDPOConfig(output_dir="run", use_cpu=True).delta
    10.0
    >>> SafeDPOConfig(output_dir="run", label_smoothing_factor=0.1)
    Traceback (most recent call last):
    ...
    safedpo.errors.UserError: this trainer cannot honour label_smoothing_factor=0.1; for flipped preference labels use \
loss='cdpo' or 'robust_dpo'
    """

    beta: float = field(
        default=_HOUSEHOLD["beta"], metadata={"help": "Strength of the tie to the reference, > 0 (the paper: 0.1)."}
    )
    delta: float | None = field(
        default=None, metadata={"help": "Safety margin, >= 0, outside beta; for the loss safedpo only (default 10)."}
    )
    loss: str = field(default="safedpo", metadata={"help": f"One of {', '.join(LOSSES)}."})
    rule: str = field(default="safedpo", metadata={"help": f"How pairs are ordered: one of {', '.join(RULES)}."})
    max_length: int = field(default=512, metadata={"help": "Longest prompt + response in tokens; longer ones are cut."})
    template: str = field(default="auto", metadata={"help": f"One of {', '.join(TEMPLATES)}."})
    template_args: dict | None = field(
        default=None, metadata={"help": "Variables of the chat template, such as {'enable_thinking': False}."}
    )
    row_tokens: int | None = field(
        default=None, metadata={"help": "Tokens computed at once; bounds memory, not results (CPU 512, GPU 4096)."}
    )

    # Defaults of ours that differ from transformers': small LoRA runs, every step visible, checkpoints kept small.
    per_device_train_batch_size: int = field(
        default=_HOUSEHOLD["batch_size"], metadata={"help": "Pairs a step on each device."}
    )
    num_train_epochs: float = field(default=1.0, metadata={"help": "Passes over the pairs."})
    learning_rate: float = field(
        default=_HOUSEHOLD["learning_rate"], metadata={"help": "Peak learning rate (LoRA; full training: 1e-6)."}
    )
    max_grad_norm: float = field(
        default=_HOUSEHOLD["max_grad_norm"], metadata={"help": "Longest gradient of a step; longer ones are cut to it."}
    )
    lr_scheduler_type: str = field(default="cosine", metadata={"help": "Learning-rate schedule."})
    warmup_steps: float = field(default=0.05, metadata={"help": "Warm-up: steps, or a share of them below 1."})
    logging_steps: float = field(default=1, metadata={"help": "Steps between two log rows."})
    save_steps: float = field(default=50, metadata={"help": "Steps between two checkpoints."})
    save_total_limit: int | None = field(default=2, metadata={"help": "Checkpoints kept."})
    report_to: str = field(default="none", metadata={"help": "Trackers of transformers to report to."})

    def __post_init__(self):
        self._refuse_unhonoured()
        check_values(self)
        if self.loss not in LOSSES:
            raise UserError(f"loss is {brief(repr(self.loss), 60)}; known losses are {', '.join(LOSSES)}")
        check_rule(self.rule)
        if self.loss == "safedpo":
            self.delta = DELTA if self.delta is None else self.delta
        elif self.delta is not None:
            raise UserError(f"delta is {self.delta}, but the loss {self.loss} has no safety margin; leave delta out")
        checked_init(super().__post_init__, self)

    def _refuse_unhonoured(self) -> None:
        for known in fields(TrainingArguments):
            default = known.default if known.default_factory is MISSING else known.default_factory()
            value = getattr(self, known.name)
            if known.name not in HONOURED and value != default:
                way_out = INSTEAD.get(known.name, f"leave {known.name} out")
                raise UserError(f"this trainer cannot honour {known.name}={brief(repr(value), 60)}; {way_out}")

    def pair_losses(self, chosen, rejected, ref_chosen, ref_rejected, chosen_unsafe, rejected_unsafe):
        """The configured loss of each pair, (B,); see `safedpo.losses`."""
        flags = (chosen_unsafe, rejected_unsafe) if self.loss in ("safedpo", "bfpo") else ()
        margin = {"delta": self.delta} if self.loss == "safedpo" else {}
        return LOSSES[self.loss](chosen, rejected, ref_chosen, ref_rejected, *flags, beta=self.beta, **margin)


def honoured_arguments() -> set[str]:
    """Every setting that `SafeDPOConfig` takes: its own fields and the training arguments that are honoured.

    >>> {"beta", "learning_rate"} <= honoured_arguments(), "label_smoothing_factor" in honoured_arguments()
    (True, False)
    """
    own = {f.name for f in fields(SafeDPOConfig)} - {f.name for f in fields(TrainingArguments)}
    return own | (HONOURED & {f.name for f in fields(TrainingArguments)})
