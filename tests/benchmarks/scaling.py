"""What a training step costs in time and memory as one thing grows, and its share of the machine's arithmetic.

    python tests/benchmarks/scaling.py                  # some minutes; --busy on a machine that others use

A Llama of random weights (4 layers, width 576: the shape of SmolLM2, fewer layers), LoRA r = 16, one row forward and
backward. Memory is counted by PyTorch's saved-tensor hooks, so it is exact and free of what the allocator keeps. The
arithmetic of a row is counted from the shapes: 4 operations a frozen weight and token (forward, and backward to the
input), 4 a head weight and response token; the limit is the matrix-product rate of the
faster library, measured in the same run.
"""

import argparse
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from safedpo.lm import TokenPair, add_lora, pack_pairs, response_logps
from safedpo.lm.rows.fused import fuse_lora
from safedpo.lm.rows.products import linear

BASE = {"vocabulary": 49_152, "response": 100, "pairs": 1}
GROWS = {"response": (50, 100, 200, 400), "vocabulary": (1_000, 12_000, 49_152, 128_000), "pairs": (1, 2, 4)}
PROMPT, LAYERS, WIDTH, MLP = 60, 4, 576, 1536


def policy(vocabulary: int, dtype: torch.dtype):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        intermediate_size=MLP,
        num_hidden_layers=LAYERS,
        num_attention_heads=9,
        num_key_value_heads=3,
        tie_word_embeddings=True,
    )
    model = add_lora(LlamaForCausalLM(config).to(dtype), r=16)
    fuse_lora(model)
    return model.train()


def row(vocabulary: int, response: int, pairs: int):
    def ids(n):
        return tuple(torch.randint(2, vocabulary, (n,)).tolist())

    return pack_pairs(
        [TokenPair(ids(PROMPT), ids(response), ids(response), False, True, "SU", i) for i in range(pairs)]
    )


def saved_bytes(model, batch) -> int:
    """Bytes that the forward pass keeps for the backward pass, each storage once, weights left out."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        response_logps(model, batch).sum()
    return sum(kept.values())


def best_of(action, times: int, clock) -> float:
    found = []
    for _ in range(times):
        started = clock()
        action()
        found.append(clock() - started)
    return min(found)


def matmul_rate(dtype: torch.dtype, clock) -> float:
    """Operations a second of a (256, 576) by (576, 1536) product, a layer's shape: by PyTorch or by oneDNN, the faster."""
    a, b = torch.ones(256, WIDTH, dtype=dtype), torch.ones(MLP, WIDTH, dtype=dtype)
    both = (lambda: [a @ b.T for _ in range(20)], lambda: [linear(a, b) for _ in range(20)])
    return 20 * 2 * 256 * WIDTH * MLP / min(best_of(products, 10, clock) for products in both)


def operations(model, batch, vocabulary: int) -> float:
    layers = sum(
        m.weight.numel()
        for m in model.modules()
        if type(m) is torch.nn.Linear and m.weight.shape[0] != vocabulary and not m.weight.requires_grad
    )
    return 4 * layers * batch.input_ids.shape[1] + 4 * vocabulary * WIDTH * len(batch.targets)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--times", type=int, default=3, help="each is measured this often; the best counts")
    parser.add_argument("--busy", action="store_true", help="one thread, processor seconds")
    given = parser.parse_args()
    dtype, clock = getattr(torch, given.dtype), time.process_time if given.busy else time.perf_counter
    if given.busy:
        torch.set_num_threads(1)
    print(f"{given.dtype}, {LAYERS} layers; the matrix-product rate of this run is the limit of the last column")
    for name, values in GROWS.items():
        print(f"\n{name:<12}{'tokens':>8}{'s':>10}{'MB kept':>10}{'KB a token':>12}{'% of limit':>12}")
        for value in values:
            shape = BASE | {name: value}
            model, batch = policy(shape["vocabulary"], dtype), row(**shape)
            response_logps(model, batch).sum().backward()
            seconds = best_of(lambda m=model, b=batch: response_logps(m, b).sum().backward(), given.times, clock)
            kept, tokens = saved_bytes(model, batch), batch.input_ids.shape[1]
            share = operations(model, batch, shape["vocabulary"]) / seconds / matmul_rate(dtype, clock)
            print(
                f"{value:<12}{tokens:>8}{seconds:>10.3f}{kept / 1e6:>10.1f}{kept / 1e3 / tokens:>12.1f}{100 * share:>12.0f}"
            )


if __name__ == "__main__":
    main()
