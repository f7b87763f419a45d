"""A Llama of 8 billion parameters with LoRA on one GPU: packed rows beside padded batches. Written, not run.

    python tests/benchmarks/gpu.py            # one call of under 10 minutes on an H200; needs about 60 GB

Random bfloat16 weights in the shape of Llama-3.1-8B, LoRA r = 16 on all linear layers, lengths like PKU-SafeRLHF
(prompts of 15-60 tokens, responses of lognormal(4.6, 0.6) tokens clipped to 10-512). It needs torch, transformers and
peft, nothing to download, and neither datasets nor pyarrow. "padded" is what TRL 1.16 does at its best: chosen and
rejected responses in one padded batch, the head over every position, the reference precomputed.
"""

import argparse
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from safedpo.lm import TokenPair, add_lora, pack_pairs, response_logps
from safedpo.lm.rows.fused import fuse_lora, unfuse_lora
from safedpo.lm.rows.packing import n_tokens, split_rows

PEAK = {
    "H200": 989e12,
    "H100": 989e12,
    "A100": 312e12,
    "L4": 121e12,
}  # dense bfloat16 operations a second, makers' sheets
LLAMA_8B = {
    "vocab_size": 128_256,
    "hidden_size": 4096,
    "intermediate_size": 14_336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "tie_word_embeddings": False,
}
SMALL = LLAMA_8B | {
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "vocab_size": 1000,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


def pairs_like_pku(n: int, vocabulary: int) -> list[TokenPair]:
    generator = torch.Generator().manual_seed(0)

    def ids(length: int) -> tuple[int, ...]:
        return tuple(torch.randint(2, vocabulary, (length,), generator=generator).tolist())

    def response() -> tuple[int, ...]:
        return ids(int((4.6 + 0.6 * torch.randn((), generator=generator)).exp().clamp(10, 512)))

    prompts = torch.randint(15, 61, (n,), generator=generator).tolist()
    return [TokenPair(ids(p), response(), response(), False, i % 2 == 1, "SU", i) for i, p in enumerate(prompts)]


def dpo(chosen, rejected):
    """DPO's loss at a reference of zero: the arithmetic is the same for any reference."""
    return -torch.nn.functional.logsigmoid(0.1 * (chosen - rejected)).sum()


def packed_step(model, pairs, row_tokens: int) -> None:
    for row in split_rows([n_tokens(p) for p in pairs], row_tokens):
        batch = pack_pairs([pairs[i] for i in row]).to(model.device)
        dpo(*response_logps(model, batch).chunk(2)).backward()


def padded_step(model, pairs, size: int) -> None:
    for start in range(0, len(pairs), size):
        some = pairs[start : start + size]
        rows = [(p.prompt_ids, p.chosen_ids) for p in some] + [(p.prompt_ids, p.rejected_ids) for p in some]
        longest = max(len(prompt) + len(ids) for prompt, ids in rows)
        tokens, mask, counted = (torch.zeros(len(rows), longest, dtype=torch.long) for _ in range(3))
        for k, (prompt, ids) in enumerate(rows):
            end = len(prompt) + len(ids)
            tokens[k, :end], mask[k, :end], counted[k, len(prompt) : end] = torch.tensor(prompt + ids), 1, 1
        tokens, mask, counted = (t.to(model.device) for t in (tokens, mask, counted))
        logits = model(input_ids=tokens, attention_mask=mask, use_cache=False).logits[:, :-1]
        chosen = logits.gather(-1, tokens[:, 1:, None])[..., 0] - logits.logsumexp(-1)
        dpo(*(chosen.float() * counted[:, 1:]).sum(1).chunk(2)).backward()


def measure(step, model, device: str, times: int) -> tuple[float, float]:
    """The best seconds of a step and the peak memory in GB."""
    wait, best = (torch.cuda.synchronize if device == "cuda" else lambda: None), float("inf")
    step()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    for _ in range(times):
        model.zero_grad()
        wait()
        started = time.perf_counter()
        step()
        wait()
        best = min(best, time.perf_counter() - started)
    return best, torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=16, help="pairs a step")
    parser.add_argument("--times", type=int, default=5, help="the best of this many steps counts")
    parser.add_argument("--dry", action="store_true", help="a tiny model, also without a GPU: does the script run?")
    given = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not given.dry:
        raise SystemExit("no CUDA device here: not measured (--dry tries the script with a tiny model)")
    shape = SMALL if given.dry else LLAMA_8B
    with torch.device(device):
        base = LlamaForCausalLM(LlamaConfig(**shape)).to(torch.bfloat16)
    model, pairs = add_lora(base, r=16).train(), pairs_like_pku(given.pairs, shape["vocab_size"])
    frozen = sum(p.numel() for n, p in base.named_parameters() if ".lora_" not in n and "embed" not in n)
    useful = 4 * frozen * sum(map(n_tokens, pairs))  # forward, and backward to the inputs; the head counted everywhere
    name = torch.cuda.get_device_name() if device == "cuda" else "no GPU (dry run: figures mean nothing)"
    peak = next((rate for chip, rate in PEAK.items() if chip in name), float("nan"))
    print(f"{name}, torch {torch.__version__}, {given.pairs} pairs and {sum(map(n_tokens, pairs))} tokens a step")
    print(f"{'':<26}{'s / step':>10}{'pairs / s':>11}{'peak GB':>9}{'% of peak':>11}")
    steps = {f"padded, {size} pairs": lambda size=size: padded_step(model, pairs, size) for size in (2, 4, 8)}
    steps |= {f"packed, {row} tokens": lambda row=row: packed_step(model, pairs, row) for row in (1024, 2048, 4096)}
    for label, step in steps.items():
        fuse_lora(model) if label.startswith("packed") else unfuse_lora(model)
        try:
            seconds, memory = measure(step, model, device, given.times)
        except torch.cuda.OutOfMemoryError:
            print(f"{label:<26}{'does not fit':>10}")
            continue
        print(
            f"{label:<26}{seconds:>10.3f}{given.pairs / seconds:>11.2f}{memory:>9.1f}{100 * useful / seconds / peak:>11.1f}"
        )


if __name__ == "__main__":
    main()
