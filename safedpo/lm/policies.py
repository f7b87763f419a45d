"""A trained folder and back: which model its ``run.json`` names, and the policy and reference it describes."""

from collections.abc import Callable
from pathlib import Path

from safedpo.errors import UserError
from safedpo.lm.models import LoadedModel, adapter_run, load_model


def load_policy(folder: str | Path, *, dtype: str = "auto",
                device: str = "auto") -> tuple[LoadedModel, Callable[[], LoadedModel] | None]:
    """The policy that training left in `folder`, and how to load its reference where that is not "adapter off".

    For a LoRA run the policy is the reference with the adapter on it, and the second value is None. For a run of all
    weights (``--full``) the second value loads the reference. Raises UserError where the folder is no finished run.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; give the output directory of `safedpo train`")
    source = adapter_run(folder).get("model")
    if not source:
        raise UserError(f"{folder / 'run.json'} is missing or names no model, so its reference is unknown; give the "
                        "output directory of a finished `safedpo train`")
    if (folder / "adapter_config.json").exists():
        return load_model(source, dtype=dtype, device=device, adapter=folder), None
    return load_model(folder, dtype=dtype, device=device), lambda: load_model(source, dtype=dtype, device=device)
