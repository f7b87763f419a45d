"""What the live page takes from this machine: adapters that belong together, and nothing damaged."""

import json
import shutil

import pytest

from safedpo.errors import UserError
from safedpo.files import shipped
from safedpo.show.pages.live_model import parts
from safedpo.show.pages.live_model.graph import Adapter

SWEEP = shipped("data") / "adapters" / "sweep"


def changed(tmp_path, name: str, change):
    """A copy of the shipped sweep in which one adapter's `name` is changed."""
    for delta in (0, 10):
        shutil.copytree(SWEEP / f"delta-{delta}", tmp_path / f"delta-{delta}")
    file = tmp_path / "delta-10" / name
    content = json.loads(file.read_text())
    change(content)
    content.pop("content_sha256", None)
    file.write_text(json.dumps(content))
    return tmp_path


def test_the_shipped_adapters_belong_together():
    adapters = parts.sweep_adapters(SWEEP)
    assert list(adapters) == [0, 2, 5, 10, 20, 50]
    assert {adapter.lora for adapter in adapters.values()} == {Adapter(4, 2.0)}
    sft = parts.read_adapter(shipped("data") / "adapters" / "household-sft")
    assert sft.lora == Adapter(32, 1.0) and sft.base != adapters[0].base


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("run.json", lambda run: run["settings"].update(beta=1.0), "differ in their beta"),
        ("run.json", lambda run: run["settings"].update(seed=1), "differ in their seed"),
        ("run.json", lambda run: run["settings"].update(delta=0.0), "2 adapters of 1 margins"),
        ("run.json", lambda run: run["fingerprints"].update(reference="0"), "different weights"),
        ("run.json", lambda run: run.pop("fingerprints"), "missing or damaged .KeyError"),
        ("adapter_config.json", lambda config: config.update(use_dora=True), "more than LoRA"),
    ],
)
def test_adapters_that_do_not_belong_together_are_refused(tmp_path, name, change, words):
    with pytest.raises(UserError, match=words):
        parts.sweep_adapters(changed(tmp_path, name, change))


def test_a_damaged_adapter_is_refused(tmp_path):
    shutil.copytree(SWEEP / "delta-10", tmp_path / "a")
    (tmp_path / "a" / "adapter_model.safetensors").write_bytes(b"no")
    with pytest.raises(UserError, match="missing or damaged"):
        parts.read_adapter(tmp_path / "a")
