"""The transformation T of SafeDPO (section 3.2 of the paper) and its rivals: which response of a pair is chosen, and
which pairs are dropped.

Under the modified reward r_c (r where safe, minus infinity where unsafe) a safe response beats an unsafe one surely,
and two unsafe responses cannot be compared. So, with S safe, U unsafe, and the more helpful response first:

    SS keep    SU keep    US swap    UU drop

T needs only labels. It runs unchanged on the answers of a bandit and on the responses of a language model.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from safedpo.errors import UserError

Labels = Tensor | Sequence[int]  # (N,) in {0, 1}
Flags = Tensor | Sequence[Sequence[bool]]  # (N, 2), the paper's h of both responses
GROUPS = ("SS", "SU", "US", "UU")
RULES = ("safedpo", "helpful", "safebetter", "harmless")


def order_pairs(
    better: Labels, unsafe: Flags, rule: str = "safedpo", *, safer: Labels | None = None
) -> tuple[Tensor, Tensor]:
    """Choose a response of each pair and say which pairs are kept.

    `better` (N,) in {0, 1}: the more helpful response; `unsafe` (N, 2) bool: the paper's h of both responses;
    `safer` (N,) in {0, 1}: needed by the rule `harmless` only. Returns `chosen` (N,) in {0, 1} and `keep`
    (N,) bool; `chosen` is meaningful where `keep` is true. Raises `UserError` for labels other than 0 and 1, flags that
    are not bool, other shapes, and an unknown rule.

    ============  ==========  ==========  ==========  ==========
    rule          SS          SU          US          UU
    ============  ==========  ==========  ==========  ==========
    safedpo       better      better      swap        drop
    helpful       better      better      better      better
    safebetter    better      better      drop        drop
    harmless      safer       safer       safer       safer
    ============  ==========  ==========  ==========  ==========

    >>> chosen, keep = order_pairs([0, 0, 0, 0], [[False, False], [False, True], [True, False], [True, True]])
    >>> chosen.tolist(), keep.tolist()
    ([0, 0, 1, 0], [True, True, True, False])
    """
    check_rule(rule)
    better, unsafe = _pairs(better, unsafe)
    better_unsafe, other_unsafe = _split(better, unsafe)
    everything = torch.ones_like(better_unsafe)
    if rule == "safedpo":
        swap = better_unsafe & ~other_unsafe
        return torch.where(swap, 1 - better, better), ~(better_unsafe & other_unsafe)
    if rule == "helpful":
        return better, everything
    if rule == "safebetter":
        return better, ~better_unsafe
    if safer is None:
        raise UserError("the rule harmless orders pairs by their safer label: give safer=")
    return _labels(safer, "safer", len(better)), everything


def check_rule(rule: str) -> None:
    """Raise `UserError` for a rule that is not one of `RULES`.

    >>> check_rule("helpfull")
    Traceback (most recent call last):
    ...
    safedpo.errors.UserError: rule is 'helpfull'; known rules are safedpo, helpful, safebetter, harmless
    """
    if rule not in RULES:
        raise UserError(f"rule is {rule!r}; known rules are {', '.join(RULES)}")


def pair_groups(better: Labels, unsafe: Flags) -> Tensor:
    """The group of each pair *before* T as an index into `GROUPS`: 2 h(better) + h(other), (N,) in {0, 1, 2, 3}.

    >>> [GROUPS[g] for g in pair_groups([0, 1], [[False, True], [False, True]])]
    ['SU', 'US']
    """
    better_unsafe, other_unsafe = _split(*_pairs(better, unsafe))
    return 2 * better_unsafe.long() + other_unsafe.long()


def count_pairs(better: Labels, unsafe: Flags, rule: str = "safedpo", *, safer: Labels | None = None) -> dict[str, int]:
    """Pairs by group before T, and how many the rule keeps (swapped ones included), swaps and drops.

    >>> count_pairs([0, 1, 0], [[False, True], [False, True], [True, True]])
    {'SS': 0, 'SU': 1, 'US': 1, 'UU': 1, 'kept': 2, 'swapped': 1, 'dropped': 1}
    """
    better, unsafe = _pairs(better, unsafe)
    chosen, keep = order_pairs(better, unsafe, rule, safer=safer)
    sizes = torch.bincount(pair_groups(better, unsafe), minlength=4).tolist()
    swapped = int((keep & (chosen != better)).sum())
    return dict(zip(GROUPS, sizes, strict=True)) | {
        "kept": int(keep.sum()),
        "swapped": swapped,
        "dropped": int((~keep).sum()),
    }


def _pairs(better: Labels, unsafe: Flags) -> tuple[Tensor, Tensor]:
    """Both as tensors, (N,) int64 and (N, 2) bool, or `UserError`. No pairs at all are fine, whatever their shape."""
    better, unsafe = _labels(better, "better"), torch.as_tensor(unsafe)
    if not len(better) and not unsafe.numel():
        return better, unsafe.reshape(0, 2).bool()
    if unsafe.shape != (len(better), 2) or unsafe.dtype != torch.bool:
        raise UserError(f"unsafe must be bool of shape ({len(better)}, 2), not {unsafe.dtype} {tuple(unsafe.shape)}")
    return better, unsafe


def _split(better: Tensor, unsafe: Tensor) -> tuple[Tensor, Tensor]:
    """h of the better response and h of the other one, (N,) bool each."""
    rows = torch.arange(len(better))
    return unsafe[rows, better], unsafe[rows, 1 - better]


def _labels(values: Labels, name: str, size: int | None = None) -> Tensor:
    labels = torch.as_tensor(values)
    if labels.ndim != 1 or (size is not None and len(labels) != size):
        raise UserError(f"{name} must have shape ({size or 'N'},), not {tuple(labels.shape)}")
    wrong = ((labels != 0) & (labels != 1)).nonzero()
    if len(wrong):
        raise UserError(f"{name}[{int(wrong[0])}] is {labels[wrong[0, 0]].item()}; each must be 0 or 1")
    return labels.long()
