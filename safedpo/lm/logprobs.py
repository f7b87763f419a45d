"""The log-probability of a response, in the ten lines to read first, and the fast path beside it.

    log pi(y | x) = sum over t of log softmax(logits at t - 1)[y_t],  t over the response's tokens only

A sum, not a mean: with a mean, beta would depend on the length. `response_logps` computes the same for many responses in
one packed row (see `safedpo.lm.rows`); a test holds the two equal.
"""

import torch
from torch import Tensor

from safedpo.lm.rows.logprobs import response_logps, token_logps

__all__ = ["plain_response_logps", "response_logps", "token_logps"]


def plain_response_logps(model, prompt_ids, response_ids) -> Tensor:
    """log pi(response | prompt) in nats, a scalar float32, from any causal language model: one sequence, nothing packed.

    `prompt_ids` and `response_ids` are token ids; those of the response end with the end-of-turn token.

    >>> from safedpo.lm.models.tiny import tiny_model
    >>> from safedpo.lm import TokenExample, pack_examples
    >>> model, prompt, response = tiny_model(), (5, 6, 7), (8, 9, 1)
    >>> plain = plain_response_logps(model, prompt, response)
    >>> packed = response_logps(model, pack_examples([TokenExample(prompt, response, 1)]))
    >>> torch.allclose(plain, packed[0], atol=1e-5)
    True
    """
    ids = torch.tensor([[*prompt_ids, *response_ids]], device=model.device)
    logits = model(input_ids=ids).logits[0, :-1].float()  # row t predicts token t + 1
    logps = logits.log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
    return logps[len(prompt_ids) - 1 :].sum()
