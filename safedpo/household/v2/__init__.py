"""The second household data: independent responses whose law is known exactly, in files made on demand.

generate.py -> build.py    responses and pairs -> files
fluency.py                 which sentences are broken
"""

from safedpo.household.v2.build import build
from safedpo.household.v2.fluency import broken_sentences, broken_share

__all__ = ["broken_sentences", "broken_share", "build"]
