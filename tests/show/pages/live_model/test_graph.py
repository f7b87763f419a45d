"""The network of the live page: a plan that fills its buffer, and a graph that can be computed."""

import builtins

import pytest

from safedpo.errors import UserError
from safedpo.show.pages.live_model.graph import Adapter, Shape, build_graph

TINY = Shape(layers=1, heads=2, kv_heads=1, head=4, hidden=8, inner=16, vocabulary=32, context=8)


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
