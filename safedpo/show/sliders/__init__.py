"""Figures on sliders: `slider` computes every stop before the first move and needs no kernel, `live` computes on each move."""
