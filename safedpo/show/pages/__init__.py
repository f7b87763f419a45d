"""Whole pages that open from disk: the explorer of stored runs, and the site made of the notebooks."""
