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


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module 'safedpo' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)


def __dir__():
    return sorted(__all__)
