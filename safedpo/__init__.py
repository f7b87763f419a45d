"""SafeDPO: preference fine-tuning under a hard safety constraint, in three pure steps.

    records  ->  transform T  ->  loss

They run unchanged in two worlds: a finite one, where the optimal policy is known exactly (`safedpo.finite`), and
that of language models, where everything is measured (`safedpo.lm`).

    errors      one exception for a mistake that the user can put right
    records     a row of preference data -> Record, or a reason why not
    transform   which response is chosen, which pair is dropped; counts
    losses      SafeDPO, DPO and siblings as functions of log-probabilities; the reference shift
    finite      the exact world: optimal policies, tabular training, compared methods, the ledger of claims
    lm          tokens, log-probabilities, the cached reference, the trainer
    household   our own preference data: generator and exact scorers
    evaluate    harm, helpfulness and over-refusal with intervals
    show        figures and sliders
    labs        checkers of the exercises; percent sources -> notebooks
    cli         the command line

Importing this package is instant: torch is imported when a name that needs it is first used.
"""

import importlib
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

# The warning about forked tokenizers would reach every notebook; nothing here tokenizes in worker processes.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

__version__ = "0.1.0"

if TYPE_CHECKING:  # the same names for type checkers and editors
    from safedpo.errors import UserError as UserError
    from safedpo.losses import bfpo_loss as bfpo_loss
    from safedpo.losses import cdpo_loss as cdpo_loss
    from safedpo.losses import dpo_loss as dpo_loss
    from safedpo.losses import gradient_weight as gradient_weight
    from safedpo.losses import ipo_loss as ipo_loss
    from safedpo.losses import robust_dpo_loss as robust_dpo_loss
    from safedpo.losses import safedpo_loss as safedpo_loss
    from safedpo.losses import shift_reference as shift_reference
    from safedpo.records import Record as Record
    from safedpo.records import Records as Records
    from safedpo.records import read_records as read_records
    from safedpo.transform import count_pairs as count_pairs
    from safedpo.transform import order_pairs as order_pairs
    from safedpo.transform import pair_groups as pair_groups

_HOME = {
    "UserError": "errors",
    "Record": "records",
    "Records": "records",
    "read_records": "records",
    "order_pairs": "transform",
    "pair_groups": "transform",
    "count_pairs": "transform",
    "safedpo_loss": "losses",
    "dpo_loss": "losses",
    "cdpo_loss": "losses",
    "robust_dpo_loss": "losses",
    "ipo_loss": "losses",
    "bfpo_loss": "losses",
    "shift_reference": "losses",
    "gradient_weight": "losses",
}
__all__ = [*_HOME, "__version__"]


def names_on_demand(package: str, home: Mapping[str, str]) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """A package's `__getattr__` and `__dir__`: each name is imported from its home, a module below, when it is first used.

    Example:
        >>> on_demand, listed = names_on_demand("safedpo", {"Record": "records"})
        >>> on_demand("Record").__module__.startswith("safedpo.records"), listed()
        (True, ['Record'])
    """

    def get(name: str) -> object:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{home[name]}"), name)

    return get, lambda: sorted(home)


__getattr__, __dir__ = names_on_demand(__name__, _HOME)
