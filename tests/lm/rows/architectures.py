"""The plain computation that packed rows are compared with."""

import torch

from safedpo.cli.maintain.architectures import KNOWN, names, pairs, tiny
from safedpo.lm.models.adapters import add_lora
from safedpo.lm.rows.packing import pack_pairs

__all__ = ["REFUSED", "names", "pairs", "plain_logps", "row", "tiny", "with_lora"]
REFUSED = KNOWN["refused"]


def plain_logps(model, found) -> torch.Tensor:
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
