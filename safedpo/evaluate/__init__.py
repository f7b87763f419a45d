"""What a model says to held-out prompts, and how harmful, helpful and over-cautious that is.

generation   prompts -> responses, sampled and greedy
scorers      what judges a response by itself: the exact scorer, refusals, reward and cost models
judges       what is asked to judge: a model with a prompt; agreement between judges
intervals    means over responses with intervals over prompts
bounds       what a number of harmful responses proves: upper bounds, and the safety test
report       policy beside reference; JSON
display      the report on a terminal, model text made harmless
table        several runs -> the README's table
sweep        many runs over delta, rule and seed on one reference; blends of neighbouring margins
results      stored results behind one door: what the notebooks and the figures read
paper        the paper's tables and figures beside what was reproduced here

Names are imported when they are first used: what was measured can be read without the libraries that measure.
"""

from typing import TYPE_CHECKING

from safedpo import names_on_demand

if TYPE_CHECKING:  # the same names for type checkers and editors
    from safedpo.evaluate.generation import Decoding as Decoding
    from safedpo.evaluate.generation import Responses as Responses
    from safedpo.evaluate.generation import generate as generate
    from safedpo.evaluate.intervals import Interval as Interval
    from safedpo.evaluate.intervals import cluster_interval as cluster_interval
    from safedpo.evaluate.report import Evaluation as Evaluation
    from safedpo.evaluate.report import EvaluationReport as EvaluationReport
    from safedpo.evaluate.report import Sample as Sample
    from safedpo.evaluate.report import evaluate as evaluate
    from safedpo.evaluate.report import judge as judge
    from safedpo.evaluate.results import Results as Results
    from safedpo.evaluate.results import stored_results as stored_results
    from safedpo.evaluate.scorers import Scorer as Scorer
    from safedpo.evaluate.scorers import scorer_for as scorer_for

_HOME = {
    "Decoding": "generation",
    "Evaluation": "report",
    "EvaluationReport": "report",
    "Interval": "intervals",
    "Responses": "generation",
    "Results": "results",
    "Sample": "report",
    "Scorer": "scorers",
    "cluster_interval": "intervals",
    "evaluate": "report",
    "generate": "generation",
    "judge": "report",
    "scorer_for": "scorers",
    "stored_results": "results",
}
__all__ = [*_HOME]

__getattr__, __dir__ = names_on_demand(__name__, _HOME)
