"""Figures: pure functions from numbers to a plotly figure and one sentence that says its numbers. They never train."""
