"""Graphs that the builder writes, computed by ONNX's own reference evaluator and by NumPy."""

import numpy as np
import pytest

from safedpo.show.pages.live_model.graph_builder import BUFFER, GraphBuilder

onnx = pytest.importorskip("onnx", reason="the package onnx is not installed")


def test_a_graph_computes_what_numpy_computes():
    from onnx.reference import ReferenceEvaluator

    g = GraphBuilder()
    g.input("x", ["t", 4])
    weight = np.arange(12, dtype=np.float32).reshape(4, 3) / 7
    left, right = g.split(g.op("MatMul", "x", g.constant(weight)), [1, 2])
    g.op("Mul", g.op("Concat", right, left, axis=1), g.constant(np.array(0.5, np.float32)), to="y")
    g.output("y", ["t", 3])
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    (found,) = ReferenceEvaluator(onnx.load_from_string(g.finish("test"))).run(None, {"x": x})
    product = x @ weight
    np.testing.assert_allclose(found, 0.5 * np.concatenate([product[:, 1:], product[:, :1]], 1), rtol=1e-6)


def test_equal_constants_are_stored_once_and_others_are_not():
    g = GraphBuilder()
    one = g.constant(np.array([1, 2], np.int64))
    assert g.integers(1, 2) == one
    assert g.constant(np.array([1, 2], np.int32)) != one and g.constant(np.array([[1, 2]], np.int64)) != one


def test_a_large_tensor_is_a_place_in_the_buffer_and_no_bytes():
    g = GraphBuilder()
    g.input("x", [1, 100])
    first, second = g.external([100, 100], kind="rows"), g.external([100, 3], kind="plain", tensors=["t"])
    g.op("MatMul", g.op("MatMul", "x", first), second, to="y")
    g.output("y", [1, 3])
    content, model = g.finish("test"), onnx.ModelProto()
    model.ParseFromString(content)
    places = [{one.key: one.value for one in tensor.external_data} for tensor in model.graph.initializer]
    assert places == [
        {"location": BUFFER, "offset": "0", "length": "40000"},
        {"location": BUFFER, "offset": "40000", "length": "1200"},
    ]
    plan = g.plan()
    assert plan["bytes"] == 41_200 and [one["offset"] for one in plan["tensors"]] == [0, 40_000]
    assert plan["tensors"][1] == {"offset": 40_000, "shape": [100, 3], "kind": "plain", "tensors": ["t"]}
    assert len(content) < 1000


def test_names_are_never_given_twice_and_the_bytes_are_the_same_each_time():
    def build():
        g = GraphBuilder()
        g.input("ids", ["n"], whole=True)
        for _ in range(3):
            last = g.op("Identity", "ids")
        g.output(last, ["n"])
        return g.finish("test")

    assert build() == build()
    made = onnx.ModelProto()
    made.ParseFromString(build())
    names = [name for node in made.graph.node for name in node.output]
    assert len(names) == len(set(names)) == 3
    assert made.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.INT64
