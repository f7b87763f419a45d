"""`train()` and `sft()`: everything around the trainer, from a file of pairs to an adapter in a folder.

    output_dir/  adapter_config.json, adapter_model.safetensors   the LoRA adapter in PEFT's format (full: model.safetensors)
                 run.json      settings, versions, fingerprints of data and reference, counts, final metrics
                 log.jsonl     one row a step
                 checkpoint-N  while the run goes on

A run that was interrupted goes on when it is started again with the same arguments, from its last whole checkpoint, to
bitwise the same weights on a CPU. A folder that holds another run is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from safedpo.errors import UserError
from safedpo.lm.models.adapters import add_lora, load_adapter
from safedpo.lm.models.dtype import trains_on_cpu
from safedpo.lm.models.gate import gate
from safedpo.lm.models.gate_rules import updates_lost
from safedpo.lm.models.load import LoadedModel, load_model
from safedpo.lm.models.memory import refuse_if_too_big
from safedpo.lm.rows.fused import unfuse_lora
from safedpo.lm.rows.packing import group_examples
from safedpo.lm.rows.tokens import Tokenized, resolve_template, tokenize_examples, tokenize_pairs
from safedpo.lm.rows.turns import template_date, with_template_args
from safedpo.lm.training.callbacks import LogFile
from safedpo.lm.training.checkpoints import last_good
from safedpo.lm.training.config import SafeDPOConfig, honoured_arguments
from safedpo.lm.training.data import data_fingerprint, draw, labels_settled, records_of, sft_rows, usable
from safedpo.lm.training.reference import reference_identity, reference_logps
from safedpo.lm.training.run_folder import claim, dtype_of_run, finish, note, read_log
from safedpo.lm.training.step_zero import check_step_zero
from safedpo.lm.training.trainer import SafeDPOTrainer, SFTTrainer
from safedpo.records import Record, Records

RESPONSES_A_PROMPT = 6  # of one prompt in one step of supervised fine-tuning


@dataclass(frozen=True)
class Run:
    """A finished run: where it is, its trained model (in memory), counts of the data, metrics, and its log rows."""

    folder: Path
    policy: torch.nn.Module
    tokenizer: object
    counts: dict
    metrics: dict
    log: list[dict]


def train(
    model: str | Path | LoadedModel = "smollm2-135m-household",
    data: str | Path | Records | Sequence[Record] = "data/household/train.jsonl",
    output_dir: str | Path = "runs/safedpo",
    *,
    beta: float = 0.1,
    delta: float | None = None,
    loss: str = "safedpo",
    rule: str = "safedpo",
    epochs: float = 1.0,
    max_steps: int = -1,
    max_pairs: int | None = None,
    batch_size: int = 8,
    learning_rate: float = 2e-4,
    lora_r: int = 4,
    lora_alpha: float | None = None,
    full: bool = False,
    max_length: int = 512,
    template: str = "auto",
    dtype: str = "auto",
    four_bit: bool = False,
    device: str = "auto",
    seed: int = 0,
    skip_bad_rows: bool = False,
    contradictions: str = "keep",
    callbacks: Sequence = (),
    **training_arguments,
) -> Run:
    """Fine-tune `model` on preference pairs with SafeDPO (Eq. 12), or with another loss and rule.

    `model`: a preset, folder or hub id (see `load_model`), or a `LoadedModel`, whose model then carries the
    adapter. It is also the reference. `data`: what `read_records` reads, or records. `delta`: the safety margin
    (default 10 for the loss safedpo). `rule`: `safedpo` is T; `loss="dpo", rule="helpful"` is plain DPO.
    `max_pairs`: use that many pairs, drawn with `seed`, of those the rule keeps. `full`: train all weights
    against the cached reference instead of a LoRA adapter. `skip_bad_rows` leaves rows out that cannot be used;
    `contradictions` keeps (the default), drops or votes on responses that carry both safety labels: both are counted
    in `run.json`, `labels`. Other fields of `SafeDPOConfig` pass through by name.
    Raises `UserError` for anything the user can put right.
    """
    config = _config(
        output_dir,
        max_steps,
        epochs,
        batch_size,
        learning_rate,
        seed,
        device,
        training_arguments,
        beta=beta,
        delta=delta,
        loss=loss,
        rule=rule,
        max_length=max_length,
        template=template,
    )
    data, labels = labels_settled(data, skip_bad_rows=skip_bad_rows, contradictions=contradictions)
    records, source = records_of(data)
    if four_bit and full:
        raise UserError("4-bit weights cannot be trained themselves; leave out full, or four_bit")
    loaded = _loaded(model, dtype_of_run(output_dir, dtype), device, four_bit)
    with_template_args(loaded.tokenizer, config.template_args)
    tokens = tokenize_pairs(records, loaded.tokenizer, rule=rule, max_length=max_length, template=template)
    pairs = draw(usable(tokens, source, "pair", f"the rule {rule}"), max_pairs, seed)
    _refuse_lost_updates(loaded, full, learning_rate)
    checked = gate(loaded, pairs, template, say=config.should_save)
    identity = reference_identity(loaded.identity, str(loaded.dtype), pairs)
    about = _about("train", loaded, source, config, tokens, full=full, lora_r=lora_r, lora_alpha=lora_alpha) | {
        "four_bit": four_bit,
        "fingerprints": {
            "reference": loaded.fingerprint,
            "reference_logps": identity,
            "data": data_fingerprint(records),
        },
        "pairs": len(pairs),
        "gate": checked,
        "labels": labels,
    }
    noted = claim(config, about)
    ref_logps = reference_logps(
        loaded.model,
        pairs,
        rank=config.process_index,
        world=config.world_size,
        wait=lambda: _wait(config),
        fingerprint=loaded.identity,
    )
    policy = _policy(loaded, full, lora_r, lora_alpha, seed)
    trainer = SafeDPOTrainer(policy, config, pairs, ref_logps, callbacks=_logged(config, callbacks))
    resume = last_good(Path(config.output_dir))
    about["step_zero"] = noted.get("step_zero") if resume else check_step_zero(trainer)
    note(config, step_zero=about["step_zero"])
    return _run(trainer, loaded, about, resume, tokens)


def sft(
    model: str | Path | LoadedModel = "smollm2-135m",
    data: str | Path | Records | Sequence[Record] = "data/household/train.jsonl",
    output_dir: str | Path = "runs/sft",
    *,
    responses: str = "both",
    adapter: str | Path | None = None,
    epochs: float = 1.0,
    max_steps: int = -1,
    max_examples: int | None = None,
    batch_size: int = 4,
    learning_rate: float = 2e-4,
    lora_r: int = 4,
    lora_alpha: float | None = None,
    full: bool = False,
    max_length: int = 512,
    template: str = "auto",
    dtype: str = "auto",
    device: str = "auto",
    seed: int = 0,
    skip_bad_rows: bool = False,
    contradictions: str = "keep",
    callbacks: Sequence = (),
    **training_arguments,
) -> Run:
    """Supervised fine-tuning on the responses of preference pairs: how the paper makes its reference.

    Minimises the mean of -log pi(token | before) over response tokens. `responses`: `both` of each pair, good and
    bad (each distinct prompt and response once), the `better` ones, or the `safe` ones. `adapter`: go on from the
    adapter of an earlier run on the same model, instead of a fresh one. `batch_size`: prompts a
    step, each with up to 6 of its responses, so that the prompt is computed once for them. All else as in `train`.
    """
    config = _config(
        output_dir,
        max_steps,
        epochs,
        batch_size,
        learning_rate,
        seed,
        device,
        training_arguments,
        max_length=max_length,
        template=template,
    )
    data, labels = labels_settled(data, skip_bad_rows=skip_bad_rows, contradictions=contradictions)
    records, source = records_of(data)
    loaded = _loaded(model, dtype_of_run(output_dir, dtype), device)
    with_template_args(loaded.tokenizer, config.template_args)
    rows = sft_rows(records, responses)
    tokens = tokenize_examples(rows, loaded.tokenizer, max_length=max_length, template=template)
    examples = draw(usable(tokens, source, "response", f"responses={responses}"), max_examples, seed)
    groups = group_examples(examples, RESPONSES_A_PROMPT)
    _refuse_lost_updates(loaded, full, learning_rate)
    checked = gate(loaded, groups, template, say=config.should_save)
    about = _about("sft", loaded, source, config, tokens, full=full, lora_r=lora_r, lora_alpha=lora_alpha) | {
        "fingerprints": {"reference": loaded.fingerprint, "data": data_fingerprint(records)},
        "responses": responses,
        "examples": len(examples),
        "labels": labels,
        "started_from": adapter and str(adapter),
        "gate": checked,
    }
    claim(config, about)
    policy = (
        load_adapter(loaded.model, adapter, trainable=True)
        if adapter
        else _policy(loaded, full, lora_r, lora_alpha, seed)
    )
    trainer = SFTTrainer(policy, config, groups, None, callbacks=_logged(config, callbacks))
    return _run(trainer, loaded, about, last_good(Path(config.output_dir)), tokens)


def _run(trainer: SafeDPOTrainer, loaded: LoadedModel, about: dict, resume: Path | None, tokens: Tokenized) -> Run:
    refuse_if_too_big(trainer)
    trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    trainer.model.config.use_cache = True  # the Trainer switches it off, and generation wants it
    unfuse_lora(trainer.model.eval())
    folder = Path(trainer.args.output_dir)
    log = [row for row in trainer.state.log_history if "loss" in row]
    metrics = {"steps": trainer.state.global_step, **_closing(log)}
    if trainer.args.should_save:
        finish(trainer.model, loaded.tokenizer, folder, about | {"metrics": metrics})
    trainer.accelerator.wait_for_everyone()
    return Run(folder, trainer.model, loaded.tokenizer, tokens.counts(), metrics, read_log(folder))


def _closing(log: list[dict], share: float = 0.1) -> dict:
    """Each quantity averaged over the last tenth of the log rows: one step alone is noise."""
    tail = log[-max(1, round(share * len(log))) :]
    names = sorted({name for row in tail for name in row} - {"step", "epoch", "learning_rate", "pairs"})
    values = {name: [row[name] for row in tail if name in row] for name in names if not name.endswith("/pairs")}
    return {name: sum(found) / len(found) for name, found in values.items()}


def _config(
    output_dir, max_steps, epochs, batch_size, learning_rate, seed, device, others: dict, **own
) -> SafeDPOConfig:
    known = honoured_arguments()
    for name in others:
        if not hasattr(SafeDPOConfig, name) and name not in known:
            raise UserError(f"unknown setting {name!r}; SafeDPOConfig lists those that can be given")
    if trains_on_cpu(device):
        others.setdefault("use_cpu", True)
    return SafeDPOConfig(
        output_dir=str(output_dir),
        max_steps=max_steps,
        num_train_epochs=epochs,
        per_device_train_batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        **own,
        **others,
    )


def _loaded(model, dtype: str, device: str, four_bit: bool = False) -> LoadedModel:
    if not isinstance(model, LoadedModel):
        return load_model(model, dtype=dtype, device=device, four_bit=four_bit)
    if any(".lora_" in name for name, _ in model.model.named_parameters()):
        raise UserError("this model carries a LoRA adapter already; load it afresh (load_model) for another run")
    return model


def _policy(loaded: LoadedModel, full: bool, lora_r: int, lora_alpha: float | None, seed: int):
    if full:
        return loaded.model.requires_grad_(True)
    return add_lora(loaded.model, r=lora_r, alpha=lora_alpha, seed=seed)


def _refuse_lost_updates(loaded: LoadedModel, full: bool, learning_rate: float) -> None:
    if full and (lost := updates_lost(loaded.model, learning_rate)):
        raise UserError(f"full training of {loaded.source} would stand still: {lost}")


def _logged(config: SafeDPOConfig, callbacks: Sequence) -> list:
    return [LogFile(Path(config.output_dir) / "log.jsonl"), *callbacks]


def _about(kind: str, loaded: LoadedModel, source: str, config, tokens: Tokenized, **own) -> dict:
    settings = {name: getattr(config, name) for name in sorted(honoured_arguments() - {"output_dir", "local_rank"})}
    if kind == "sft":
        settings = {k: v for k, v in settings.items() if k not in ("beta", "delta", "loss", "rule")}
    return {
        "kind": kind,
        "model": loaded.source,
        "data": source,
        "dtype": str(loaded.dtype).removeprefix("torch."),
        "dtype_reason": loaded.dtype_reason,
        "device": loaded.device,
        "counts": tokens.counts(),
        "template": resolve_template(loaded.tokenizer, config.template),
        "template_date": template_date(loaded.tokenizer),
        "processes": config.world_size,
        "settings": settings | own,
    }


def _wait(config: SafeDPOConfig) -> None:
    if config.world_size > 1:
        config.distributed_state.wait_for_everyone()
