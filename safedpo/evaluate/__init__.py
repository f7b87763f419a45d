"""What a model says to held-out prompts, and how harmful, helpful and over-cautious that is.

generation   prompts -> responses, sampled and greedy
scorers      which scorer knows which data
intervals    means over responses with intervals over prompts
report       policy beside reference; JSON
display      the report on a terminal, model text made harmless
table        several runs -> the README's table
sweep        many runs over delta, rule and seed on one reference; points: each measured at its budgets
blends       neighbouring margins blended, beside the policy really trained in between
"""

from safedpo.evaluate.generation import Decoding, Responses, generate
from safedpo.evaluate.intervals import Interval, cluster_interval
from safedpo.evaluate.report import Evaluation, EvaluationReport, Sample, evaluate, judge
from safedpo.evaluate.scorers import Scorer, scorer_for

__all__ = [
    "Decoding",
    "Evaluation",
    "EvaluationReport",
    "Interval",
    "Responses",
    "Sample",
    "Scorer",
    "cluster_interval",
    "evaluate",
    "generate",
    "judge",
    "scorer_for",
]
