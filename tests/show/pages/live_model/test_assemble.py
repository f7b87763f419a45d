"""What the live page is assembled from: each part is checked, and what is wrong is one sentence."""

import builtins
import json
import shutil

import pytest

from safedpo.errors import UserError
from safedpo.files import shipped
from safedpo.show.pages.live_model import assemble, engine, parts
from safedpo.show.pages.live_model.graph import Adapter, Shape, build_graph

SWEEP = shipped("data") / "adapters" / "sweep"
TINY = Shape(layers=1, heads=2, kv_heads=1, head=4, hidden=8, inner=16, vocabulary=32, context=8)


def changed(tmp_path, name: str, change):
    """A copy of the shipped sweep in which one adapter's `name` is changed."""
    for delta in (0, 10):
        shutil.copytree(SWEEP / f"delta-{delta}", tmp_path / f"delta-{delta}")
    file = tmp_path / "delta-10" / name
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    return tmp_path


def test_the_shipped_adapters_belong_together():
    adapters = parts.sweep_adapters(SWEEP)
    assert list(adapters) == [0, 2, 5, 10, 20, 50]
    assert {adapter.lora for adapter in adapters.values()} == {Adapter(4, 2.0)}
    sft = parts.read_adapter(shipped("data") / "adapters" / "household-sft")
    assert sft.lora == Adapter(8, 2.0) and sft.base != adapters[0].base


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


def test_results_of_another_reference_are_refused(tmp_path):
    results = shipped("data") / "results" / "household"
    adapter = parts.sweep_adapters(SWEEP)[10]
    assert assemble.stored_measurements(results, adapter)["beta"] == 2.0
    with pytest.raises(UserError, match="one is missing or damaged"):
        assemble.stored_measurements(tmp_path, adapter)
    for name in ("sweep.json", "blends.json", "live_hazards.json"):
        shutil.copy(results / name, tmp_path / name)
    hazards = json.loads((tmp_path / "live_hazards.json").read_text())
    hazards["fingerprints"]["reference"] = "0"
    (tmp_path / "live_hazards.json").write_text(json.dumps(hazards))
    with pytest.raises(UserError, match="live_hazards.json was measured on weights 0"):
        assemble.stored_measurements(results=tmp_path, adapter=adapter)


def test_a_wrong_engine_or_none_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("SAFEDPO_CACHE", str(tmp_path))
    monkeypatch.setattr(engine.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="comes from npm, which is not installed"):
        engine.engine_folder()
    (tmp_path / engine.TARBALL).write_bytes(b"not the package")
    with pytest.raises(UserError, match="damaged or not the expected one: its sha512"):
        engine.engine_folder()
    assert [path.name for path in tmp_path.iterdir()] == [engine.TARBALL], "no half-made folder is left"


def test_without_onnx_the_way_out_is_named(monkeypatch):
    real = builtins.__import__

    def no_onnx(name, *args, **kwargs):
        if name == "onnx":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_onnx)
    with pytest.raises(UserError, match="pip install onnx"):
        build_graph(TINY, [Adapter(2, 2.0)], Adapter(3, 2.0))


def test_the_plan_fills_the_buffer_without_gap_or_overlap():
    pytest.importorskip("onnx", reason="the package onnx is not installed")
    graph, plan = build_graph(TINY, [Adapter(2, 2.0), Adapter(1, 4.0)], Adapter(3, 2.0))
    at = 0
    for tensor in plan["tensors"]:
        assert tensor["offset"] == at
        rows, columns = (*tensor["shape"], 1)[:2]
        at += 4 * rows * columns
    assert at == plan["bytes"] and len(graph) < 20_000
    inner = [tensor["shape"] for tensor in plan["tensors"] if tensor["kind"] == "lora_A"]
    assert inner == [[3 * 6, 8], [6, 8], [2 * 6, 8], [6, 16]]  # six ranks for each of q k v, o, gate up, down
    assert build_graph(TINY, [Adapter(2, 2.0), Adapter(1, 4.0)], Adapter(3, 2.0))[0] == graph


@pytest.mark.parametrize("sides", [(Adapter(2, 2.0), Adapter(1, 4.0))])
def test_the_graph_is_well_formed(sides):
    onnx = pytest.importorskip("onnx", reason="the package onnx is not installed")
    graph, _ = build_graph(TINY, sides, Adapter(3, 2.0))
    model = onnx.load_from_string(graph)
    assert [one.name for one in model.graph.input] == ["ids", "keep", "weights", "past_k0", "past_v0"]
    made = {one.name for one in model.graph.input} | {one.name for one in model.graph.initializer}
    for node in model.graph.node:  # in an order in which it can be computed, each name made once
        assert set(node.input) <= made and not set(node.output) & made, node.name
        made |= set(node.output)
    assert {one.name for one in model.graph.output} <= made
