"""Going on where a run stopped, to the same bits and the same log rows.

A checkpoint of the Trainer holds weights, optimizer, schedule and random numbers. Two things it forgets. Sums that wait
for the next log row (with `logging_steps` above 1) would begin again at zero: `keep_pending` writes them into the
checkpoint, each process its own. And a run whose last checkpoint is its last step would train one step more: `is_trained`
says that nothing is left to train, and `load_trained` only loads.
"""

import json
import math
from pathlib import Path

import torch
from transformers import TrainerCallback, TrainerState
from transformers.trainer import TRAINER_STATE_NAME

from safedpo.errors import UserError
from safedpo.files import read_json


def keep_pending(trainer, checkpoint: Path) -> None:
    """Write what waits for the next log row into a checkpoint that is being made.

    >>> import tempfile
    >>> from types import SimpleNamespace
    >>> from safedpo.lm.training.metrics import GroupSums
    >>> state = dict(_tr_loss=torch.tensor(2.5), _total_loss_scalar=1.0, _globalstep_last_logged=3, sums=GroupSums())
    >>> trainer = SimpleNamespace(**state, args=SimpleNamespace(process_index=0))
    >>> with tempfile.TemporaryDirectory() as home:
    ...     keep_pending(trainer, Path(home))
    ...     read_json(Path(home) / "pending-0.json")["loss"]
    2.5
    """
    content = {
        "loss": trainer._tr_loss.item(),
        "total": trainer._total_loss_scalar,
        "last_logged": trainer._globalstep_last_logged,
        "sums": trainer.sums.table.tolist(),
    }
    checkpoint.mkdir(parents=True, exist_ok=True)
    _file(trainer, checkpoint).write_text(json.dumps(content), encoding="utf-8")


class RestorePending(TrainerCallback):
    """Before the first step of a resumed run: put back what waited for the next log row."""

    def __init__(self, trainer, checkpoint: Path):
        self.trainer, self.checkpoint = trainer, checkpoint

    def on_train_begin(self, args, state, control, **kwargs):
        trainer, files = self.trainer, sorted(self.checkpoint.glob("pending-*.json"))
        if not files:  # of an earlier version of the kit
            return
        if len(files) == trainer.args.world_size:
            kept = read_json(_file(trainer, self.checkpoint))
        else:
            kept = shared_out([read_json(file) for file in files], trainer.args.process_index)
        trainer._tr_loss = torch.tensor(kept["loss"], dtype=trainer._tr_loss.dtype, device=trainer._tr_loss.device)
        trainer._total_loss_scalar, trainer._globalstep_last_logged = kept["total"], kept["last_logged"]
        trainer.sums.table = torch.tensor(kept["sums"], dtype=torch.float64)


def shared_out(kept: list[dict], process: int) -> dict:
    """What each process of a run had put by, for `process` of a run that goes on with another number of them.

    The sums go to the first process; the loss, of which the processes' mean is logged, goes to all.

    >>> one = {"loss": 2.0, "total": 8.0, "last_logged": 4, "sums": [[1.0, 2.0]]}
    >>> shared_out([one, one | {"loss": 4.0}], 0)
    {'loss': 3.0, 'total': 8.0, 'last_logged': 4, 'sums': [[2.0, 4.0]]}
    >>> shared_out([one, one], 1)["sums"]
    [[0.0, 0.0]]
    """
    sums = torch.tensor([one["sums"] for one in kept], dtype=torch.float64).sum(0) * (process == 0)
    loss = sum(one["loss"] for one in kept) / len(kept)
    return kept[0] | {"loss": loss, "total": sum(one["total"] for one in kept) / len(kept), "sums": sums.tolist()}


def is_trained(trainer, checkpoint: Path | None) -> bool:
    """Whether `checkpoint` is the last step of this run, so that nothing is left to train.

    >>> from safedpo.lm.training.config import SafeDPOConfig
    >>> from safedpo.lm.training.trainer import SafeDPOTrainer
    >>> from safedpo.lm.models.tiny import tiny_model
    >>> from safedpo.lm.rows.tokens import TokenPair
    >>> pair = TokenPair((5, 6), (7, 1), (8, 1), False, True, "SU", 1)
    >>> config = SafeDPOConfig("run", use_cpu=True, max_steps=3, disable_tqdm=True, save_strategy="no")
    >>> trainer = SafeDPOTrainer(tiny_model(), config, [pair], torch.tensor([[-7.0], [-7.0]]))
    >>> is_trained(trainer, None), is_trained(trainer, Path("checkpoint-2")), is_trained(trainer, Path("checkpoint-3"))
    (False, False, True)
    """
    if checkpoint is None:
        return False
    steps = trainer.set_initial_training_values(trainer.args, trainer.get_train_dataloader())[-1]
    return int(checkpoint.name.removeprefix("checkpoint-")) >= steps


def load_trained(trainer, checkpoint: Path) -> None:
    """Put the weights and the log of the last step into the trainer, without a step of training.

    >>> import tempfile
    >>> from types import SimpleNamespace
    >>> loaded = []
    >>> trainer = SimpleNamespace(_load_from_checkpoint=loaded.append)
    >>> with tempfile.TemporaryDirectory() as home:
    ...     TrainerState(global_step=7).save_to_json(f"{home}/{TRAINER_STATE_NAME}")
    ...     load_trained(trainer, Path(home))
    >>> loaded == [home], trainer.state.global_step
    (True, 7)
    """
    trainer._load_from_checkpoint(str(checkpoint))
    trainer.state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))


def refuse_damaged(model, checkpoint: Path, whole: dict | None = None) -> None:
    """Raise `UserError` where a weight that is trained (or one of `whole`) is not a finite number.

    >>> layer = torch.nn.Linear(2, 2)
    >>> refuse_damaged(layer, Path("run"))
    >>> _ = layer.bias.data.fill_(torch.inf)
    >>> refuse_damaged(layer, Path("run"))
    Traceback (most recent call last):
    safedpo.errors.UserError: run: the weight bias is not finite; delete that folder and start again
    """
    trained = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    for name, weight in (trained if whole is None else whole).items():
        if not all(math.isfinite(end.item()) for end in weight.aminmax()):
            raise UserError(f"{checkpoint}: the weight {name} is not finite; delete that folder and start again")


def _file(trainer, checkpoint: Path) -> Path:
    return checkpoint / f"pending-{trainer.args.process_index}.json"
