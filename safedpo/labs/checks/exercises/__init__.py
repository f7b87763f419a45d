"""Further exercises of the notebooks, one module a notebook: `EXERCISES` and, for grading, `HIDDEN` (cases to be drawn).

They are of the kinds that take longer: write a loop, prove a step and have it checked, design a check, read an ablation,
predict and then measure. `safedpo.labs.checks` brings them together with the shorter ones.
"""
