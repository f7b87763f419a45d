"""Notebook 08: how sure a mean over prompts is, what scaling an adapter stands for, and what a sweep can say."""

import math

import torch

from safedpo.labs.checking import Exercise
from safedpo.labs.checks.exercises import nb08 as further
from safedpo.labs.checks.exercises import numbers
from safedpo.labs.predictions import Question

# (prompts, responses to each): all responses to a prompt alike, none alike, and shares between.
_draw = torch.Generator().manual_seed(8)
ALIKE = (torch.rand(12, 1, generator=_draw, dtype=torch.float64) < 0.4).double().repeat(1, 4)
SCORES = (
    (ALIKE,),
    ((torch.rand(9, 3, generator=_draw) < 0.5).double(),),
    (torch.rand(20, 2, generator=_draw, dtype=torch.float64),),
    (100 * torch.rand(5, 2, generator=_draw, dtype=torch.float64),),
)


def standard_error_by_pairs(scores):
    """Half the mean squared difference of all pairs of prompt means is their variance: no mean is subtracted."""
    means = scores.mean(1).tolist()
    pairs = [(a - b) ** 2 / 2 for i, a in enumerate(means) for b in means[:i]]
    return torch.tensor(math.sqrt(math.fsum(pairs) / len(pairs) / len(means)), dtype=torch.float64)


def _world(seed, safe, beta):
    """A table of answers: log π_ref, and log of the optimum exp(r_c / beta) π_ref / Z, with the last answers unsafe."""
    draw = torch.Generator().manual_seed(seed)
    ref = torch.randn(6, generator=draw, dtype=torch.float64).log_softmax(0)
    reward = torch.rand(6, generator=draw, dtype=torch.float64)
    reward[safe:] -= 3  # a finite penalty, so that all logarithms are finite
    return ref, reward, (ref + reward / beta).log_softmax(0)


TABLES = {(seed, x): (*_world(seed, 4, 0.5), x) for seed, x in ((0, 0.5), (1, 0.75), (2, 0.0), (3, 0.25), (4, 2.0))}
# A hard optimum: the last answers are impossible under it, and strength 0 is still the reference.
for _seed, _x in ((5, 0.0), (6, 0.5)):
    _ref, _reward, _ = _world(_seed, 4, 0.5)
    _reward[4:] = -math.inf
    TABLES[_seed, _x] = (_ref, _reward, (_ref + _reward / 0.5).log_softmax(0), _x)
SCALINGS = tuple((ref, trained, x) for ref, _, trained, x in TABLES.values())


def scaled_by_numbers(ref, trained, x):
    """π_ref^(1 − x) π_1^x / Z with powers of plain probabilities; 0^0 is 1, so strength 0 is the reference."""
    pairs = zip(ref.tolist(), trained.tolist(), strict=True)
    weights = [math.exp(a) ** (1 - x) * math.exp(b) ** x for a, b in pairs]
    return torch.tensor([w / math.fsum(weights) for w in weights], dtype=torch.float64).log()


def _normal(scores):
    return scores.log_softmax(0)


EXERCISES = {
    "error_over_prompts": Exercise(
        gives="one number, the standard error of the mean",
        cases=SCORES,
        right=standard_error_by_pairs,
        draw=numbers.error_over_prompts,
        mistakes={
            "You counted every response as its own draw. Responses to one prompt resemble one another: take the mean "
            "of each prompt first.": lambda s: s.std() / math.sqrt(s.numel()),
            "You took the means of the columns. The prompts are the rows.": lambda s: (
                s.mean(0).std() / math.sqrt(s.shape[1])
            ),
            "That is the spread of the prompts, not the error of their mean: divide by the root of their number.": lambda s: (
                s.mean(1).std()
            ),
            "You divided by the number of prompts; the error falls with its square root.": lambda s: (
                s.mean(1).std() / len(s)
            ),
            "You divided the prompts' spread by the root of the number of responses; there are only as "
            "many draws as prompts.": lambda s: s.mean(1).std() / math.sqrt(s.numel()),
            "You divided by n inside the spread. The mean was estimated from the same prompts: n - 1 (torch's default).": lambda s: (
                s.mean(1).std(correction=0) / math.sqrt(len(s))
            ),
            "That is the variance of the mean; take its root.": lambda s: s.mean(1).var() / len(s),
            "That is the mean itself. How far would it move with other prompts?": lambda s: s.mean(),
            "That is 1.96 standard errors, half a 95 % interval. Give one standard error.": lambda s: (
                1.96 * s.mean(1).std() / math.sqrt(len(s))
            ),
        },
        hints=(
            "What was drawn independently: responses, or prompts?",
            "One number for each prompt: scores.mean(1).",
            "scores.mean(1).std() / math.sqrt(len(scores)).",
        ),
    ),
    "scaled_policy": Exercise(
        gives="log-probabilities, one for each answer",
        cases=SCALINGS,
        right=scaled_by_numbers,
        draw=numbers.scaled_policy,
        mistakes={
            "It does not sum to one: divide by its sum (log_softmax does).": lambda q, p, x: (1 - x) * q + x * p,
            "You exchanged the two: strength 0 is the reference, strength 1 the trained policy.": lambda q, p, x: (
                _normal(x * q + (1 - x) * p)
            ),
            "You mixed the probabilities. An adapter's strength scales log π_1 - log π_ref.": lambda q, p, x: (
                (1 - x) * q.exp() + x * p.exp()
            ).log(),
            "You scaled the trained log-probabilities and forgot the reference: at strength 0 that is uniform.": lambda q, p, x: (
                _normal(x * p)
            ),
            "You added the scaled log-ratio to the trained policy; it starts from the reference.": lambda q, p, x: (
                _normal(p + x * (p - q))
            ),
            "You subtracted the log-ratio: that walks away from the trained policy.": lambda q, p, x: _normal(
                q - x * (p - q)
            ),
            "You added the trained log-probabilities to the whole reference; only the log-ratio log π_1 - log π_ref is "
            "scaled.": lambda q, p, x: _normal(q + x * p),
            "Those are probabilities. Give log-probabilities.": lambda q, p, x: _normal((1 - x) * q + x * p).exp(),
            "That is the trained policy, whatever the strength.": lambda q, p, x: p,
            "You cut the strength at 1. Above 1 it goes beyond the trained policy, to a smaller β.": lambda q, p, x: (
                _normal(q + min(x, 1.0) * (p - q)) if x else q
            ),
            "At strength 0 an impossible answer of the trained policy gives 0 · −∞ = NaN. Strength 0 is the "
            "reference.": lambda q, p, x: _normal(q + x * (p - q)),
        },
        hints=(
            "Write the logits of the reference plus x times what training added to them.",
            "Training added log π_1 - log π_ref, up to a constant that normalising removes.",
            "(ref_logps + x * (trained_logps - ref_logps)).log_softmax(-1) for x > 0, and the reference at x = 0.",
        ),
    ),
} | further.EXERCISES

QUESTIONS = {
    "short_runs": Question(
        options=(
            "the same policy, up to chance: all margins have one optimum",
            "different policies",
            "different policies, so Proposition 4.4 is wrong for networks",
        ),
        right=1,
        why="The proposition is about the optimum, which only a long run comes near. These runs see a thousand pairs: "
        "what differs is the path, as in the bandit lab. Whether the safer one is also the less helpful one is then "
        "a measurement, and it is below.",
    ),
    "one_seed": Question(
        options=(
            "the larger margin is safer",
            "the larger margin is safer, if the two intervals over prompts are apart",
            "nothing yet about the margin: with another seed it may be the other way round",
        ),
        right=2,
        why="An interval over prompts says how another set of prompts would change the number of this one policy. Another "
        "seed trains another policy. So the runs are drawn as dots, seed by seed, and a difference counts where "
        "the dots of one margin lie apart from those of the other.",
    ),
    "half_and_half": Question(
        options=(
            "the policy that a margin between the two would have trained",
            "the average of what the two policies say",
            "a new policy; how near it is to anything has to be measured",
        ),
        right=2,
        why="The weights are averaged, not the probabilities, and logits are not linear in the weights of all layers "
        "together. It may come near the policy trained in between. Where an adapter was really trained there, the "
        "KL between the two says how near.",
    ),
}
