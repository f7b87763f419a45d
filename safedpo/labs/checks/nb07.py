"""Notebook 07: the loss before the first step, the size of a LoRA adapter, what a run did to both log-probabilities."""

import math

import torch

from safedpo.labs.checking import Exercise
from safedpo.labs.checks.exercises import nb07 as further
from safedpo.labs.checks.exercises import numbers
from safedpo.labs.checks.exercises.numbers import log_sigmoid
from safedpo.labs.predictions import Question

# (pairs of equal safety, safe-over-unsafe pairs, delta): real samples, a mixed case, and no margin.
MIXES = ((199, 48, 10.0), (11, 5, 10.0), (30, 70, 2.0), (12, 4, 0.0), (0, 3, 1000.0), (5, 0, 10.0))
# ((in, out) of each layer, rank): a block of SmolLM2-135M, and two made-up ones.
SHAPES = (
    (((576, 576), (576, 192), (576, 192), (576, 576), (576, 1536), (576, 1536), (1536, 576)), 4),
    (((8, 3),), 2),
    (((10, 20), (20, 10)), 5),
)


def step_zero_pair_by_pair(equal, mixed, delta):
    """The mean of -log(1 / (1 + exp(delta * I))) over the pairs, one at a time."""
    losses = [-log_sigmoid(0.0)] * equal + [-log_sigmoid(-delta)] * mixed
    return torch.tensor(math.fsum(losses) / len(losses), dtype=torch.float64)


def numbers_of_real_adapters(shapes, rank):
    """Count the entries of the matrices that PEFT puts on such layers."""
    from peft import LoraConfig, get_peft_model

    from safedpo.lm.models.adapters import pass_over_old_torchao

    pass_over_old_torchao()
    layers = torch.nn.ModuleDict({f"layer{i}": torch.nn.Linear(*shape) for i, shape in enumerate(shapes)})
    adapted = get_peft_model(layers, LoraConfig(r=rank, target_modules=list(layers)))
    return torch.tensor(float(sum(p.numel() for p in adapted.parameters() if p.requires_grad)))


def _mean(equal, mixed, at_equal, at_mixed):
    return torch.tensor((equal * at_equal + mixed * at_mixed) / (equal + mixed), dtype=torch.float64)


def _softplus(x):
    return -log_sigmoid(-x)


LOG2 = math.log(2)
EXERCISES = {
    "step_zero_loss": Exercise(
        gives="one number, the mean loss",
        cases=MIXES,
        right=step_zero_pair_by_pair,
        draw=numbers.step_zero_loss,
        mistakes={
            "That is log 2 for every pair. It is right only where the margin does not act: a safe-over-unsafe pair "
            "starts at softplus(delta).": lambda e, m, d: torch.tensor(LOG2),
            "You let the margin act on the pairs of equal safety, and not on the mixed ones.": lambda e, m, d: _mean(
                e, m, _softplus(d), LOG2
            ),
            "The margin has the wrong sign: it is subtracted inside the sigmoid, so the mixed pairs start high.": lambda e, m, d: (
                _mean(e, m, LOG2, _softplus(-d))
            ),
            "That is a sum. The trainer's loss is the mean over the pairs.": lambda e, m, d: torch.tensor(
                e * LOG2 + m * _softplus(d)
            ),
            "You averaged the two groups with equal weight; each counts by its number of pairs.": lambda e, m, d: (
                torch.tensor((LOG2 + _softplus(d)) / 2)
            ),
            "You divide by the mixed pairs alone; the mean is over all pairs.": lambda e, m, d: torch.tensor(
                (e * LOG2 + m * _softplus(d)) / m if m else math.inf
            ),
            "You multiplied delta by beta = 0.1. The margin stands outside beta.": lambda e, m, d: _mean(
                e, m, LOG2, _softplus(0.1 * d)
            ),
            "softplus(delta) is close to delta but not equal to it; at small delta the difference is large.": lambda e, m, d: (
                _mean(e, m, LOG2, d)
            ),
            "e^Δ is too large for a float from Δ = 710 on: log(1 + e^Δ) = Δ + log(1 + e^−Δ).": lambda e, m, d: _mean(
                e, m, LOG2, _softplus(d) if d < 700 else math.inf
            ),
            "A pair of equal safety is not free: it starts at log 2.": lambda e, m, d: _mean(e, m, 0.0, _softplus(d)),
        },
        hints=(
            "Before the first step the policy is the reference. What is every reward margin then?",
            "With m = 0 the loss of a pair is -log sigmoid(-delta * I), which is softplus(delta * I).",
            "(equal * log 2 + mixed * softplus(delta)) / (equal + mixed).",
        ),
    ),
    "lora_parameters": Exercise(
        gives="one number",
        cases=SHAPES,
        right=numbers_of_real_adapters,
        draw=numbers.lora_parameters,
        mistakes={
            "That is the size of the layers themselves, in * out. LoRA adds two thin matrices beside each.": lambda s, r: (
                torch.tensor(float(sum(i * o for i, o in s)))
            ),
            "You counted A (rank x in) and forgot B (out x rank).": lambda s, r: torch.tensor(
                float(sum(r * i for i, o in s))
            ),
            "You counted B (out x rank) and forgot A (rank x in).": lambda s, r: torch.tensor(
                float(sum(r * o for i, o in s))
            ),
            "You forgot the rank: A is rank x in and B is out x rank.": lambda s, r: torch.tensor(
                float(sum(i + o for i, o in s))
            ),
            "You used the rank twice; each matrix has it once.": lambda s, r: torch.tensor(
                float(sum(r * r * (i + o) for i, o in s))
            ),
            "You multiplied rank * in * out: that is the work of forming B A, not the numbers stored.": lambda s, r: (
                torch.tensor(float(sum(r * i * o for i, o in s)))
            ),
            "You counted one layer only; sum over all of them.": lambda s, r: (
                torch.tensor(float(r * sum(s[0]))) if len(s) > 1 else torch.tensor(-1.0)
            ),
            "That counts a bias for each layer too; LoRA's matrices have none.": lambda s, r: torch.tensor(
                float(sum(r * (i + o) + o for i, o in s))
            ),
            "That is layers plus adapters. Only the adapters are trained.": lambda s, r: torch.tensor(
                float(sum(i * o + r * (i + o) for i, o in s))
            ),
        },
        hints=(
            "LoRA replaces W x by W x + (alpha / r) B A x. Which of these are trained?",
            "A is a matrix of rank x in, B one of out x rank.",
            "sum(rank * (n_in + n_out) for n_in, n_out in shapes).",
        ),
    ),
} | further.EXERCISES

QUESTIONS = {
    "first_loss": Question(
        options=(
            "log 2 = 0.69, as in any DPO run",
            "about 10, the margin",
            "between the two",
            "0, nothing is wrong yet",
        ),
        right=2,
        why="A pair of equal safety starts at log 2, a safe-over-unsafe pair at softplus(10) = 10.00005. The mean "
        "lies between, where the shares of the pair groups put it. A first loss that is not log 2 is no bug here.",
    ),
    "chosen_logp": Question(
        options=(
            "It rises: that is what the loss asks for",
            "It cannot be said; only the difference is asked for",
            "It stays where it is",
        ),
        right=1,
        why="The loss sees the difference of the two log-ratios alone. The chosen response may become less likely, as "
        "long as the rejected one falls further: likelihood displacement. So both are always drawn.",
    ),
    "after_training": Question(
        options=(
            "It refuses what could be dangerous",
            "It gives about as much help, without the hazard",
            "The hazard goes, and most of the help with it",
        ),
        right=1,
        why="The optimum keeps the ratios among safe answers, so nothing asks for refusals, and the pairs of equal safety go "
        "on teaching help. It is not free: to make the unsafe response of a pair less likely than the safe one, the run "
        "makes both less likely; a part of what they lose may go to texts that no pair mentions. Pushed too far, that costs help.",
    ),
}
