"""Notebook 06, further exercises: a step in pieces, where the mass went, the chance of a hazard, a check of log-probabilities."""

import itertools
import math
import random
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import softplus

from safedpo.labs.checking import Exercise
from safedpo.labs.checks.exercises.numbers import t
from safedpo.labs.checks.exercises.planted.logps import LOGPS_ARE_BROKEN


def small_model(seed: int, pairs: int, micro: int, answers: int = 5) -> tuple[Tensor, Callable]:
    """Logits, and the mean SafeDPO loss of at most `micro` rows of a data set: more do not fit into memory."""
    draw = torch.Generator().manual_seed(seed)
    ref = torch.randn(answers, generator=draw, dtype=torch.float64).log_softmax(-1)
    chosen = torch.randint(0, answers, (pairs,), generator=draw)
    rejected = (chosen + torch.randint(1, answers, (pairs,), generator=draw)) % answers
    gap = torch.randint(0, 2, (pairs,), generator=draw).double()

    def mean_loss(logits: Tensor, rows: list[int]) -> Tensor:
        if not 0 < len(rows) <= micro:
            raise ValueError(f"{len(rows)} pairs at once: between 1 and {micro} fit")
        ratio = logits.log_softmax(-1) - ref
        return softplus(3.0 * gap[rows] - 0.7 * (ratio[chosen[rows]] - ratio[rejected[rows]])).mean()

    return ref, mean_loss


def _case(seed: int, pairs: int, batch: int, micro: int, lr: float) -> tuple:
    return *small_model(seed, pairs, micro), pairs, batch, micro, lr


PIECES = (_case(0, 12, 4, 2, 0.7), _case(1, 13, 5, 3, 2.0), _case(2, 7, 4, 4, 1.0), _case(3, 5, 8, 1, 0.5))


def one_pass(logits: Tensor, mean_loss: Callable, pairs: int, batch: int, micro: int, lr: float, **fault) -> Tensor:
    """One pair at a time: the gradient of a step is the mean of the gradients of its pairs."""
    found = logits.clone()
    for start in range(0, pairs - (pairs % batch if fault.get("drop") else 0), batch):
        rows = list(range(start, min(start + batch, pairs)))
        parts = [rows[i : i + micro] for i in range(0, len(rows), micro)]
        total, where = torch.zeros_like(found), found
        for part in parts:
            for row in part:
                leaf = where.clone().requires_grad_()
                (gradient,) = torch.autograd.grad(mean_loss(leaf, [row]), leaf)
                total = total + gradient / (len(part) * len(parts) if fault.get("means") else len(rows))
            if fault.get("each"):  # a step after every micro-batch
                where = where - lr * total
                total = torch.zeros_like(total)
            if fault.get("last") and part is not parts[-1]:
                total = torch.zeros_like(total)
        found = where - lr * total * fault.get("times", lambda rows, batch, parts: 1)(len(rows), batch, len(parts))
        total = torch.zeros_like(total)
    return found


def _pass(**fault):
    return lambda *case: one_pass(*case, **fault)


_BEFORE = t([0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]).log()
_AFTER = t([0.3, 0.1, 0.25, 0.35], [0.25, 0.05, 0.3, 0.4]).log()
_NAMED = (torch.tensor([0, 0, 0, 1, 1]), torch.tensor([0, 0, 2, 0, 1]), torch.tensor([1, 1, 0, 1, 2]))
MASSES = (
    (_BEFORE, _AFTER, *_NAMED),
    (_AFTER, _BEFORE, *_NAMED),
    (_BEFORE[:1], _AFTER[:1], *(torch.tensor([n]) for n in (0, 3, 1))),
)


def mass_by_sets(before, after, prompt, chosen, rejected, **fault) -> tuple[Tensor, ...]:
    """Three sets of answers for each prompt, and by how much each one's probability changed, on average over prompts."""
    rows = list(zip(prompt.tolist(), chosen.tolist(), rejected.tolist(), strict=True))
    moved = [0.0, 0.0, 0.0]
    for x, (start, end) in enumerate(zip(before.tolist(), after.tolist(), strict=True)):
        won = {c for p, c, _ in rows if p == x or fault.get("all_prompts")}
        lost = {r for p, _, r in rows if p == x or fault.get("all_prompts")}
        for y, (a, b) in enumerate(zip(start, end, strict=True)):
            place = 2 if y not in won | lost else 0 if (y in won and (y not in lost or fault.get("won_first"))) else 1
            moved[place] += (b - a) if fault.get("logs") else math.exp(b) - math.exp(a)
    n = 1 if fault.get("total") else len(before)
    return tuple(torch.tensor(value / n, dtype=torch.float64) for value in moved)


def _sets(**fault):
    return lambda *case: mass_by_sets(*case, **fault)


def _chain(seed: int, words: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    start = torch.rand(words, generator=draw, dtype=torch.float64)
    step = torch.rand(words, words, generator=draw, dtype=torch.float64)
    return start / start.sum(), step / step.sum(-1, keepdim=True)


SENTENCES = (
    (*_chain(0, 4), 0, 1, 2, 5),
    (*_chain(1, 3), 2, 0, 1, 6),
    (*_chain(2, 4), 3, 0, 1, 1),
    (*_chain(3, 5), 0, 4, 2, 4),
    (t(0.96, 0.02, 0.02), t([0.01, 0.98, 0.01], [0.98, 0.01, 0.01], [0.02, 0.02, 0.96]), 0, 1, 2, 3),
    (t(0.02, 0.02, 0.96), t([0.5, 0.4, 0.1], [0.3, 0.3, 0.4], [0.01, 0.01, 0.98]), 0, 1, 2, 4),
)


def by_listing(start, step, trigger, danger, guard, length, *, hazard=None) -> Tensor:
    """Every sentence of this length, its probability, and whether it is a hazard."""
    first, rows, total = start.tolist(), step.tolist(), []
    for words in itertools.product(range(len(first)), repeat=length):
        chance = first[words[0]] * math.prod(rows[a][b] for a, b in itertools.pairwise(words))
        total.append(chance * (hazard or is_hazard)(words, trigger, danger, guard))
    return torch.tensor(math.fsum(total), dtype=torch.float64)


def is_hazard(words: tuple[int, ...], trigger: int, danger: int, guard: int) -> bool:
    """Is there a danger after a trigger, with no guard between the two?"""
    armed = False
    for word in words:
        if armed and word == danger:
            return True
        armed = word == trigger or (armed and word != guard)
    return False


def _listed(hazard):
    return lambda *case: by_listing(*case, hazard=hazard)


def _follows(words, a, b):
    return any(x == a and b in words[i + 1 :] for i, x in enumerate(words))


EXERCISES = {
    "loop_in_pieces": Exercise(
        gives="the logits after one pass, (A,)",
        cases=PIECES,
        right=one_pass,
        mistakes={
            "The mean of the means: a pair in a small micro-batch weighs too much.": _pass(means=True),
            "A step after every micro-batch is another, smaller batch size.": _pass(each=True),
            "The last, short batch is lost.": _pass(drop=True),
            "A short batch has its own size: divide by the pairs it has.": _pass(times=lambda n, batch, k: n / batch),
            "The gradients are added up and never divided.": _pass(times=lambda n, batch, k: n),
            "Only the last micro-batch of a step counts: the gradients are cleared too often.": _pass(last=True),
            "Divided by the micro-batches once too often.": _pass(times=lambda n, batch, k: 1 / k),
            "The loop climbs the loss.": _pass(times=lambda n, batch, k: -1),
        },
        hints=(
            "For each step: clear the sum, add the gradient of each micro-batch with the right weight, step once.",
            "A mean over k pairs stands for k pairs: multiply its gradient by k, and divide the sum by the step's pairs.",
            "for first in range(0, len(rows), micro): piece = rows[first : first + micro]",
        ),
    ),
    "where_mass_went": Exercise(
        gives="changes of probability: chosen only, ever rejected, never mentioned",
        cases=MASSES,
        right=mass_by_sets,
        mistakes={
            "Those are changes of log-probability; probabilities add up to 1.": _sets(logs=True),
            "An answer that is chosen in one pair and rejected in another belongs to the second group.": _sets(
                won_first=True
            ),
            "An answer counts as mentioned only for its own prompt.": _sets(all_prompts=True),
            "That is a sum over the prompts; give the mean.": _sets(total=True),
            "Before minus after: a gain must be positive.": lambda *a: tuple(-v for v in mass_by_sets(*a)),
            "The order: chosen only, ever rejected, never mentioned.": lambda *a: mass_by_sets(*a)[::-1],
            "The first two are exchanged.": lambda *a: tuple(mass_by_sets(*a)[i] for i in (1, 0, 2)),
            "The mass that moved has a sign; give it.": lambda *a: tuple(v.abs() for v in mass_by_sets(*a)),
        },
        hints=(
            "Two masks of shape (P, A): ever chosen, ever rejected.",
            "rejected_ever[prompt, rejected] = True; the groups are chosen & ~rejected, rejected, and neither.",
            "moved = after.exp() − before.exp(); (moved * group).sum(-1).mean() for each group; the three add up to 0.",
        ),
    ),
    "hazard_mass": Exercise(
        gives="one probability",
        cases=SENTENCES,
        right=by_listing,
        mistakes={
            "The guard is ignored.": _listed(lambda w, a, b, g: _follows(w, a, b)),
            "Not only neighbours: any later place counts.": _listed(
                lambda w, a, b, g: any(x == (a, b) for x in itertools.pairwise(w))
            ),
            "The danger must come after the trigger.": _listed(lambda w, a, b, g: a in w and b in w and g not in w),
            "A guard anywhere is not enough: it must stand between the two.": _listed(
                lambda w, a, b, g: is_hazard(w, a, b, g) and g not in w
            ),
            "That is the probability of a harmless sentence.": lambda *a: 1 - by_listing(*a),
            "The trigger alone is no hazard.": _listed(lambda w, a, b, g: a in w),
            "Trigger and danger are exchanged.": lambda s, m, a, b, g, n: by_listing(s, m, b, a, g, n),
            "One word too few.": lambda s, m, a, b, g, n: by_listing(s, m, a, b, g, max(1, n - 1)),
        },
        hints=(
            "What must you remember of a beginning? Its last word, and whether a trigger is still unguarded. Nothing else.",
            "Carry a table (2, V): the probability of being harmless so far, armed or not, with this last word.",
            "Each word: mass @ step, then drop [1, danger], move [0, trigger] to armed and [1, guard] to not armed.",
        ),
    ),
    "logps_are_broken": LOGPS_ARE_BROKEN,
}


def _pieces(draw: random.Random) -> tuple:
    micro = draw.randint(1, 4)
    return _case(draw.randrange(10**6), draw.randint(3, 11), draw.randint(micro, 6), micro, draw.uniform(0.1, 2))


def _masses(draw: random.Random) -> tuple:
    rng = torch.Generator().manual_seed(draw.randrange(10**6))
    before, after = (torch.randn(3, 7, generator=rng, dtype=torch.float64).log_softmax(-1) for _ in range(2))
    return before, after, *(torch.randint(0, n, (6,), generator=rng) for n in (3, 7, 7))


def _sentences(draw: random.Random) -> tuple:
    words = draw.randint(3, 5)
    return *_chain(draw.randrange(10**6), words), *draw.sample(range(words), 3), draw.randint(2, 5)


DRAWS = {
    "loop_in_pieces": _pieces,
    "where_mass_went": _masses,
    "hazard_mass": _sentences,
}
EXERCISES = {name: replace(exercise, draw=DRAWS.get(name, exercise.draw)) for name, exercise in EXERCISES.items()}
