"""The pairs of a fit as dense tables: which two logits each pair compares, and how much it weighs."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from safedpo.finite.pairs import Pairs, concatenate
from safedpo.finite.world import FiniteWorld

BLOCK = 256  # steps whose minibatches are drawn at once


class PairTable:
    """The distinct pairs of one or S data sets as (P, K) slots: equal rows are merged, short prompts padded.

    A slot of weight 0 (padding, or a pair that this data set has not) contributes exactly nothing.
    """

    def __init__(self, world: FiniteWorld, data_sets: Sequence[Pairs]):
        rows, a = concatenate(list(data_sets)), world.answers
        key = ((rows.prompt * a + rows.chosen) * a + rows.rejected) * 4
        key, slot = (key + 2 * rows.chosen_unsafe + rows.rejected_unsafe).unique(return_inverse=True)
        owner = torch.arange(len(data_sets)).repeat_interleave(torch.tensor([len(one) for one in data_sets]))
        weight = torch.zeros(len(key), len(data_sets), dtype=torch.float64)
        weight.index_put_((slot, owner), rows.weight, accumulate=True)
        prompt, pair = key // (4 * a * a), key // 4 % (a * a)
        place = torch.arange(len(key)) - torch.searchsorted(prompt, prompt)  # prompts are sorted
        shape = (world.prompts, int(place.max()) + 1)
        self.weight = torch.zeros(*shape, len(data_sets), dtype=torch.float64)  # (P, K, S or 1)
        self.incidence = torch.zeros(*shape, a, dtype=torch.float64)  # +1 at the chosen answer, -1 at the rejected
        chosen_unsafe, rejected_unsafe = torch.zeros(2, *shape, 1, dtype=torch.bool)
        self.weight[prompt, place] = weight
        self.incidence[prompt, place, pair // a] += 1
        self.incidence[prompt, place, pair % a] -= 1
        chosen_unsafe[prompt, place, 0], rejected_unsafe[prompt, place, 0] = key % 4 > 1, key % 2 > 0
        self.flags = (chosen_unsafe, rejected_unsafe)

    def gap(self, ratio: Tensor) -> Tensor:
        """(P, A, R) log-ratios -> (P, K, R) gaps."""
        return self.incidence @ ratio

    def gradient(self, slope: Tensor, weight: Tensor) -> Tensor:
        """(P, K, R) slopes and (P, K, S or 1) weights -> the gradient of the weighted sum, (P, A, R)."""
        weighted = slope.unflatten(-1, (-1, weight.shape[-1])) * weight[:, :, None]
        return self.incidence.mT @ weighted.flatten(-2)

    def mean(self, logps: Tensor, sign: int) -> Tensor:
        """Weighted mean over pairs of the chosen (sign 1) or rejected (-1) log-probabilities, (..., S)."""
        answer = (self.incidence * sign).argmax(-1)  # (P, K)
        picked = logps[..., torch.arange(len(answer))[:, None], answer]  # (..., S, P, K)
        weight = self.weight.permute(2, 0, 1)
        # Not a product with 0: an answer that the reference never says has log-probability -inf.
        return torch.where(weight > 0, picked * weight, 0.0).sum((-2, -1)) / weight.sum((-2, -1))

    def minibatches(self, batch_size: int, seeds: Sequence[int]) -> Iterator[Tensor]:
        """Weights (P, K, S) of minibatches drawn with replacement: a minibatch only changes the weights."""
        draws = [torch.Generator().manual_seed(seed) for seed in seeds]
        weight = self.weight.flatten(0, 1).T.expand(len(seeds), -1)  # (S, P K)
        share = weight.sum(1, keepdim=True) / batch_size
        while True:
            rows = [
                torch.multinomial(w, BLOCK * batch_size, True, generator=draw)
                for w, draw in zip(weight, draws, strict=True)
            ]
            for batch in torch.stack(rows).view(len(seeds), BLOCK, batch_size).unbind(1):
                drawn = torch.zeros_like(weight).scatter_add_(1, batch, share.expand(-1, batch_size))
                yield drawn.T.unflatten(0, self.weight.shape[:2])
