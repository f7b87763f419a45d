"""The tests mirror the package: `tests/lm/rows/test_packing.py` is about `safedpo/lm/rows/packing.py`."""
