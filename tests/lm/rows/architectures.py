"""Tiny models of many architectures with random weights, and the plain computation that packed rows are compared with.

Each entry is a model type of transformers with the few settings that make it tiny. `window` is set where the type has one, to
8 (shorter than a pair) and to 64 (longer than every pair, shorter than the row).
"""

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from safedpo.lm.models.adapters import add_lora
from safedpo.lm.rows.packing import pack_pairs
from safedpo.lm.rows.tokens import TokenPair
from tests.lm.rows.configurations import BASE, PLAIN, VOCABULARY, WINDOWED


def names() -> list[str]:
    return [*PLAIN, *(f"{name}-w{w}" for name in WINDOWED for w in (8, 64))]


def tiny(name: str, seed: int = 0):
    """The model of that name, in evaluation mode."""
    if name in PLAIN:
        kind, own = PLAIN[name]
    else:
        kind, own = WINDOWED[name.rsplit("-w", 1)[0]]
        window = int(name.rsplit("-w", 1)[1])
        own = own | {"sliding_window": window, "attention_chunk_size": window}
    settings = BASE | {"tie_word_embeddings": False} | own
    if kind == "gemma4_text":
        del settings["attention_chunk_size"]  # it takes one or the other
    config = AutoConfig.for_model(kind, **{k: v for k, v in settings.items() if v is not ...})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config)
        for parameter in model.parameters():
            if not torch.isfinite(parameter).all() or parameter.abs().max() > 1e4:  # allocated, never filled
                torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


def pairs(seed: int = 0) -> list[TokenPair]:
    """Three pairs of 14 to 59 tokens, 134 in all."""
    generator = torch.Generator().manual_seed(seed)

    def ids(n):
        return tuple(torch.randint(2, VOCABULARY, (n,), generator=generator).tolist())

    lengths = [(12, 25, 18), (20, 13, 17), (5, 20, 4)]
    return [TokenPair(*map(ids, each), False, True, "SU", i) for i, each in enumerate(lengths)]


def plain_logps(model, found: list[TokenPair]) -> torch.Tensor:
    """log pi of each response, every sequence alone and unpadded through `model(input_ids)`: chosen ones, then rejected."""
    sums = []
    for which in ("chosen_ids", "rejected_ids"):
        for pair in found:
            response = getattr(pair, which)
            ids = torch.tensor([[*pair.prompt_ids, *response]])
            logps = model(input_ids=ids, use_cache=False).logits[0, -len(response) - 1 : -1].float().log_softmax(-1)
            sums.append(logps.gather(1, torch.tensor(response)[:, None]).sum())
    return torch.stack(sums)


def with_lora(model):
    policy = add_lora(model, r=3)
    for name, parameter in policy.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05, generator=torch.Generator().manual_seed(len(name)))
    return policy


def row():
    return pack_pairs(pairs())
