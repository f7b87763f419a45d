"""A thin writer of ONNX graphs: names are counted, constants are shared, big tensors only get a place in a buffer."""

import math
from collections.abc import Sequence

import numpy as np

from safedpo.errors import UserError

BUFFER = "weights.bin"  # the name of the external data; no such file exists, the page gives the buffer under it
OPSET, MICROSOFT_OPSET, IR_VERSION = 18, 1, 9


class GraphBuilder:
    """Collects nodes, constants, inputs and outputs; `finish` gives the model's bytes."""

    def __init__(self):
        try:
            import onnx
        except ImportError as missing:
            raise UserError(
                "assembling the live page needs the package onnx: run `pip install onnx`, then try again"
            ) from missing
        self._onnx, self._count, self._bytes = onnx, 0, 0
        self._nodes, self._constants, self._inputs, self._outputs, self._tensors = [], [], [], [], []
        self._shared: dict[tuple, str] = {}

    def op(self, kind: str, *inputs: str, to: str | None = None, microsoft: bool = False, **attributes) -> str:
        """Add a node with one output, whose name it returns (`to`, if given)."""
        name = to or self._name(kind)
        domain = "com.microsoft" if microsoft else ""
        self._nodes.append(self._onnx.helper.make_node(kind, inputs, [name], domain=domain, **attributes))
        return name

    def split(self, x: str, widths: Sequence[int]) -> list[str]:
        """Cut the columns of x (T, sum of widths) apart."""
        names = [self._name("Split") for _ in widths]
        self._nodes.append(self._onnx.helper.make_node("Split", [x, self.integers(*widths)], names, axis=1))
        return names

    def constant(self, value: np.ndarray) -> str:
        """A small tensor inside the graph; equal ones are stored once."""
        value = np.asarray(value)
        key = (value.dtype.str, value.shape, value.tobytes())
        if key not in self._shared:
            self._shared[key] = self._name("constant")
            self._constants.append(self._onnx.numpy_helper.from_array(value, self._shared[key]))
        return self._shared[key]

    def integers(self, *values: int) -> str:
        """A constant int64 vector."""
        return self.constant(np.array(values, np.int64))

    def external(self, shape: Sequence[int], **recipe) -> str:
        """A float32 tensor in the buffer; `recipe` tells the page how to fill it."""
        tensor = self._onnx.TensorProto(name=self._name("weight"), data_type=self._onnx.TensorProto.FLOAT, dims=shape)
        tensor.data_location = self._onnx.TensorProto.EXTERNAL
        length = 4 * math.prod(shape)
        for key, value in (("location", BUFFER), ("offset", self._bytes), ("length", length)):
            tensor.external_data.add(key=key, value=str(value))
        self._constants.append(tensor)
        self._tensors.append({"offset": self._bytes, "shape": list(shape), **recipe})
        self._bytes += length
        return tensor.name

    def input(self, name: str, shape: Sequence[int | str], *, whole: bool = False) -> None:
        """An input of the graph, float32 or (`whole`) int64."""
        kind = self._onnx.TensorProto.INT64 if whole else self._onnx.TensorProto.FLOAT
        self._inputs.append(self._onnx.helper.make_tensor_value_info(name, kind, shape))

    def output(self, name: str, shape: Sequence[int | str]) -> None:
        """A float32 output of the graph."""
        self._outputs.append(self._onnx.helper.make_tensor_value_info(name, self._onnx.TensorProto.FLOAT, shape))

    def plan(self) -> dict:
        """What stands where in the buffer."""
        return {"buffer": BUFFER, "bytes": self._bytes, "tensors": self._tensors}

    def finish(self, name: str) -> bytes:
        """The model, serialized; the same graph gives the same bytes."""
        helper = self._onnx.helper
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", MICROSOFT_OPSET)]
        graph = helper.make_graph(self._nodes, name, self._inputs, self._outputs, self._constants)
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION).SerializeToString()

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{kind.lower()}{self._count}"
