"""Notebook 06: a response's log-probability from padded logits, the distance to pi*, a step in pieces, a silent bug."""

import math
import random
from collections.abc import Callable

import torch
from torch import Tensor

from safedpo.labs.checking import Exercise
from safedpo.labs.checks.exercises import nb06 as further
from safedpo.labs.checks.exercises import numbers
from safedpo.labs.checks.exercises.mistakes import nb06 as mistakes
from safedpo.labs.checks.exercises.mistakes.nb06 import kl_in_loops
from safedpo.labs.predictions import Question


def _padded(seed, lengths, vocabulary=6):
    """Random logits for rows (prompt tokens, response tokens), padded on the right with the end token 0."""
    draw = torch.Generator().manual_seed(seed)
    width = max(p + r for p, r in lengths)
    ids = torch.zeros(len(lengths), width, dtype=torch.long)
    for i, (p, r) in enumerate(lengths):
        ids[i, : p + r - 1] = torch.randint(1, vocabulary, (p + r - 1,), generator=draw)  # the last one is the end
    logits = torch.randn(len(lengths), width, vocabulary, generator=draw, dtype=torch.float64)
    starts = torch.tensor([p for p, _ in lengths])
    return logits, ids, starts, starts + torch.tensor([r for _, r in lengths])


def _masked(logits, ids, starts, ends):
    """As of a model that may give every second word only: a forbidden word has the logit −∞, also behind the response."""
    free = logits.masked_fill(torch.arange(logits.shape[-1]) % 2 == 1, -math.inf)
    return free, (ids + ids % 2).clamp(max=4), starts, ends


PADDED = (_padded(0, [(3, 2), (2, 5), (4, 4)]), _padded(1, [(2, 3), (5, 6)]), _masked(*_padded(3, [(2, 4), (3, 5)])))
PADDED[2][1][0, -1] = 1  # what stands behind the response is a word that the model may not give


def _draw_padded(draw: random.Random) -> tuple:
    """Rows of drawn lengths; in every second case the model may give only every second word."""
    lengths = [(draw.randint(2, 5), draw.randint(1, 5)) for _ in range(draw.randint(2, 5))]
    case = _padded(draw.randrange(10**6), lengths)
    return _masked(*case) if draw.random() < 0.5 else case


def logps_in_loops(logits: Tensor, ids: Tensor, starts: Tensor, ends: Tensor) -> Tensor:
    """Response by response, word by word, with exp and log of plain numbers."""
    found = []
    for row, tokens, start, end in zip(logits.tolist(), ids.tolist(), starts.tolist(), ends.tolist(), strict=True):
        terms = []
        for t in range(start, end):
            weights = [math.exp(z) for z in row[t - 1]]
            terms.append(math.log(weights[tokens[t]] / math.fsum(weights)))
        found.append(math.fsum(terms))
    return torch.tensor(found, dtype=torch.float64)


def gradient_reaches_logits(function: Callable) -> str | None:
    """Along a random direction of the logits, autograd must agree with a difference of `logps_in_loops`."""
    logits, *others = PADDED[0]
    direction = torch.randn(logits.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    leaf = logits.clone().requires_grad_()
    found = function(leaf, *(a.clone() for a in others))
    if not isinstance(found, Tensor) or not found.requires_grad:
        return "The values are right, but no gradient flows to the logits (detach, item, a list or no_grad)."
    (gradient,) = torch.autograd.grad(found.sum(), leaf)
    up, down = (logps_in_loops(logits + sign * 1e-5 * direction, *others).sum() for sign in (1, -1))
    if not torch.isclose((gradient * direction).sum(), (up - down) / 2e-5, rtol=1e-5):
        return "The values are right, but the gradient with respect to the logits is not: part of it is detached."
    return None


def _tables(seed, prompts, answers):
    draw = torch.Generator().manual_seed(seed)
    best, policy = (torch.randn(prompts, answers, generator=draw, dtype=torch.float64) for _ in range(2))
    best[:, ::3] = -math.inf
    return best.log_softmax(-1), policy.log_softmax(-1)


# In the last table the policy never gives the second answer, which π* gives, nor the first, which π* does not give either.
_NEVER = (
    torch.tensor([[0.0, 0.4, 0.6], [0.0, 0.5, 0.5]]).double().log(),
    torch.tensor([[0.0, 0.0, 1.0], [0.2, 0.3, 0.5]]),
)
TABLES = (_tables(0, 2, 7), _tables(1, 3, 5), (_NEVER[0], _NEVER[1].double().log()))


STEPS = (  # the mean loss of each micro-batch, and its pairs
    (torch.tensor([2.5, 15.0], dtype=torch.float64), (4, 1)),
    (torch.tensor([0.6, 0.825, 0.4], dtype=torch.float64), (2, 4, 1)),
)


def step_pair_by_pair(means: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """The mean over all pairs, each of which has the mean loss of its micro-batch."""
    pairs = [mean for mean, size in zip(means.tolist(), sizes, strict=True) for _ in range(size)]
    return torch.tensor(math.fsum(pairs) / len(pairs), dtype=torch.float64)


MYSTERY = 12

EXERCISES = {
    "response_logps": Exercise(
        gives="log π of each response, (B,)",
        cases=PADDED,
        right=logps_in_loops,
        draw=_draw_padded,
        mistakes=mistakes.RESPONSE_LOGPS,
        hints=(
            "logits[:, t] predicts ids[:, t + 1]. So logits[:, :-1] and ids[:, 1:] belong together.",
            "Gather the log-softmax at the tokens; then keep the places t with starts <= t < ends and add up.",
            "place = torch.arange(1, ids.shape[1]); keep = (place >= starts[:, None]) & (place < ends[:, None])",
        ),
        further=(gradient_reaches_logits,),
    ),
    "kl_to_optimum": Exercise(
        gives="KL(π*‖π) of each prompt, (P,)",
        cases=TABLES,
        right=kl_in_loops,
        draw=numbers.kl_to_optimum,
        mistakes=mistakes.KL_TO_OPTIMUM,
        hints=(
            "KL(π*‖π) = Σ π* (log π* − log π), over the answers.",
            "Where π* is 0 its logarithm is −∞ and 0 · −∞ is NaN: such an answer adds 0. torch.where chooses.",
            "return torch.where(best.isneginf(), 0.0, best.exp() * (best - logps)).sum(-1)",
        ),
    ),
    "step_loss": Exercise(
        gives="the loss of the step, one number",
        cases=STEPS,
        right=step_pair_by_pair,
        draw=numbers.step_loss,
        mistakes=mistakes.STEP_LOSS,
        hints=(
            "How much should one pair weigh? The same, wherever the step was cut.",
            "A mean over n pairs stands for n losses: multiply it by n, add up, and divide once by all pairs of the step.",
            "return sum(mean * size for mean, size in zip(means, sizes)) / sum(sizes)",
        ),
    ),
    "silent_bug": Exercise(
        gives="the number of a fault",
        cases=((),),
        right=lambda: torch.tensor(float(MYSTERY)),
        mistakes={
            "With dropout in the reference the losses at step 0 would scatter; here they are right.": lambda: (
                torch.tensor(11.0)
            ),
            "β twice slows the margin down; here it does not move at all.": lambda: torch.tensor(13.0),
            "Nothing is wrong at step 0, but the sound margin grows and this one stays at 0: not sound.": lambda: (
                torch.tensor(0.0)
            ),
            "The tokens are counted rightly here; look at the reward margin.": lambda: torch.tensor(4.0),
        },
        hints=(
            "Tokens and step 0 look sound. What is left is what changes during training.",
            "The reward margin stays exactly 0 although the policy moves. Which quantity moves with it?",
            "The reference moves along with the policy: fault 12.",
        ),
    ),
} | further.EXERCISES

QUESTIONS = {
    "how_many_forwards": Question(
        ("one a sentence: about 11,500", "one for each distinct beginning", "one a prompt and depth: about 40"),
        2,
        "All beginnings of one length go through the model together, and what they share is computed once. So a step of "
        "training can be measured exactly, as often as we like.",
    ),
    "which_ends_at_optimum": Question(
        ("only Δ = 0: it has no extra force", "only Δ = 10: it is the safer one", "both, by different paths"),
        2,
        "Proposition 4.4 at work in a neural network: the optimum does not depend on Δ. What differs is how far down the "
        "unsafe mass has come by a given step, and how much the safe part was shaken on the way.",
    ),
    "where_does_mass_go": Question(
        ("to the chosen responses", "to the other responses of the data", "partly to strings that no pair mentions"),
        2,
        "The loss sees only the difference of two log-probabilities. Pushing the rejected response down satisfies it, and "
        "nothing says where the freed mass must go.",
    ),
    "rank": Question(
        (
            "rank 16 does as well as all weights in both tasks",
            "more rank imitates better; with pairs only all weights come near",
            "rank makes no difference in either task",
        ),
        1,
        "Imitation shows the room that a rank has: more rank, nearer. With pairs something else holds the adapters back too: "
        "the way back from what a large margin throws out at first, which takes many steps.",
    ),
}
