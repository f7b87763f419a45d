"""The labs: predictions, checkers that name the likely mistake, planted bugs, and sources -> notebooks.

The names here are what the set-up cell of every notebook brings in.
"""

from safedpo.labs.checking import check, hint, progress
from safedpo.labs.ledger import ledger_row
from safedpo.labs.predictions import predict
from safedpo.labs.setup import FAST, ready

__all__ = ["FAST", "check", "hint", "ledger_row", "predict", "progress", "ready"]
