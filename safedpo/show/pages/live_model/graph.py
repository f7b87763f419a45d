"""The network of the live page as one small ONNX graph, whose adapter weights are an input.

Each linear layer computes W x + B' (s * (A' x)): the rows of A' and the columns of B' are those of all adapters, one after
the other, and s repeats each adapter's weight times its alpha / r for its r rows. So `weights` = 0 is the reference and a
blend is exact arithmetic on the weights, as in `safedpo.lm.blending`. The SFT adapter, which makes the reference out of the
base model, stands last with the weight 1.

The graph holds no big weight. Its external data is one buffer that the page fills from the model's own files; the *plan*
says what stands where in it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from safedpo.show.pages.live_model.graph_builder import GraphBuilder

ATTENTION = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj"}
OUTPUT = {"attn_output": "self_attn.o_proj"}
GATES = {"ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj"}
DOWN = {"ffn_down": "mlp.down_proj"}


@dataclass(frozen=True)
class Shape:
    """The sizes of a Llama; the defaults are those of SmolLM2-135M. `context`: the most tokens of prompt and response."""

    layers: int = 30
    heads: int = 9
    kv_heads: int = 3
    head: int = 64
    hidden: int = 576
    inner: int = 1536
    vocabulary: int = 49152
    rope_base: float = 100_000.0
    epsilon: float = 1e-5
    context: int = 1024


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter's rank r and alpha / r; in the page its weight multiplies the latter."""

    rank: int
    scale: float


def build_graph(shape: Shape, policies: Sequence[Adapter], sft: Adapter) -> tuple[bytes, dict]:
    """The graph as bytes, and its plan `{"bytes": N, "tensors": [{"offset", "shape", "kind", ...}]}`.

    Inputs: `ids` (T,) int64; `keep` (n,) int64, the positions whose logits are wanted; `weights` (policies,)
    float32; `past_k0`, `past_v0`, ... (1, kv_heads, P, head) float32. Outputs: `logits` (n, vocabulary) and
    `present_*`, the keys and values of all P + T tokens. Needs the package `onnx`.
    """
    network = _Network(shape, [*policies, sft])
    return network.build(), network.graph.plan()


def plan_json(plan: dict) -> str:
    """A plan as one compact line."""
    return json.dumps(plan, separators=(",", ":"))


class _Network:
    """One building of the graph: the builder and what all layers share."""

    def __init__(self, shape: Shape, adapters: Sequence[Adapter]):
        self.shape, self.adapters, self.graph = shape, adapters, GraphBuilder()
        self.ranks = sum(adapter.rank for adapter in adapters)
        self._scales: dict[int, str] = {}

    def build(self) -> bytes:
        g, s = self.graph, self.shape
        self._inputs()
        embedding = g.external([s.vocabulary, s.hidden], kind="rows", tensors=["token_embd.weight"])
        x = g.op("Gather", embedding, "ids")
        for layer in range(s.layers):
            x = g.op("Add", x, self._attention(layer, self._norm(x, f"blk.{layer}.attn_norm.weight")))
            x = g.op("Add", x, self._feed_forward(layer, self._norm(x, f"blk.{layer}.ffn_norm.weight")))
        kept = self._norm(g.op("Gather", x, "keep", axis=0), "output_norm.weight")
        g.op("Gemm", kept, embedding, transB=1, to="logits")
        g.output("logits", ["n", s.vocabulary])
        return g.finish("live model")

    def _inputs(self) -> None:
        g, s = self.graph, self.shape
        g.input("ids", ["t"], whole=True)
        g.input("keep", ["n"], whole=True)
        g.input("weights", [len(self.adapters) - 1])
        for layer in range(s.layers):
            for side in "kv":
                g.input(f"past_{side}{layer}", [1, s.kv_heads, "p", s.head])
                g.output(f"present_{side}{layer}", [1, s.kv_heads, "s", s.head])
        alphas = g.constant(np.array([adapter.scale for adapter in self.adapters], np.float32))
        with_sft = g.op("Concat", "weights", g.constant(np.ones(1, np.float32)), axis=0)
        self.weights = g.op("Mul", with_sft, alphas)
        past = g.op("Gather", g.op("Shape", "past_k0"), g.constant(np.array(2, np.int64)))
        total = g.op("Add", past, g.op("Gather", g.op("Shape", "ids"), g.constant(np.array(0, np.int64))))
        one, zero = g.constant(np.array(1, np.int64)), g.constant(np.array(0, np.int64))
        queries, keys = g.op("Range", past, total, one), g.op("Range", zero, total, one)
        self.places = g.op("Unsqueeze", queries, g.integers(0))
        seen = g.op("LessOrEqual", g.op("Unsqueeze", keys, g.integers(0)), g.op("Unsqueeze", queries, g.integers(1)))
        self.mask = g.op("Where", seen, g.constant(np.array(0, np.float32)), g.constant(np.array(-1e30, np.float32)))
        angles = np.outer(np.arange(s.context), 1 / s.rope_base ** (np.arange(0, s.head, 2) / s.head))
        self.cosines, self.sines = (g.constant(f(angles).astype(np.float32)) for f in (np.cos, np.sin))

    def _norm(self, x: str, tensor: str) -> str:
        g, s = self.graph, self.shape
        weight = g.external([s.hidden], kind="plain", tensors=[tensor])
        return g.op("SimplifiedLayerNormalization", x, weight, axis=-1, epsilon=s.epsilon, stash_type=1)

    def _linear(self, x: str, parts: dict[str, str], layer: int, outs: list[int], width: int) -> str:
        """Layers that read the same x, as one; `parts`: GGUF name -> the adapters' name."""
        g, names = self.graph, [f"base_model.model.model.layers.{layer}.{part}" for part in parts.values()]
        tensors = [f"blk.{layer}.{part}.weight" for part in parts]
        base = g.op("Gemm", x, g.external([sum(outs), width], kind="rows", tensors=tensors), transB=1)
        inner = g.external([len(names) * self.ranks, width], kind="lora_A", modules=names)
        outer = g.external([sum(outs), len(names) * self.ranks], kind="lora_B", modules=names)
        scaled = g.op("Mul", g.op("Gemm", x, inner, transB=1), self._scale(len(names)))
        return g.op("Gemm", scaled, outer, base, transB=1)

    def _scale(self, parts: int) -> str:
        """Each adapter's scale, once for each of its ranks, for so many layers side by side."""
        if parts not in self._scales:
            rows = [place for place, adapter in enumerate(self.adapters) for _ in range(adapter.rank)]
            self._scales[parts] = self.graph.op("Gather", self.weights, self.graph.integers(*rows * parts))
        return self._scales[parts]

    def _attention(self, layer: int, x: str) -> str:
        g, s = self.graph, self.shape
        widths = [s.heads * s.head, s.kv_heads * s.head, s.kv_heads * s.head]
        q, k, v = g.split(self._linear(x, ATTENTION, layer, widths, s.hidden), widths)
        q, k = (self._rotated(self._by_head(y, n)) for y, n in ((q, s.heads), (k, s.kv_heads)))
        k = g.op("Concat", f"past_k{layer}", k, axis=2, to=f"present_k{layer}")
        v = g.op("Concat", f"past_v{layer}", self._by_head(v, s.kv_heads), axis=2, to=f"present_v{layer}")
        q = g.op("Reshape", q, g.integers(s.kv_heads, s.heads // s.kv_heads, -1, s.head))  # the heads that share a key
        scores = g.op("MatMul", q, g.op("Transpose", k, perm=[1, 0, 3, 2]))
        scores = g.op("Add", g.op("Mul", scores, g.constant(np.array(s.head**-0.5, np.float32))), self.mask)
        mixed = g.op("MatMul", g.op("Softmax", scores, axis=-1), g.op("Transpose", v, perm=[1, 0, 2, 3]))
        rows = g.op("Transpose", g.op("Reshape", mixed, g.integers(s.heads, -1, s.head)), perm=[1, 0, 2])
        return self._linear(g.op("Reshape", rows, g.integers(-1, s.hidden)), OUTPUT, layer, [s.hidden], s.hidden)

    def _by_head(self, y: str, heads: int) -> str:
        shaped = self.graph.op("Reshape", y, self.graph.integers(1, -1, heads, self.shape.head))
        return self.graph.op("Transpose", shaped, perm=[0, 2, 1, 3])

    def _rotated(self, y: str) -> str:
        g = self.graph
        return g.op("RotaryEmbedding", y, self.places, self.cosines, self.sines, microsoft=True, interleaved=0)

    def _feed_forward(self, layer: int, x: str) -> str:
        g, s = self.graph, self.shape
        gate, up = g.split(self._linear(x, GATES, layer, [s.inner] * 2, s.hidden), [s.inner] * 2)
        silu = g.op("QuickGelu", gate, microsoft=True, alpha=1.0)  # x * sigmoid(alpha x)
        return self._linear(g.op("Mul", silu, up), DOWN, layer, [s.hidden], s.inner)
