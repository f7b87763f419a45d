"""A trained folder read back: the policy in it, and the reference that its `run.json` names."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from safedpo.errors import UserError
from safedpo.lm.models.adapters import adapter_run, refuse_changed
from safedpo.lm.models.load import LoadedModel, load_model
from safedpo.lm.rows.turns import with_template_args


@dataclass(frozen=True)
class TrainedPolicy:
    """A policy, the template it was trained with, and how to load its reference (None: it is the adapter off)."""

    policy: LoadedModel
    template: str
    load_reference: Callable[[], LoadedModel] | None


def load_policy(folder: str | Path, *, dtype: str = "auto", device: str = "auto") -> TrainedPolicy:
    """The policy that `train` or `sft` left in `folder`: an adapter on its reference, or (`--full`) a whole model.

    Raises UserError where `folder` holds no finished run, or where its adapter does not fit the model it names.

    >>> load_policy("nowhere")
    Traceback (most recent call last):
    ...
    safedpo.errors.UserError: nowhere is not a folder; give the output directory of `safedpo train`
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; give the output directory of `safedpo train`")
    run = adapter_run(folder)
    if "model" not in run:
        raise UserError(
            f"{folder / 'run.json'} is missing or names no model, so the reference is unknown; give the "
            "output directory of a finished `safedpo train`"
        )
    if run.get("status") == "running":
        raise UserError(f"the run in {folder} has not finished; start it again with the same arguments, it goes on")
    source, template = run["model"], run.get("template", "auto")
    arguments = run.get("settings", {}).get("template_args")

    def load(*args, **how) -> LoadedModel:
        loaded = load_model(*args, dtype=dtype, device=device, **how)
        with_template_args(loaded.tokenizer, arguments)
        return loaded

    if not (folder / "adapter_config.json").exists():
        refuse_changed(folder, run)
    if (folder / "adapter_config.json").exists():
        return TrainedPolicy(load(source, adapter=folder), template, None)
    return TrainedPolicy(load(folder), template, lambda: load(source))
