"""The worlds that are searched: small whole numbers first, then random ones."""

import itertools

import torch

from safedpo.finite.world import FiniteWorld, random_world

RANDOM = 60  # of each size


def candidates(answers: int, seed: int, *, prompts: int = 1) -> FiniteWorld:
    """Every world of this size with rewards 0, 1 or 2, safe answers first, costs -1 and 1, and a reference that is
    uniform or has its first answer twice as likely; then 60 random worlds of this seed. Simplest first: few unsafe
    answers, small rewards, a uniform reference. A candidate is `prompts` consecutive rows, (worlds * prompts, A).

    >>> worlds = candidates(2, seed=0)
    >>> worlds.prompts, worlds.ref_logps.exp()[0].tolist(), worlds.unsafe[0].tolist()
    (78, [0.5, 0.5], [False, True])
    """
    rows = []
    for hazards, twice in itertools.product(range(1, answers), (False, True)):
        for scores in sorted(itertools.product(range(3), repeat=answers), key=lambda r: (sum(r), r)):
            base = [2.0 if twice and not i else 1.0 for i in range(answers)]
            rows.append((base, scores, [i >= answers - hazards for i in range(answers)]))
    reference, reward, unsafe = (torch.tensor(column) for column in zip(*rows, strict=True))
    drawn = random_world(seed, RANDOM, answers)
    tables = [
        torch.cat([reference.double().log().log_softmax(-1), drawn.ref_logps]),
        torch.cat([reward.double(), drawn.reward]),
        torch.cat([unsafe, drawn.unsafe]),
        torch.cat([2 * unsafe.double() - 1, drawn.cost]),
    ]
    if prompts > 1:  # each row with the rows at some distance from it, so that a candidate's prompts differ
        count = len(tables[0])
        which = torch.stack([(torch.arange(count) + 7 * k) % count for k in range(prompts)], dim=1).flatten()
        tables = [table[which] for table in tables]
    ref_logps, rewards, flags, costs = tables
    return FiniteWorld(ref_logps, rewards, flags, costs)
