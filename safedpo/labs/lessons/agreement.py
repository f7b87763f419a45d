"""Two sides of a derivation, a sequence that only falls, a call that must be refused: what cells assert."""

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from safedpo.finite.claims import Row


def agree(left: Tensor | float, right: Tensor | float, row: "Row") -> bool:
    """Print how far two sides are apart, here and in the ledger's line `row`; True if both are within its tolerance.

    The ledger computes the same statement by a route of its own, on fresh worlds.

    >>> from safedpo.labs import ledger_row
    >>> agree(1.0, 1.5, ledger_row("gibbs-identity"))
    The two sides differ by 5.0e-01 here and by ... in the ledger; allowed 1e-10.
    False
    """
    apart = (torch.as_tensor(left, dtype=torch.float64) - torch.as_tensor(right, dtype=torch.float64)).detach().abs()
    here = apart.max().item()
    print(
        f"The two sides differ by {here:.1e} here and by {row.residual:.1e} in the ledger; allowed {row.tolerance:.0e}."
    )
    return here <= row.tolerance and row.holds


def falling(values: Iterable[float | Tensor]) -> bool:
    """Each value is less than the one before it.

    >>> falling([3, 2, 1]), falling([2, 2])
    (True, False)
    """
    return all(later < earlier for earlier, later in pairwise(values))


def rising(values: Iterable[float | Tensor]) -> bool:
    """Each value is greater than the one before it.

    >>> rising([1, 2, 3]), rising([2, 2])
    (True, False)
    """
    return all(later > earlier for earlier, later in pairwise(values))


def refusal(kind: type[Exception], call: Callable[..., object], *args: object, **named: object) -> Exception:
    """The error of this kind that `call(*args, **named)` raises; `AssertionError` if it returns a result.

    >>> refusal(ZeroDivisionError, divmod, 1, 0).__class__.__name__
    'ZeroDivisionError'
    """
    try:
        call(*args, **named)
    except kind as error:
        return error
    raise AssertionError(f"a result was returned where {kind.__name__} was expected")
