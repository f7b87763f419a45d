"""What a learner's check of a response's log-probability is tried on: (logits, ids, starts, ends) -> (B,)."""

import torch
from torch import Tensor

from safedpo.labs.checks.exercises.planted.making import detective


def _all(logits: Tensor, ids: Tensor, shift: int = 1) -> Tensor:
    """The score of each token: that of place t from the logits at t - shift; 0 at the places before."""
    scores = logits.log_softmax(-1)
    picked = scores[:, : ids.shape[1] - shift].gather(-1, ids[:, shift:, None])[..., 0]
    return torch.cat([torch.zeros_like(picked[:, :1]).expand(-1, shift), picked], 1)


def _sum(scores: Tensor, first: Tensor, last: Tensor) -> Tensor:
    place = torch.arange(scores.shape[1])
    return scores.masked_fill((place < first[:, None]) | (place >= last[:, None]), 0.0).sum(-1)


def _right(z: Tensor, y: Tensor, s: Tensor, e: Tensor) -> Tensor:
    return _sum(_all(z, y), s, e)


def _row_by_row(z: Tensor, y: Tensor, s: Tensor, e: Tensor) -> Tensor:
    rows = zip(z, y, s.tolist(), e.tolist(), strict=True)
    return torch.stack([r[a - 1 : b - 1].log_softmax(-1)[torch.arange(b - a), i[a:b]].sum() for r, i, a, b in rows])


def _by_cross_entropy(z: Tensor, y: Tensor, s: Tensor, e: Tensor) -> Tensor:
    loss = torch.nn.functional.cross_entropy(z[:, :-1].transpose(1, 2), y[:, 1:], reduction="none")
    return _sum(torch.cat([torch.zeros_like(loss[:, :1]), -loss], 1), s, e)


def _ignoring(value: int):
    """Leaves out every token with this id, as masks by padding id do."""
    return lambda z, y, s, e: _sum(_all(z, y) * (y != value), s, e)


LOGPS_FAULTS = {
    "the logits at t score the token at t": lambda z, y, s, e: _sum(_all(z, y, shift=0), s, e),
    "a mean over the tokens": lambda z, y, s, e: _right(z, y, s, e) / (e - s),
    "the prompt is counted": lambda z, y, s, e: _sum(_all(z, y), 0 * s, e),
    "the padding is counted": lambda z, y, s, e: _sum(_all(z, y), s, torch.full_like(e, y.shape[1])),
    "the first token of the response is lost": lambda z, y, s, e: _sum(_all(z, y), s + 1, e),
    "the last token is lost": lambda z, y, s, e: _sum(_all(z, y), s, e - 1),
    "tokens with the id of padding are lost, the end of text among them": _ignoring(0),
    "logits are added, not log-probabilities": lambda z, y, s, e: _sum(
        torch.cat([0 * z[:, :1, 0], z[:, :-1].gather(-1, y[:, 1:, None])[..., 0]], 1), s, e
    ),
    "probabilities are added": lambda z, y, s, e: _sum(_all(z, y).exp(), s, e),
    "the sign": lambda z, y, s, e: -_right(z, y, s, e),
    "every row has the bounds of the first": lambda z, y, s, e: _right(z, y, s[:1].expand_as(s), e[:1].expand_as(e)),
    "the mean over the batch": lambda z, y, s, e: _right(z, y, s, e).mean().expand(len(y)),
    "no gradient reaches the logits": lambda z, y, s, e: _right(z.detach(), y, s, e),
}


def _rows(seed: int, size: int, *, same: bool = False) -> tuple[Tensor, ...]:
    draw = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(size, 9, 5, generator=draw, dtype=torch.float64)
    ids = torch.randint(1, 5, (size, 9), generator=draw)
    starts = torch.tensor([2 if same else 2 + i % 3 for i in range(size)])
    ends = starts + torch.tensor([3 if same else 2 + i % 3 for i in range(size)])
    ids[torch.arange(size), ends - 1] = 0
    return logits, ids, starts, ends


def _off(logps, rows) -> bool:
    return not torch.allclose(logps(*rows), _row_by_row(*rows))


def _without_end(seed: int) -> tuple[Tensor, ...]:
    logits, ids, starts, ends = _rows(seed, 3)
    return logits, ids.clamp(min=1), starts, ends


LOGPS_ARE_BROKEN = detective(
    (_right, _row_by_row, _by_cross_entropy),
    LOGPS_FAULTS,
    {
        "A false alarm": lambda logps: True,
        "does not notice this fault: the logits at t": lambda logps: False,
        "does not notice this fault: no gradient reaches": lambda logps: _off(logps, _rows(0, 3)),
        "does not notice this fault: every row has the bounds": lambda logps: _off(logps, _rows(0, 3, same=True)),
        "does not notice this fault: tokens with the id of padding": lambda logps: _off(logps, _without_end(1)),
        "It should give True": lambda logps: logps(*_rows(0, 3)),
    },
    (
        "Compare with a brute-force twin: one response at a time, one token at a time.",
        "Random logits; rows with different starts and ends; padding after the end; an end token whose id is padding's.",
        "And one backward pass: where must the gradient be different from 0?",
    ),
)
