"""Scorers: what judges a response without asking anybody.

known        which scorer knows which data; the exact scorer of data/household
refusal      full, partial or no refusal, from the wording of a response alone
score_head   reward and cost models with a score head, as the paper used them
asked        lists of prompts such as XSTest, and files of written responses
measure      responses to any prompts -> helpfulness, harmlessness, refusals, with intervals
policy       the same for a trained policy and its reference
"""

from safedpo.evaluate.scorers.known import HOUSEHOLD, Scorer, scorer_for

__all__ = ["HOUSEHOLD", "Scorer", "scorer_for"]
