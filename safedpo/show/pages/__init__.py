"""Whole pages that open from disk: the explorer of stored runs, the playground, and the site made of the notebooks."""
