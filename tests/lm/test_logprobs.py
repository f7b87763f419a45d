"""The ten lines to read first, against the chain rule with one forward for each token, and the packed rows."""

import math

import pytest
import torch

from safedpo.lm.logprobs import plain_response_logps, response_logps
from safedpo.lm.models.tiny import tiny_model
from safedpo.lm.rows.packing import pack_examples
from safedpo.lm.rows.tokens import TokenExample

CASES = [((5, 6, 7), (8, 9, 1)), ((40,), (1,)), ((3, 4), (9, 50, 60, 2, 1))]


@pytest.mark.parametrize(("prompt", "response"), CASES)
@torch.no_grad()
def test_it_is_the_sum_of_each_token_s_log_probability_given_all_before_it(prompt, response):
    model, total = tiny_model(), 0.0
    for k, token in enumerate(response):
        scores = model(input_ids=torch.tensor([[*prompt, *response[:k]]])).logits[0, -1].tolist()
        top = max(scores)
        total += scores[token] - top - math.log(math.fsum(math.exp(s - top) for s in scores))
    assert plain_response_logps(model, prompt, response).item() == pytest.approx(total, abs=1e-4)


@torch.no_grad()
def test_many_responses_in_one_packed_row_give_the_same():
    model = tiny_model()
    packed = response_logps(model, pack_examples([TokenExample(*case, 1) for case in CASES]))
    assert packed.tolist() == pytest.approx([plain_response_logps(model, *case).item() for case in CASES], abs=1e-4)
