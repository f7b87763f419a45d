"""One bar with fixed axes."""

import plotly.graph_objects as go

FIXED = {"xaxis_range": [0, 9], "yaxis_range": [0, 9]}


def bar(height, **layout):
    return go.Figure(go.Bar(x=[1], y=[height]), FIXED | layout), f"The bar is {height} high."
