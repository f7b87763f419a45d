"""Further exercises of the notebooks, one module a notebook: `EXERCISES`, each with a way to draw cases.

They are of the kinds that take longer: write a loop, prove a step and have it checked, design a check, read an ablation,
predict and then measure. `safedpo.labs.checks` brings them together with the shorter ones.
"""
