"""The transformation T of SafeDPO (section 3.2 of the paper) and its rivals: which response of a pair is chosen, and
which pairs are dropped.

Under the modified reward r_c (r where safe, minus infinity where unsafe) a safe response beats an unsafe one surely,
and two unsafe responses cannot be compared. So, with S safe, U unsafe, and the more helpful response first:

    SS keep    SU keep    US swap    UU drop

T needs only labels. It runs unchanged on the answers of a bandit and on the responses of a language model.
"""

import torch
from torch import Tensor

GROUPS = ("SS", "SU", "US", "UU")
RULES = ("safedpo", "helpful", "safebetter", "harmless")


def order_pairs(better, unsafe, rule: str = "safedpo", *, safer=None) -> tuple[Tensor, Tensor]:
    """Choose a response of each pair and say which pairs are kept.

    `better` (N,) in {0, 1}: the more helpful response; `unsafe` (N, 2) bool: the paper's h of both responses;
    `safer` (N,) in {0, 1}: needed by the rule `harmless` only. Returns `chosen` (N,) in {0, 1} and `keep`
    (N,) bool; `chosen` is meaningful where `keep` is true.

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
    better, unsafe = _labels(better, "better"), torch.as_tensor(unsafe)
    if unsafe.shape != (len(better), 2) or unsafe.dtype != torch.bool:
        raise ValueError(f"unsafe must be bool of shape ({len(better)}, 2), not {unsafe.dtype} {tuple(unsafe.shape)}")
    better_unsafe, other_unsafe = _split(better, unsafe)
    everything = torch.ones_like(better_unsafe)
    if rule == "safedpo":
        swap = better_unsafe & ~other_unsafe
        return torch.where(swap, 1 - better, better), ~(better_unsafe & other_unsafe)
    if rule == "helpful":
        return better, everything
    if rule == "safebetter":
        return better, ~better_unsafe
    if rule == "harmless":
        if safer is None:
            raise ValueError("the rule harmless orders pairs by their safer label: give safer=")
        return _labels(safer, "safer", len(better)), everything
    raise ValueError(f"rule is {rule!r}; known rules are {', '.join(RULES)}")


def pair_groups(better, unsafe) -> Tensor:
    """The group of each pair *before* T as an index into `GROUPS`: 2 h(better) + h(other), (N,) in {0, 1, 2, 3}.

    >>> [GROUPS[g] for g in pair_groups([0, 1], [[False, True], [False, True]])]
    ['SU', 'US']
    """
    better_unsafe, other_unsafe = _split(_labels(better, "better"), torch.as_tensor(unsafe))
    return 2 * better_unsafe.long() + other_unsafe.long()


def count_pairs(better, unsafe, rule: str = "safedpo", *, safer=None) -> dict[str, int]:
    """Pairs by group before T, and how many the rule keeps (swapped ones included), swaps and drops.

    >>> count_pairs([0, 1, 0], [[False, True], [False, True], [True, True]])
    {'SS': 0, 'SU': 1, 'US': 1, 'UU': 1, 'kept': 2, 'swapped': 1, 'dropped': 1}
    """
    better, unsafe = _labels(better, "better"), torch.as_tensor(unsafe, dtype=torch.bool).reshape(-1, 2)
    chosen, keep = order_pairs(better, unsafe, rule, safer=safer)
    sizes = torch.bincount(pair_groups(better, unsafe), minlength=4).tolist()
    swapped = int((keep & (chosen != better)).sum())
    return dict(zip(GROUPS, sizes, strict=True)) | {
        "kept": int(keep.sum()),
        "swapped": swapped,
        "dropped": int((~keep).sum()),
    }


def _split(better: Tensor, unsafe: Tensor) -> tuple[Tensor, Tensor]:
    """h of the better response and h of the other one, (N,) bool each."""
    rows = torch.arange(len(better))
    return unsafe[rows, better], unsafe[rows, 1 - better]


def _labels(values, name: str, size: int | None = None) -> Tensor:
    labels = torch.as_tensor(values)
    if labels.ndim != 1 or (size is not None and len(labels) != size):
        raise ValueError(f"{name} must have shape ({size or 'N'},), not {tuple(labels.shape)}")
    wrong = ((labels != 0) & (labels != 1)).nonzero()
    if len(wrong):
        raise ValueError(f"{name}[{int(wrong[0])}] is {labels[wrong[0, 0]].item()}; each must be 0 or 1")
    return labels.long()
