"""Measured results that are stored, behind one door.

folder    the sweep, one of its runs, the reference's samples, the blends; refused where they rest on something else
policies  those that are shipped with the results
drawn     some of their responses, drawn by a fixed seed
checked   every part of a sweep is of its kind before it is read or drawn
"""

from safedpo.evaluate.results.checked import METRICS, check_sweep
from safedpo.evaluate.results.folder import Results, must_match_the_shipped, stored_results
from safedpo.evaluate.results.policies import adapters

__all__ = ["METRICS", "Results", "adapters", "check_sweep", "must_match_the_shipped", "stored_results"]
