import copy

import torch

from safedpo.lm.models.tiny import tiny_model
from safedpo.lm.rows.logprobs import token_logps
from safedpo.lm.rows.packing import pack
from safedpo.lm.rows.wrapped import runs_rows, runs_rows_no_more


def test_a_model_runs_rows_until_it_does_not():
    model, batch = tiny_model(), pack([(1, 2)], [(0, (3, 4))])
    runs_rows(model)
    runs_rows(model)  # a second trainer on the same model
    other = copy.deepcopy(model)
    torch.nn.init.zeros_(other.model.embed_tokens.weight)
    wanted = token_logps(tiny_model(), batch)
    assert torch.equal(model(packed=batch), wanted) and not torch.equal(other(packed=batch), wanted)
    assert torch.equal(model(input_ids=batch.input_ids).logits, tiny_model()(input_ids=batch.input_ids).logits)
    runs_rows_no_more(model)
    assert "forward" not in vars(model)
