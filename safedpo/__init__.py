"""SafeDPO: preference fine-tuning under a hard safety constraint, in three pure steps.

    records  ->  transform T  ->  loss

They run unchanged in two worlds: a finite one, where the optimal policy is known exactly (`safedpo.finite`), and
that of language models, where everything is measured (`safedpo.lm`).

    errors      one exception for a mistake that the user can mend
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

# The warning about forked tokenizers would reach every notebook; nothing here tokenizes in worker processes.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

__version__ = "0.1.0"

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
