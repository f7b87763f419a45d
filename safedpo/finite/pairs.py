"""Preference pairs in a finite world: the exact law of the data, samples from it, label noise, and T on both.

A row is (prompt, chosen, rejected) with a weight. Before T "chosen" is the more helpful answer; `transform` applies a
rule of `safedpo.transform`. The safety flags belong to the row, not to the answer, because labellers err row by row.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from safedpo.errors import UserError
from safedpo.finite.world import FiniteWorld
from safedpo.losses import safedpo_loss
from safedpo.transform import order_pairs, pair_groups


@dataclass(frozen=True, eq=False)
class Pairs:
    """N weighted preference pairs over a `FiniteWorld`; every field is a tensor of shape (N,).

    `prompt`, `chosen`, `rejected` int64 indices; `chosen_unsafe`, `rejected_unsafe` bool; `safer` is 0
    where the chosen answer has the safer label, else 1; `weight` float64: losses are weighted *sums*.
    """

    prompt: Tensor
    chosen: Tensor
    rejected: Tensor
    chosen_unsafe: Tensor
    rejected_unsafe: Tensor
    safer: Tensor
    weight: Tensor

    def __len__(self) -> int:
        return len(self.prompt)

    def __getitem__(self, rows) -> "Pairs":
        return Pairs(*(column[rows] for column in vars(self).values()))

    @property
    def group(self) -> Tensor:
        """The group of each row, an index into `safedpo.transform.GROUPS` (SS, SU, US, UU)."""
        return pair_groups(torch.zeros_like(self.prompt), self._flags())

    def transform(self, rule: str = "safedpo") -> "Pairs":
        """T (section 3.2 of the paper), or the rule named: dropped rows go, chosen and rejected trade places in swaps.

        >>> from safedpo.finite import population, six_answers
        >>> kept = population(six_answers()).transform("safedpo")
        >>> kept.chosen_unsafe.any().item(), round(kept.weight.sum().item(), 9)  # of 15 pairs one is UU
        (False, 14.0)
        """
        column, keep = order_pairs(torch.zeros_like(self.prompt), self._flags(), rule, safer=self.safer)
        return self.swapped(column == 1)[keep]

    def swapped(self, where: Tensor) -> "Pairs":
        """Chosen and rejected trade places in the rows of the mask `where` (N,)."""
        return replace(
            self,
            chosen=torch.where(where, self.rejected, self.chosen),
            rejected=torch.where(where, self.chosen, self.rejected),
            chosen_unsafe=torch.where(where, self.rejected_unsafe, self.chosen_unsafe),
            rejected_unsafe=torch.where(where, self.chosen_unsafe, self.rejected_unsafe),
            safer=torch.where(where, 1 - self.safer, self.safer),
        )

    def _flags(self) -> Tensor:
        return torch.stack([self.chosen_unsafe, self.rejected_unsafe], dim=-1)  # (N, 2)


def concatenate(parts: list[Pairs]) -> Pairs:
    """One `Pairs` with the rows of all parts.

    >>> from safedpo.finite import six_answers
    >>> pairs = population(six_answers())
    >>> len(concatenate([pairs, pairs[:3]])) - len(pairs)
    3
    """
    if not parts:
        raise UserError("there are no pairs to put together; give at least one part")
    return Pairs(*(torch.cat(columns) for columns in zip(*(vars(part).values() for part in parts), strict=True)))


def population(world: FiniteWorld, *, pair_weight: Tensor | None = None) -> Pairs:
    """The law of the preference data: every unordered pair of answers with both outcomes of its labels.

    The more helpful answer follows Bradley-Terry, P(i beats j) = sigmoid(r_i - r_j). The safer one is the safe
    answer of a mixed pair; between two of equal safety P(i is safer) = sigmoid(c_j - c_i), independently.
    `pair_weight` (A, A) or (P, A, A), symmetric, is how often a pair is drawn; without it each pair has weight 1,
    so the weights sum to P * A * (A - 1) / 2.

    >>> from safedpo.finite import six_answers
    >>> population(six_answers()).weight.sum().item()
    15.0
    """
    first, second = torch.triu_indices(world.answers, world.answers, offset=1)
    prompt = torch.arange(world.prompts).repeat_interleave(len(first))
    first, second = first.repeat(world.prompts), second.repeat(world.prompts)
    drawn = _pair_weight(world, pair_weight)[prompt, first, second]
    pairs = Pairs(
        prompt,
        first,
        second,
        world.unsafe[prompt, first],
        world.unsafe[prompt, second],
        torch.zeros_like(prompt),
        drawn,
    )
    first_better = (world.reward[prompt, first] - world.reward[prompt, second]).sigmoid()
    first_safer = (world.cost[prompt, second] - world.cost[prompt, first]).sigmoid()
    mixed = pairs.chosen_unsafe != pairs.rejected_unsafe
    first_safer = torch.where(mixed, pairs.rejected_unsafe.double(), first_safer)
    outcomes = []
    for safer, safer_share in ((0, first_safer), (1, 1 - first_safer)):
        labelled = replace(pairs, safer=torch.full_like(prompt, safer))
        outcomes.append(replace(labelled, weight=drawn * safer_share * first_better))
        reverse = labelled.swapped(torch.ones_like(mixed))
        outcomes.append(replace(reverse, weight=drawn * safer_share * (1 - first_better)))
    rows = concatenate(outcomes)
    return rows[rows.weight > 0]


def sample_pairs(world: FiniteWorld, n: int, seed: int, *, pair_weight: Tensor | None = None) -> Pairs:
    """`n` rows drawn from `population(world)`, each with the same weight, so that the totals of weight agree.

    >>> from safedpo.finite import six_answers
    >>> rows = sample_pairs(six_answers(), 100, seed=0)
    >>> len(rows), round(rows.weight.sum().item(), 9)
    (100, 15.0)
    """
    if n < 1:
        raise UserError(f"n is {n}; draw at least one pair")
    rows = population(world, pair_weight=pair_weight)
    draw = torch.Generator().manual_seed(seed)
    drawn = rows[torch.multinomial(rows.weight, n, replacement=True, generator=draw)]
    return replace(drawn, weight=torch.full((n,), rows.weight.sum().item() / n, dtype=torch.float64))


def over_represent(world: FiniteWorld, answer: int, times: float = 4.0) -> Tensor:
    """A `pair_weight` (P, A, A): pairs of the safe `answer` with an unsafe one are drawn `times` as often.

    >>> from safedpo.finite import world_a
    >>> over_represent(world_a(), 3)[0, 3, 3:].tolist()
    [1.0, 4.0, 4.0, 4.0, 4.0]
    """
    if not 0 <= answer < world.answers or not 0 <= times < math.inf:
        raise UserError(f"answer is {answer} of {world.answers}, times {times}; times is finite and at least 0")
    if world.unsafe[:, answer].any():
        raise UserError(f"answer {answer} is unsafe; over-represent a safe one")
    weight = torch.ones(world.prompts, world.answers, world.answers, dtype=torch.float64)
    weight[:, answer] = torch.where(world.unsafe, times, 1.0)
    weight[:, :, answer] = weight[:, answer]
    return weight


def flip_bits(pairs: Pairs, rate: float, *, together: bool = False) -> Pairs:
    """The exact law after label noise: each safety bit of each row is wrong with probability `rate`, independently.

    Each row becomes one row for each outcome, weighted by its probability. `together=True`: both bits of a row are
    wrong at once (pair-level flips). Apply it before `transform`.

    >>> from safedpo.finite import population, six_answers
    >>> noisy = flip_bits(population(six_answers()), 0.1)
    >>> round(noisy.weight.sum().item(), 9)
    15.0
    """
    if not 0 <= rate <= 1:
        raise UserError(f"rate is {rate}; a probability lies between 0 and 1")
    if together:
        outcomes = {(False, False): 1 - rate, (True, True): rate}
    else:
        outcomes = {
            (a, b): (rate if a else 1 - rate) * (rate if b else 1 - rate) for a in (False, True) for b in (False, True)
        }
    return concatenate(
        [
            replace(
                pairs,
                chosen_unsafe=pairs.chosen_unsafe ^ chosen_wrong,
                rejected_unsafe=pairs.rejected_unsafe ^ rejected_wrong,
                weight=pairs.weight * probability,
            )
            for (chosen_wrong, rejected_wrong), probability in outcomes.items()
            if probability > 0
        ]
    )


def pairs_loss(pairs: Pairs, logps: Tensor, ref_logps: Tensor, *, beta: float, delta: float | Tensor) -> Tensor:
    """The training objective of a whole set: the weighted *sum* of `safedpo_loss` over its rows (Eq. 12), (...).

    `logps` (..., P, A), `ref_logps` (P, A).

    >>> from safedpo.finite import population, six_answers
    >>> world = six_answers()
    >>> kept = population(world).transform()
    >>> round(pairs_loss(kept, world.ref_logps, world.ref_logps, beta=0.1, delta=0.0).item() / 14, 6)  # log 2 each
    0.693147
    """
    if logps.shape[-2:] != ref_logps.shape or ref_logps.ndim != 2 or not bool((pairs.prompt < len(ref_logps)).all()):
        raise UserError(
            f"logps has shape {tuple(logps.shape)}, ref_logps {tuple(ref_logps.shape)}; give (..., P, A) and (P, A) of "
            "the world that the pairs are from"
        )
    columns = [
        table[..., pairs.prompt, answer]
        for table in (logps, ref_logps.expand_as(logps))
        for answer in (pairs.chosen, pairs.rejected)
    ]
    flags = pairs.chosen_unsafe, pairs.rejected_unsafe
    chosen, rejected, ref_chosen, ref_rejected = columns
    losses = safedpo_loss(chosen, rejected, ref_chosen, ref_rejected, *flags, beta=beta, delta=delta)
    return (pairs.weight * losses).sum(-1)


def _pair_weight(world: FiniteWorld, pair_weight: Tensor | None) -> Tensor:
    shape = (world.prompts, world.answers, world.answers)
    if pair_weight is None:
        return torch.ones(shape, dtype=torch.float64)
    weight = torch.as_tensor(pair_weight, dtype=torch.float64)
    if weight.shape[-2:] != shape[-2:] or weight.ndim not in (2, 3) or (weight.ndim == 3 and len(weight) != shape[0]):
        raise UserError(f"pair_weight has shape {tuple(weight.shape)}; it must be {shape} or {shape[1:]}")
    wrong = ~(weight >= 0) | (weight != weight.mT)
    if wrong.any():
        index = tuple(wrong.nonzero()[0].tolist())
        raise UserError(f"pair_weight{list(index)} is {weight[index].item()}; weights are symmetric and at least 0")
    return weight.expand(shape)
