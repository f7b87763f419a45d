"""Settings checked before any work: each by its type and bounds, then the optimizer, schedule and trackers by making them.

A value out of bounds would otherwise be a traceback after minutes, or worse, a run that quietly does something else
(`save_total_limit=-1` deletes every checkpoint).
"""

import contextlib
import copy
import io
import math

import torch

from safedpo.errors import UserError, brief

LARGEST_SEED = 2**32 - 1  # NumPy's, which the Trainer seeds too
# name: (type, smallest, largest, smallest included). None is taken where `SafeDPOConfig` has it as a default.
BOUNDS = {
    "beta": (float, 0, math.inf, False),
    "delta": (float, 0, math.inf, True),
    "per_device_train_batch_size": (int, 1, 10**6, True),
    "gradient_accumulation_steps": (int, 1, 10**6, True),
    "num_train_epochs": (float, 0, 10**6, False),
    "learning_rate": (float, 0, math.inf, True),
    "warmup_steps": (float, 0, 10**12, True),
    "warmup_ratio": (float, 0, 1, True),
    "weight_decay": (float, 0, math.inf, True),
    "adam_beta1": (float, 0, 1, True),
    "adam_beta2": (float, 0, 1, True),
    "adam_epsilon": (float, 0, math.inf, False),
    "max_grad_norm": (float, 0, math.inf, True),
    "logging_steps": (float, 0, 10**12, False),
    "save_steps": (float, 0, 10**12, False),
    "save_total_limit": (int, 1, 10**6, True),
    "seed": (int, 0, LARGEST_SEED, True),
    "data_seed": (int, 0, LARGEST_SEED, True),
    "max_length": (int, 2, 10**7, True),
    "row_tokens": (int, 1, 10**9, True),
    "torch_empty_cache_steps": (int, 1, 10**9, True),
    "ddp_timeout": (int, 1, 10**7, True),
}
OPTIONAL = ("delta", "warmup_ratio", "save_total_limit", "data_seed", "row_tokens", "torch_empty_cache_steps")
CHOICES = {
    "logging_strategy": ("no", "steps", "epoch"),
    "save_strategy": ("no", "steps", "epoch"),
    "log_level": ("passive", "detail", "debug", "info", "warning", "error", "critical"),
    "ddp_backend": (None, "nccl", "gloo", "mpi", "xccl", "hccl", "cncl", "mccl"),
}
SWITCHES = (
    "activation_checkpointing",
    "gradient_checkpointing",
    "logging_first_step",
    "full_determinism",
    "use_cpu",
    "skip_memory_metrics",
)


CALLED = {"num_train_epochs": "epochs", "per_device_train_batch_size": "batch_size", "output_dir": "output_dir (once)"}
OBJECTS = ("lr_scheduler_kwargs", "activation_checkpointing_kwargs", "gradient_checkpointing_kwargs")
NAMES = ("optim", "lr_scheduler_type", "run_name", "project", "optim_args", "loss", "rule", "template")


def number_within(name: str, value: object, kind: type, low: float, high: float, included: bool = True) -> None:
    """Raise `UserError` unless `value` is a finite number of `kind` between `low` (itself `included`) and `high`.

    >>> number_within("seed", 3, int, 0, 10)
    >>> number_within("seed", True, int, 0, 10)
    Traceback (most recent call last):
    ...
    safedpo.errors.UserError: seed is True; it must be a whole number of at least 0 and at most 10
    """
    allowed = int if kind is int else int | float
    number = value if isinstance(value, allowed) and not isinstance(value, bool) else math.nan
    right = math.isfinite(number)
    if not right or not (low <= number <= high) or (number == low and not included):
        what = "whole number" if kind is int else "finite number"
        bound = f"of at least {low}" if included else f"greater than {low}"
        most = "" if high in (math.inf, 10**12) else f" and at most {high:g}" if high < 1e5 else ""
        over = f" (largest {high})" if right and number > high and not most else ""
        raise UserError(f"{name} is {brief(repr(value), 60)}; it must be a {what} {bound}{most}{over}")


def check_values(config) -> None:
    """Raise `UserError` for the first setting of a `SafeDPOConfig` that is of another type or out of bounds.

    >>> from safedpo.lm.training.config import SafeDPOConfig
    >>> SafeDPOConfig("run", use_cpu=True, adam_beta1=1.0)
    Traceback (most recent call last):
    safedpo.errors.UserError: adam_beta1 is 1.0; it must be below 1
    """
    for name, bounds in BOUNDS.items():
        value = getattr(config, name, None)
        if value is not None or name not in OPTIONAL:
            number_within(name, value, *bounds)
    for name in ("adam_beta1", "adam_beta2"):
        _refuse_unless(getattr(config, name) < 1, config, name, "it must be below 1")
    steps = config.max_steps
    whole = isinstance(steps, int) and not isinstance(steps, bool)
    limit = "give a whole number of at least 1, or -1 for no limit"
    _refuse_unless(whole and (steps == -1 or 1 <= steps <= 10**9), config, "max_steps", limit)
    for name, choices in CHOICES.items():
        value = getattr(config, name)
        known = getattr(value, "value", value) in choices
        _refuse_unless(known, config, name, f"choose one of {', '.join(one for one in choices if one)}")
    for name in SWITCHES:
        _refuse_unless(getattr(config, name, None) in (True, False, None), config, name, "it must be true or false")
    for name in OBJECTS:
        value = getattr(config, name, None)
        _refuse_unless(isinstance(value, dict | None), config, name, 'give a JSON object, such as {"num_cycles": 2}')
    for name in NAMES:
        value = getattr(config, name, None)
        _refuse_unless(isinstance(value, str | None), config, name, "it must be a name")


def check_names(given: dict, known: set[str]) -> None:
    """Raise `UserError` for a setting that there is not, or that has a name of its own here.

    >>> check_names({"betta": 0.1}, {"beta"})
    Traceback (most recent call last):
    safedpo.errors.UserError: unknown setting 'betta'; SafeDPOConfig lists those that can be given
    """
    for name in given:
        if name in CALLED:
            raise UserError(f"{name} is called {CALLED[name]} here; give that")
        if name not in known:
            raise UserError(f"unknown setting {brief(repr(name), 60)}; SafeDPOConfig lists those that can be given")


def check_own(*, lora_r: int, lora_alpha: float | None, **counts: int | None) -> None:
    """Raise `UserError` for a LoRA setting, or a number of items to draw, out of bounds.

    >>> check_own(lora_r=0, lora_alpha=None)
    Traceback (most recent call last):
    safedpo.errors.UserError: the LoRA rank r is 0; it must be at least 1
    """
    if isinstance(lora_r, int) and lora_r < 1:
        raise UserError(f"the LoRA rank r is {lora_r}; it must be at least 1")
    number_within("lora_r", lora_r, int, 1, 10_000)
    if lora_alpha is not None:
        number_within("lora_alpha", lora_alpha, float, 0, math.inf, False)
    for name, count in counts.items():
        if count is not None:
            number_within(name, count, int, 1, 10**12)


def _refuse_unless(right: bool, config, name: str, way_out: str) -> None:
    if not right:
        raise UserError(f"{name} is {brief(repr(getattr(config, name)), 60)}; {way_out}")


def check_machinery(config) -> None:
    """Make the optimizer, the schedule and the trackers once, on one number, so that what cannot be made is said now.

    >>> from safedpo.lm.training.config import SafeDPOConfig
    >>> SafeDPOConfig("run", use_cpu=True, optim="adafactor", optim_args="foreach=True")
    Traceback (most recent call last):
    safedpo.errors.UserError: ...
    """
    from transformers import Trainer
    from transformers.integrations import get_reporting_integration_callbacks
    from transformers.optimization import get_scheduler

    with _one_sentence(
        f"the optimizer {brief(str(config.optim), 60)} with optim_args={brief(repr(config.optim_args), 60)}"
    ):
        make, how = Trainer.get_optimizer_cls_and_kwargs(config)
        if config.optim_args and how == Trainer.get_optimizer_cls_and_kwargs(_without_optim_args(config))[1]:
            raise UserError(
                f"optim_args is {brief(config.optim_args, 60)!r}, which this optimizer passes over; leave it out"
            )
        weight = torch.nn.Parameter(torch.zeros(1))
        optimizer = make([weight], **how)
    name = getattr(config.lr_scheduler_type, "value", config.lr_scheduler_type)
    if name in ("reduce_lr_on_plateau", "greedy"):
        raise UserError(
            f"lr_scheduler_type is {name!r}, which needs an evaluation in the middle of the run; choose cosine"
        )
    with _one_sentence(f"the schedule {name} with lr_scheduler_kwargs={brief(repr(config.lr_scheduler_kwargs), 60)}"):
        schedule = get_scheduler(
            name, optimizer, 1, 10, scheduler_specific_kwargs=dict(config.lr_scheduler_kwargs or {})
        )
        weight.grad = torch.zeros(1)
        optimizer.step()
        schedule.step()
    with _one_sentence(f"report_to={brief(repr(config.report_to), 60)}"):
        for make in get_reporting_integration_callbacks(config.report_to):
            make()


def _without_optim_args(config) -> object:
    """The settings without `optim_args`, to see whether these change anything."""
    plain = copy.copy(config)
    plain.optim_args = None
    return plain


@contextlib.contextmanager
def _one_sentence(what: str):
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    except UserError:
        raise
    except Exception as error:  # each library raises its own kinds; all mean that these settings cannot be used
        raise UserError(f"{what} cannot be used here: {brief(str(error)) or type(error).__name__}") from error


def checked_init(make_base, config) -> None:
    """Run `TrainingArguments.__post_init__`, whose complaints become one sentence.

    >>> from safedpo.lm.training.config import SafeDPOConfig
    >>> config = SafeDPOConfig("run", use_cpu=True)
    >>> def refuses():
    ...     raise ValueError("no such device")
    >>> checked_init(refuses, config)
    Traceback (most recent call last):
    safedpo.errors.UserError: these settings ...
    """
    with _one_sentence("these settings"):
        make_base()
    check_machinery(config)
