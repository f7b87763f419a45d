"""Widgets that live as long as the kernel: curves of a run in training, and the reader's own prompt."""
