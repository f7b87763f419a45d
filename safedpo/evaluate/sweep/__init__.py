"""Many runs over delta, rule and seed on one reference.

run      the settings, and the whole sweep: train, measure, resume
folder   what a sweep keeps on disk
points   one run measured at each of its budgets
blends   neighbouring margins blended, beside the policy really trained in between
"""

from safedpo.evaluate.sweep.run import SweepRun, SweepSettings, sweep

__all__ = ["SweepRun", "SweepSettings", "sweep"]
