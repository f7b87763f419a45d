"""Notebook 06's debugging: a small pipeline with planted `faults`, and `symptoms`, the checks that find them."""
