"""The preset model's GGUF file read with NumPy alone: its facts, its tensors unpacked to float32, as Llama names them.

A GGUF file is a header of typed facts, a list of tensors (name, shape, format, offset) and their bytes. Only the three
formats of this file are read: F32, and two that keep 32 numbers in a block,

    Q4_1   x = d q + m    d, m float16; q 4 bits, the 16 low halves of the bytes first, then the 16 high ones
    Q8_0   x = d q        d float16; q 8 bits with sign

Another package for this is not needed where it is missing (Colab). Specification: github.com/ggml-org/ggml, docs/gguf.md.
"""

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np

from safedpo.errors import UserError

Array = np.ndarray
PLAIN = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}  # type -> struct
STRING, ARRAY = 8, 9
BLOCK = 32
F32, Q4_1, Q8_0 = 0, 3, 8
BYTES = {F32: 4 * BLOCK, Q4_1: 4 + BLOCK // 2, Q8_0: 2 + BLOCK}  # of 32 numbers
NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def read_gguf(path: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    """The facts and the tensors (float32, row-major, under their names in the file) of a GGUF file of version 2 or 3.

    Raises UserError for another kind of file, for one that is cut off, and for a tensor in a format not read here.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home:
    ...     _ = (Path(home) / "model.gguf").write_bytes(b"GGUF" + struct.pack("<I", 3))
    ...     read_gguf(Path(home) / "model.gguf")
    Traceback (most recent call last):
    safedpo.errors.UserError: model.gguf is cut off or damaged (...); fetch it again
    """
    try:
        return _read(path.read_bytes())
    except (struct.error, ValueError, IndexError) as error:
        if isinstance(error, UserError):
            raise UserError(f"{path.name}: {error}") from error
        raise UserError(f"{path.name} is cut off or damaged ({error}); fetch it again") from error


def unpack(kind: int, packed: Array) -> Array:
    """The float32 numbers of the bytes `packed` (uint8) of a tensor in format `kind`.

    >>> block = np.concatenate([np.array([0.5, -1], np.float16).view(np.uint8), np.full(16, 0x21, np.uint8)])
    >>> unpack(Q4_1, block)[[0, 15, 16, 31]].tolist()
    [-0.5, -0.5, 0.0, 0.0]
    """
    if kind == F32:
        return packed.view(np.float32).copy()
    if kind not in BYTES:
        raise UserError(f"a tensor is in GGUF format {kind}; F32, Q4_1 and Q8_0 are read")
    blocks = packed.reshape(-1, BYTES[kind])
    scale = blocks[:, :2].copy().view(np.float16).astype(np.float32)
    if kind == Q8_0:
        return (scale * blocks[:, 2:].view(np.int8).astype(np.float32)).reshape(-1)
    least, halves = blocks[:, 2:4].copy().view(np.float16).astype(np.float32), blocks[:, 4:]
    steps = np.concatenate([halves & 0x0F, halves >> 4], axis=1).astype(np.float32)
    return (scale * steps + least).reshape(-1)


def llama_tensors(facts: dict, tensors: dict[str, Array]) -> dict[str, Array]:
    """The same tensors under the names of `LlamaForCausalLM`, with the rows of q and k in its order.

    GGUF interleaves the two halves that rotary embedding turns together; Llama in transformers keeps them apart.

    >>> facts = {"llama.attention.head_count": 1, "llama.attention.head_count_kv": 1}
    >>> rows = np.array([[0.0], [10.0], [1.0], [11.0]])  # two halves, interleaved
    >>> {name: tensor[:, 0].tolist() for name, tensor in llama_tensors(facts, {"blk.0.attn_q.weight": rows}).items()}
    {'model.layers.0.self_attn.q_proj.weight': [0.0, 1.0, 10.0, 11.0]}
    """
    heads = {"attn_q": facts["llama.attention.head_count"], "attn_k": facts["llama.attention.head_count_kv"]}
    renamed = {}
    for name, tensor in tensors.items():
        *block, part = name.removesuffix(".weight").split(".")
        if part in heads:
            tensor = tensor.reshape(heads[part], -1, 2, tensor.shape[-1]).swapaxes(1, 2).reshape(tensor.shape)
        prefix = f"model.layers.{block[1]}." if block else ""
        renamed[f"{prefix}{NAMES[part]}.weight"] = np.ascontiguousarray(tensor)
    return renamed


def _read(data: bytes) -> tuple[dict[str, Any], dict[str, Array]]:
    if data[:4] != b"GGUF":
        raise UserError("this is no GGUF file; fetch it again")
    (version, count, n_facts), at = struct.unpack_from("<IQQ", data, 4), 24
    if version not in (2, 3):
        raise UserError(f"GGUF version {version} is not read, only 2 and 3")
    facts: dict[str, Any] = {}
    listed: list[tuple[str, list[int], int, int]] = []
    for _ in range(n_facts):
        key, at = _value(data, at, STRING)
        kind, at = _value(data, at, 4)
        facts[key], at = _value(data, at, kind)
    for _ in range(count):
        name, at = _value(data, at, STRING)
        dims, at = _value(data, at, 4)
        *shape, kind, offset = struct.unpack_from(f"<{dims}QIQ", data, at)
        listed.append((name, shape[::-1], kind, offset))
        at += 8 * dims + 12
    align = facts.get("general.alignment", 32)
    start = -(-at // align) * align
    return facts, {name: _tensor(data, start + offset, shape, kind) for name, shape, kind, offset in listed}


def _tensor(data: bytes, at: int, shape: list[int], kind: int) -> Array:
    size = math.prod(shape) * BYTES.get(kind, 0) // BLOCK
    return unpack(kind, np.frombuffer(data, np.uint8, size, at)).reshape(shape)


def _value(data: bytes, at: int, kind: int) -> tuple[Any, int]:
    """The value of a fact at byte `at`, and where the next begins."""
    if kind == STRING:
        (length,) = struct.unpack_from("<Q", data, at)
        at += 8
        if at + length > len(data):
            raise ValueError("a text goes beyond the end")
        return data[at : at + length].decode("utf-8"), at + length
    if kind == ARRAY:
        (inner, length), at = struct.unpack_from("<IQ", data, at), at + 12
        values = []
        for _ in range(length):
            value, at = _value(data, at, inner)
            values.append(value)
        return values, at
    if kind not in PLAIN:
        raise ValueError(f"unknown type {kind}")
    (value,) = struct.unpack_from(f"<{PLAIN[kind]}", data, at)
    return value, at + struct.calcsize(f"<{PLAIN[kind]}")
