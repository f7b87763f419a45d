"""The exact world: a table of answers, its optimal policies in closed form, and policies trained on its pairs.

Read in this order: `world` (the tables), `optimum` (what is best), `pairs` (the data), `fit` (the training),
`claims` (every statement as a checked number).
"""

from safedpo.finite.fit import DivergedError, Fit, NotConvergedError, TrainingPath, fit
from safedpo.finite.noise import bit_flip_margin, pair_flip_margin
from safedpo.finite.optimum import (
    InfeasiblePromptError,
    expectation,
    expected_reward,
    kl,
    log_partition,
    log_partition_unsafe,
    modified_reward,
    objective,
    optimal_policy,
    optimal_value,
    required_penalty,
    safe_part,
    tv,
    unsafe_mass,
)
from safedpo.finite.pairs import Pairs, concatenate, flip_bits, over_represent, pairs_loss, population, sample_pairs
from safedpo.finite.slopes import SLOPES
from safedpo.finite.world import FiniteWorld, random_world, six_answers, world_a, world_b

__all__ = [
    "SLOPES",
    "DivergedError",
    "FiniteWorld",
    "Fit",
    "InfeasiblePromptError",
    "NotConvergedError",
    "Pairs",
    "TrainingPath",
    "bit_flip_margin",
    "concatenate",
    "expectation",
    "expected_reward",
    "fit",
    "flip_bits",
    "kl",
    "log_partition",
    "log_partition_unsafe",
    "modified_reward",
    "objective",
    "optimal_policy",
    "optimal_value",
    "over_represent",
    "pair_flip_margin",
    "pairs_loss",
    "population",
    "random_world",
    "required_penalty",
    "safe_part",
    "sample_pairs",
    "six_answers",
    "tv",
    "unsafe_mass",
    "world_a",
    "world_b",
]
