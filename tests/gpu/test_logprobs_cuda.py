"""The same numbers on a GPU as on the CPU. Skips where there is no CUDA device."""

import pytest
import torch

from safedpo.lm import pack_pairs, response_logps
from safedpo.lm.models.adapters import add_lora
from safedpo.lm.models.tiny import tiny_model
from safedpo.lm.rows.tokens import TokenPair

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
PAIRS = [
    TokenPair((5, 6, 7), (8, 9, 1), (10, 1), False, True, "SU", 1),
    TokenPair((5,), (7, 1), (6, 6, 1), False, False, "SS", 2),
]


def test_values_and_gradients_equal_those_of_the_cpu():
    found = {}
    for device in ("cpu", "cuda"):
        model = add_lora(tiny_model()).to(device)
        logps = response_logps(model, pack_pairs(PAIRS).to(device))
        logps.sum().backward()
        found[device] = [logps.detach().cpu(), *[p.grad.cpu() for p in model.parameters() if p.grad is not None]]
    for a, b in zip(found["cpu"], found["cuda"], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)
