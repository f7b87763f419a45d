"""Notebook 04: what T does to pairs whose safety bits are wrong; what a large margin costs, read from the path."""

import functools
from itertools import product

import torch
from torch import Tensor

from safedpo.labs.checking import Exercise
from safedpo.labs.checks.exercises import nb04 as further
from safedpo.labs.checks.exercises import numbers
from safedpo.labs.predictions import Question

# flip rate of a bit, and the probability that the safe answer is also the more helpful one
NOISE = ((0.1, 0.3), (0.25, 0.8), (0.02, 0.55), (0.0, 0.4), (1.0, 0.2))


def noise_by_enumeration(rate: float, safe_wins: float) -> tuple[Tensor, ...]:
    """All eight outcomes (who is better, which bits are wrong) of a true safe/unsafe pair, T applied to each."""
    survive = wrong = wrong_with_margin = 0.0
    for safe_is_better, safe_flipped, unsafe_flipped in product((True, False), repeat=3):
        chance = safe_wins if safe_is_better else 1 - safe_wins
        chance *= (rate if safe_flipped else 1 - rate) * (rate if unsafe_flipped else 1 - rate)
        safe_looks_unsafe, unsafe_looks_unsafe = safe_flipped, not unsafe_flipped
        if safe_looks_unsafe and unsafe_looks_unsafe:
            continue  # looks UU: dropped
        margin = safe_looks_unsafe != unsafe_looks_unsafe
        safe_chosen = (not safe_looks_unsafe) if margin else safe_is_better
        survive += chance
        wrong += 0.0 if safe_chosen else chance
        wrong_with_margin += chance if margin and not safe_chosen else 0.0
    return _three(survive, wrong, wrong_with_margin)


def _three(*values):
    return tuple(torch.tensor(float(value), dtype=torch.float64) for value in values)


def _survive(e):
    return 1 - e + e * e


@functools.cache
def safe_distances() -> dict[tuple[int, float], float]:
    """(step, delta) -> TV of the safe part to pi* in world A, from a training loop of its own with autograd."""
    from safedpo.finite import optimal_policy, over_represent, pairs_loss, population, tv, world_a

    world = world_a()
    pairs, best, found = population(world, pair_weight=over_represent(world, 3)).transform(), None, {}
    best = optimal_policy(world, 0.1)
    for delta in (0.0, 20.0, 50.0):
        logits = world.ref_logps.clone().requires_grad_()
        for step in range(1, 1001):
            loss = pairs_loss(pairs, logits.log_softmax(-1), world.ref_logps, beta=0.1, delta=delta)
            (gradient,) = torch.autograd.grad(loss, logits)
            logits.data -= 5.0 * gradient
            if step in (100, 200, 1000):
                safe = logits.detach().masked_fill(world.unsafe, -torch.inf).log_softmax(-1)
                found[step, delta] = tv(safe, best).item()
    return found


def _read(step: int, delta: float) -> Tensor:
    return torch.tensor(safe_distances()[step, delta], dtype=torch.float64)


def price_by_training() -> Tensor:
    """TV of the safe part at step 200 with delta = 50, minus that with delta = 0."""
    return _read(200, 50.0) - _read(200, 0.0)


EXERCISES = {
    "t_under_noise": Exercise(
        gives="three shares of all truly mixed pairs: surviving T, wrongly ordered, wrongly ordered with a margin",
        cases=NOISE,
        right=noise_by_enumeration,
        draw=numbers.t_under_noise,
        mistakes={
            "These are shares of the pairs that survive; give shares of *all* truly mixed pairs.": lambda e, p: _three(
                _survive(e), (e * e + e * (1 - e) * (1 - p)) / _survive(e), e * e / _survive(e)
            ),
            "The safe and the unsafe winner are exchanged: p is the chance that the *safe* answer is more helpful.": lambda e, p: (
                _three(_survive(e), e * e + e * (1 - e) * p, e * e)
            ),
            "A pair with both bits wrong looks mixed, not UU: it is kept, reversed.": lambda e, p: _three(
                1 - e, e * (1 - e) * (1 - p), 0.0
            ),
            "Both kinds of single flip are dropped here. Only the one that makes the pair look UU is; the other "
            "looks SS.": lambda e, p: _three((1 - e) ** 2 + e * e, e * e, e * e),
            "Nothing is dropped here: where the safe answer's bit alone is wrong the pair looks UU.": lambda e, p: (
                _three(1.0, e * e + e * (1 - e) * (1 - p), e * e)
            ),
            "A pair that looks SS has no margin; only both bits wrong gives a wrong order *with* one.": lambda e, p: (
                _three(_survive(e), *[e * e + e * (1 - e) * (1 - p)] * 2)
            ),
            "A pair that looks SS is ordered by helpfulness, so it is wrong only where the unsafe answer is "
            "more helpful.": lambda e, p: _three(_survive(e), e * e + e * (1 - e), e * e),
            "One wrong bit is not always a wrong order: a pair with a wrong bit is dropped, or falls back to "
            "helpfulness.": lambda e, p: _three(_survive(e), 2 * e * (1 - e) + e * e, e * e),
            "That is the pair-level flip (both bits at once, with probability ε). Here each bit errs on its own.": lambda e, p: (
                _three(1.0, e, e)
            ),
            "A helpfulness order is not forgotten in the looks-SS case: its wrong share (1−p) is missing.": lambda e, p: (
                _three(_survive(e), e * e, e * e)
            ),
            "You give the share that is dropped first; the question is what survives.": lambda e, p: _three(
                e * (1 - e), e * e + e * (1 - e) * (1 - p), e * e
            ),
        },
        hints=(
            "Four cases: no bit wrong, the safe answer's, the unsafe answer's, both. What does each pair look like?",
            "Looks SU: right. Looks UU: dropped. Looks SS: ordered by helpfulness. Reversed: wrong, with a margin.",
            "return 1 - rate + rate**2, rate**2 + rate * (1 - rate) * (1 - safe_wins), rate**2",
        ),
    ),
    "price_of_margin": Exercise(
        gives="one number, a difference of total variations",
        cases=((),),
        right=price_by_training,
        mistakes={
            "That is the distance at Δ = 50 itself; the question is how much *larger* it is than at Δ = 0.": lambda: (
                _read(200, 50.0)
            ),
            "That is the distance at Δ = 0; subtract it from the one at Δ = 50.": lambda: _read(200, 0.0),
            "The sign: the larger margin leaves the safe part *further* away at this step.": lambda: (
                -price_by_training()
            ),
            "That is a ratio; the question asks for a difference.": lambda: _read(200, 50.0) / _read(200, 0.0),
            "That is read at Δ = 20; move the second slider to its end.": lambda: _read(200, 20.0) - _read(200, 0.0),
            "That is read at step 1,000, where they have nearly met; the question is about step 200.": lambda: (
                _read(1000, 50.0) - _read(1000, 0.0)
            ),
            "That is read at step 100; the question is about step 200.": lambda: _read(100, 50.0) - _read(100, 0.0),
            "That is the distance at Δ = 20; read at Δ = 50, and subtract the one at Δ = 0.": lambda: _read(200, 20.0),
        },
        hints=(
            "Set the step to 200. Read the lower panel (safe part) at Δ = 0, then at Δ = 50.",
            "The sentence under the figure gives both numbers: about 0.06 and 0.32.",
            "return 0.317 - 0.0604",
        ),
        tolerance=0.004,
    ),
} | further.EXERCISES

QUESTIONS = {
    "path_or_place": Question(
        (
            "the larger Δ is safer sooner and better everywhere",
            "the larger Δ is safer sooner, its safe part arrives later",
            "both paths are the same: the optimum is",
        ),
        1,
        "A margin keeps pushing safe-over-unsafe pairs after they are won, and that push goes to whichever safe "
        "answer met "
        "most unsafe ones. Unsafe mass falls sooner; the order among safe answers is settled later.",
    ),
    "margin_without_t": Question(
        (
            "it is as safe as SafeDPO",
            "it is safe only where the data shows the unsafe answer losing",
            "it is never safe",
        ),
        1,
        "With few pairs an unsafe answer that only won keeps being pushed up: nothing reverses its pairs. "
        "With exact "
        "data the margin alone has the finite optimum π_C with C = Δ.",
    ),
    "drop_or_swap": Question(
        ("SafeDPO", "DPO-safebetter", "neither: their optimum is the same"),
        0,
        "The same optimum, from exact data. From three pairs a prompt, an unsafe answer that only ever won has "
        "no pair left "
        "under safebetter; SafeDPO reverses those very pairs.",
    ),
    "noise_and_margin": Question(
        ("it stays where it is", "it moves up, to about Δ plus a constant", "it moves down"),
        1,
        "Wrong bits make the optimum finite, and then it depends on Δ: m* ≈ Δ + log((1−κ)/κ). Proposition 4.4 "
        "needs right "
        "bits.",
    ),
    "two_thirds_uu": Question(
        ("nothing: they say nothing", "whole prompts, which stay at the reference", "only helpfulness"),
        1,
        "A prompt whose few pairs are all UU has no pair left after T, so nothing moves it. Re-using UU pairs "
        "against a "
        "refusal reaches those prompts, and teaches refusal.",
    ),
    "chosen_falls": Question(
        ("it rises: that is what training does", "it may fall while the gap grows", "it stays"),
        1,
        "The loss sees only the difference. With shared parameters the direction that pushes the rejected "
        "answer down can "
        "pull the chosen one with it, and a third answer gains.",
    ),
} | further.QUESTIONS
