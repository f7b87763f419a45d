"""The likely mistakes of notebook 06, each by the message that names it."""

import math

import torch
from torch import Tensor


def kl_in_loops(best: Tensor, logps: Tensor) -> Tensor:
    """Answer by answer; an answer that pi* never gives adds nothing."""
    rows = zip(best.tolist(), logps.tolist(), strict=True)
    sums = [math.fsum(math.exp(p) * (p - q) for p, q in zip(*row, strict=True) if p > -math.inf) for row in rows]
    return torch.tensor(sums, dtype=torch.float64)


def _scores(logits, ids, shift=1):
    scores = logits.log_softmax(-1)
    if not shift:
        return scores.gather(-1, ids[..., None])[..., 0]
    picked = scores[:, :-1].gather(-1, ids[:, 1:, None])[..., 0]
    return torch.cat([torch.zeros_like(picked[:, :1]), picked], 1)


def _between(scores, first, last):
    place = torch.arange(scores.shape[1])
    return torch.where((place >= first[:, None]) & (place < last[:, None]), scores, 0.0).sum(-1)


def _weighted(weights, values):
    return torch.where(weights > 0, weights * values, 0.0).sum(-1)


def _finite(best):
    return best.clamp(min=-1e9)


def _safe_only(best, logps):
    return logps.masked_fill(best.isneginf(), -math.inf).log_softmax(-1)


def _all(means: Tensor, sizes: tuple[int, ...]) -> Tensor:
    return (means * torch.tensor(sizes)).sum()


RESPONSE_LOGPS = {
    "The logits at t score the token at t; they predict the *next* one: use the logits at t − 1.": lambda z, y, s, e: (
        _between(_scores(z, y, shift=0), s, e)
    ),
    "That is the mean over tokens. The probability of a sentence is a product, so its "
    "logarithm is the sum.": lambda z, y, s, e: _between(_scores(z, y), s, e) / (e - s),
    "The prompt is counted too: begin at starts.": lambda z, y, s, e: _between(_scores(z, y), 0 * s, e),
    "The padding is counted too: stop at ends.": lambda z, y, s, e: _between(
        _scores(z, y), s, torch.full_like(e, y.shape[1])
    ),
    "The first token of the response is lost. It is predicted by the last token of the prompt.": lambda z, y, s, e: (
        _between(_scores(z, y), s + 1, e)
    ),
    "The last token, the end of text, is lost. Ending is a decision too, and counts. (It has the id of padding: go "
    "by ends, not by ids.)": lambda z, y, s, e: _between(_scores(z, y) * (y != 0), s, e),
    "These are raw logits; take log_softmax first.": lambda z, y, s, e: _between(
        torch.cat([0 * z[:, :1, 0], z[:, :-1].gather(-1, y[:, 1:, None])[..., 0]], 1), s, e
    ),
    "These are probabilities added up; add their logarithms.": lambda z, y, s, e: _between(_scores(z, y).exp(), s, e),
    "The softmax runs over positions; it belongs over the vocabulary (dim -1).": lambda z, y, s, e: _between(
        torch.cat([0 * z[:, :1, 0], z.log_softmax(1)[:, :-1].gather(-1, y[:, 1:, None])[..., 0]], 1), s, e
    ),
    "A word that the model may not give, behind the response, makes 0 · −∞ = NaN. Choose with torch.where; do not "
    "multiply by a mask.": lambda z, y, s, e: (
        _scores(z, y) * ((torch.arange(y.shape[1]) >= s[:, None]) & (torch.arange(y.shape[1]) < e[:, None]))
    ).sum(-1),
    "The sign is wrong: that is the loss of supervised fine-tuning.": lambda z, y, s, e: -_between(_scores(z, y), s, e),
}

KL_TO_OPTIMUM = {
    "The other direction, KL(π‖π*), is infinite while any unsafe mass is left.": lambda p, q: (q.exp() * (q - p)).sum(
        -1
    ),
    "The sign is wrong: log π* − log π, weighted by π*.": lambda p, q: -kl_in_loops(p, q),
    "These are bits; we count nats (natural logarithms).": lambda p, q: kl_in_loops(p, q) / math.log(2),
    "That is the cross-entropy; the entropy of π* is missing.": lambda p, q: -_weighted(p.exp(), q),
    "That is the entropy of π*; the policy does not occur in it.": lambda p, q: -_weighted(p.exp(), _finite(p)),
    "That is total variation.": lambda p, q: (p.exp() - q.exp()).abs().sum(-1) / 2,
    "The mean over answers was taken; KL is a sum.": lambda p, q: kl_in_loops(p, q) / p.shape[1],
    "The policy was renormalised on the safe answers; then its unsafe mass costs nothing.": lambda p, q: kl_in_loops(
        p, _safe_only(p, q)
    ),
    "The weights are π*'s, not the policy's.": lambda p, q: torch.where(p.isneginf(), 0.0, q.exp() * (p - q)).sum(-1),
    "An answer that π* gives and the policy never gives makes the KL infinite. You leave it out.": lambda p, q: (
        torch.where(p.isneginf() | q.isneginf(), 0.0, p.exp() * (p - q)).sum(-1)
    ),
    "The log-ratios were added without weights.": lambda p, q: torch.where(p.isneginf(), 0.0, p - q).sum(-1),
}

STEP_LOSS = {
    "The mean of the means: a pair in a small micro-batch weighs more than one in a large one.": lambda x, n: x.mean(),
    "The means are added up and never divided.": lambda x, n: x.sum(),
    "That is the sum over all pairs; divide by their number.": _all,
    "Divided by the number of micro-batches; divide by the number of pairs.": lambda x, n: _all(x, n) / len(n),
    "The sizes are missing in the sum: a mean over four pairs counts four times.": lambda x, n: x.sum() / sum(n),
    "Only the last micro-batch counts here.": lambda x, n: x[-1],
    "Only the first micro-batch counts here.": lambda x, n: x[0],
    "Divided as if every micro-batch had the size of the first.": lambda x, n: _all(x, n) / (n[0] * len(n)),
    "Divided as if every micro-batch were as large as the largest.": lambda x, n: _all(x, n) / (max(n) * len(n)),
    "The weights are inverted: the larger micro-batch must count more.": lambda x, n: (
        (x / torch.tensor(n)).sum() / (1 / torch.tensor(n)).sum()
    ),
}
