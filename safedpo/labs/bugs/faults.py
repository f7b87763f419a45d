"""Planted bugs: a textbook training step cut into small stages, and faults that each replace one stage.

    rows --pairs--> (chosen, rejected, flags) --encode, pad--> token ids --token_logps, total--> log-probabilities
         --reference--> the same of the reference --loss--> one a pair --average--> what is minimised

It pads where the package packs, so that every stage can be seen; both give the same numbers. `broken(k)` is the
pipeline with fault k, `broken(0)` the sound one. `safedpo.labs.bugs.symptoms` holds the checks that catch the faults, and
the figure in which each can be seen.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from safedpo.errors import UserError
from safedpo.transform import order_pairs

EOS = 0  # the kitchen tokenizer's end token, which it also pads with


@dataclass(frozen=True)
class Row:
    """A row as data sets have it; `better` is 0 or 1. Note: *safe*, not unsafe."""

    prompt: str
    responses: tuple[str, str]
    is_safe: tuple[bool, bool]
    better: int


@dataclass(frozen=True)
class Pair:
    """After T: what is chosen, what is rejected, and which of them is unsafe."""

    prompt: str
    chosen: str
    rejected: str
    chosen_unsafe: bool
    rejected_unsafe: bool


def unsafe_flags(row: Row) -> list[bool]:
    """h of both responses: the data says which are *safe*, and it is inverted here, once."""
    return [not safe for safe in row.is_safe]


def encode(tokenizer, prompt: str, response: str) -> tuple[list[int], list[int]]:
    """Prompt ids with the template, and response ids with the EOS."""
    return tokenizer(f"<ask> {prompt} <answer>")["input_ids"], [*tokenizer(response)["input_ids"], EOS]


def pad(examples: Sequence[tuple[list[int], list[int]]]) -> tuple[Tensor, Tensor]:
    """ids (B, L), padded on the right, and counted (B, L) bool: the tokens whose log-probability counts."""
    width = max(len(prompt) + len(response) for prompt, response in examples)
    ids = torch.full((len(examples), width), EOS)
    counted = torch.zeros(len(examples), width, dtype=torch.bool)
    for i, (prompt, response) in enumerate(examples):
        end = len(prompt) + len(response)
        ids[i, :end] = torch.tensor(prompt + response)
        counted[i, len(prompt) : end] = True
    return ids, counted


def token_logps(logits: Tensor, ids: Tensor) -> Tensor:
    """log pi of each token given those before it, (B, L): token t is predicted at t - 1, so the first has none: 0."""
    logps = logits[:, :-1].log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]
    return torch.cat([torch.zeros_like(logps[:, :1]), logps], dim=1)


def total(logps: Tensor, counted: Tensor) -> Tensor:
    """log pi of each response, (B,): the sum over its counted tokens."""
    return (logps * counted).sum(-1)


def frozen_copy(policy):
    """The reference: what the policy was before training, without dropout, and for ever."""
    return copy.deepcopy(policy).eval().requires_grad_(False)


def loss(chosen, rejected, ref_chosen, ref_rejected, chosen_unsafe, rejected_unsafe, *, beta, delta) -> Tensor:
    """SafeDPO (Eq. 12) of each pair, (B,)."""
    margin = beta * ((chosen - ref_chosen) - (rejected - ref_rejected))
    return -logsigmoid(margin - delta * (rejected_unsafe.to(margin.dtype) - chosen_unsafe.to(margin.dtype)))


def average(micro_batches: Sequence[Tensor]) -> Tensor:
    """The mean over all pairs of a step that was split into micro-batches of any size."""
    return torch.stack([losses.sum() for losses in micro_batches]).sum() / sum(map(len, micro_batches))


@dataclass(frozen=True)
class Pipeline:
    """The stages of a step; a fault replaces one of them."""

    unsafe_flags: Callable = unsafe_flags
    order: Callable = order_pairs
    encode: Callable = encode
    pad: Callable = pad
    token_logps: Callable = token_logps
    total: Callable = total
    reference: Callable = frozen_copy
    loss: Callable = loss
    average: Callable = average

    def pairs(self, rows: Sequence[Row]) -> list[Pair]:
        """T on raw rows."""
        flags = [self.unsafe_flags(row) for row in rows]
        chosen, keep = self.order(torch.tensor([row.better for row in rows]), torch.tensor(flags))
        return [
            Pair(row.prompt, row.responses[c], row.responses[1 - c], h[c], h[1 - c])
            for row, h, c, kept in zip(rows, flags, chosen.tolist(), keep.tolist(), strict=True)
            if kept
        ]

    def scored(self, model, tokenizer, texts: Sequence[tuple[str, str]]) -> tuple[Tensor, Tensor, Tensor]:
        """ids, log-probability and counted of every token of padded (prompt, response) texts, (B, L) each."""
        ids, counted = self.pad([self.encode(tokenizer, *text) for text in texts])
        return ids, self.token_logps(model(input_ids=ids).logits.float(), ids), counted

    def logps(self, model, tokenizer, texts: Sequence[tuple[str, str]]) -> Tensor:
        """log pi(response | prompt) of each text, (B,)."""
        _, logps, counted = self.scored(model, tokenizer, texts)
        return self.total(logps, counted)

    def losses(self, policy, reference, tokenizer, pairs: Sequence[Pair], *, beta: float, delta: float) -> Tensor:
        """The loss of each pair, (B,)."""
        chosen, rejected = [(p.prompt, p.chosen) for p in pairs], [(p.prompt, p.rejected) for p in pairs]
        with torch.no_grad():
            fixed = [self.logps(reference, tokenizer, side) for side in (chosen, rejected)]
        moving = [self.logps(policy, tokenizer, side) for side in (chosen, rejected)]
        flags = [torch.tensor([getattr(p, name) for p in pairs]) for name in ("chosen_unsafe", "rejected_unsafe")]
        return self.loss(*moving, *fixed, *flags, beta=beta, delta=delta)


# ---- the faults ---------------------------------------------------------------------------------------------------


def _starts_late(examples):
    ids, counted = pad(examples)
    return ids, counted & counted.roll(1, dims=1)


def _ends_late(examples):
    ids, counted = pad(examples)
    return ids, counted | counted.roll(1, dims=1)  # the longest row wraps to its first token, which scores 0


def _by_id(examples):
    ids, counted = pad(examples)
    return ids, counted & (ids != EOS)


def _everything(examples):
    ids, _ = pad(examples)
    lengths = torch.tensor([len(p) + len(r) for p, r in examples])
    return ids, torch.arange(ids.shape[1]) < lengths[:, None]


def _unshifted(logits, ids):
    return logits.log_softmax(-1).gather(-1, ids[..., None])[..., 0]


def _training_mode(policy):
    return frozen_copy(policy).train()


def _beta_twice(chosen, rejected, ref_chosen, ref_rejected, *flags, beta, delta):
    return loss(*(beta * x for x in (chosen, rejected, ref_chosen, ref_rejected)), *flags, beta=beta, delta=delta)


def _mean_of_means(micro_batches):
    return sum(losses.mean() for losses in micro_batches) / len(micro_batches)


def _without_eos(*arguments) -> tuple[list[int], list[int]]:
    prompt, response = encode(*arguments)
    return prompt, response[:-1]


@dataclass(frozen=True)
class Fault:
    """A planted bug: what is wrong, the stage it replaces and by what, and the check that catches it."""

    name: str
    stage: str
    wrong: Callable
    caught_by: str


FAULTS = (
    Fault("the first response token is not counted", "pad", _starts_late, "brute_force"),
    Fault("one token too many is counted at the end", "pad", _ends_late, "brute_force"),
    Fault("token t is scored with the logits at t", "token_logps", _unshifted, "brute_force"),
    Fault("the mean over tokens, not the sum", "total", lambda x, c: total(x, c) / c.sum(-1), "brute_force"),
    Fault("padding is told by its id, and pad = EOS", "pad", _by_id, "brute_force"),
    Fault("the response has lost its EOS", "encode", _without_eos, "brute_force"),
    Fault("the prompt is counted too", "pad", _everything, "brute_force"),
    Fault("is_safe is read as unsafe", "unsafe_flags", lambda row: list(row.is_safe), "truth_table"),
    Fault("an unsafe winner is not swapped", "order", lambda b, h: (b, order_pairs(b, h)[1]), "truth_table"),
    Fault(
        "pairs of two unsafe responses are kept", "order", lambda b, h: (order_pairs(b, h)[0], b >= 0), "truth_table"
    ),
    Fault("the reference runs in training mode, with dropout", "reference", _training_mode, "step_zero"),
    Fault("the reference is the policy itself", "reference", lambda policy: policy, "reference_stands_still"),
    Fault("beta is applied twice", "loss", _beta_twice, "golden_values"),
    Fault("the safety margin is added", "loss", lambda *a, beta, delta: loss(*a, beta=beta, delta=-delta), "step_zero"),
    Fault("micro-batches of unequal size are averaged", "average", _mean_of_means, "micro_batches"),
)


def broken(number: int) -> Pipeline:
    """The pipeline with fault `number` (1 to 15) planted; 0 is the sound one.

    >>> pair = torch.tensor([[-1.0, -3.0]]), torch.tensor([[True, True]])
    >>> broken(0).total(*pair).item(), broken(4).total(*pair).item()
    (-4.0, -2.0)
    """
    if not 0 <= number <= len(FAULTS):
        raise UserError(f"there is no fault {number}; faults are 1 to {len(FAULTS)}, and 0 is the sound pipeline")
    return replace(Pipeline(), **({FAULTS[number - 1].stage: FAULTS[number - 1].wrong} if number else {}))
