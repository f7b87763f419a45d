"""Claims about the transformation T: section 3.2 of the paper and Proposition 4.3."""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from safedpo.finite.claims.claim import STANDARD_ERRORS, Claim, generator, largest, random_policies, relative
from safedpo.finite.newton import newton
from safedpo.finite.optimum import modified_reward, optimal_policy, tv
from safedpo.finite.pairs import Pairs, pairs_loss, population, sample_pairs
from safedpo.finite.world import FiniteWorld, random_world

BETAS = (0.1, 1.0)


def random_pair_weight(world: FiniteWorld, seed: int) -> Tensor:
    """>>> from safedpo.finite import six_answers

    >>> weight = random_pair_weight(six_answers(), seed=0)
    >>> weight.shape, torch.equal(weight, weight.mT)
    (torch.Size([1, 6, 6]), True)
    """
    weight = torch.rand(world.prompts, world.answers, world.answers, generator=generator(seed), dtype=torch.float64)
    return weight + weight.mT


def law_under_modified_reward(world: FiniteWorld) -> Tensor:
    """P(i beats j) = sigmoid(r_c(i) - r_c(j)), (P, A, A); 0 where (-inf) - (-inf) says nothing: UU carries no loss.

    >>> from safedpo.finite import six_answers
    >>> law = law_under_modified_reward(six_answers())[0]
    >>> law[0, 4].item(), law[4, 0].item(), law[4, 5].item(), round((law[0, 1] + law[1, 0]).item(), 9)
    (1.0, 0.0, 0.0, 1.0)
    """
    modified = modified_reward(world)
    return (modified[:, :, None] - modified[:, None, :]).sigmoid().nan_to_num(nan=0.0)


def table_of(pairs: Pairs, world: FiniteWorld) -> Tensor:
    """Total weight of each (prompt, chosen, rejected), (P, A, A).

    >>> from safedpo.finite import six_answers
    >>> table = table_of(population(six_answers()), six_answers())[0]
    >>> round((table[0, 1] + table[1, 0]).item(), 9), round(table[0, 1].item(), 4)  # sigmoid(1.0 - 0.6)
    (1.0, 0.5987)
    """
    table = torch.zeros(world.prompts, world.answers, world.answers, dtype=torch.float64)
    return table.index_put((pairs.prompt, pairs.chosen, pairs.rejected), pairs.weight, accumulate=True)


def two_objectives(seed: int, worlds: int) -> float:
    world = random_world(seed, worlds)
    weight = random_pair_weight(world, seed)
    policies = random_policies(world, 5, seed)
    kept = population(world, pair_weight=weight).transform("safedpo")
    differences = []
    for beta in BETAS:
        reward = beta * (policies - world.ref_logps)  # (5, P, A)
        loss = -logsigmoid(reward[..., :, None] - reward[..., None, :])
        off_diagonal = 1 - torch.eye(world.answers, dtype=torch.float64)
        intractable = (weight * law_under_modified_reward(world) * off_diagonal * loss).sum((-3, -2, -1))
        tractable = pairs_loss(kept, policies, world.ref_logps, beta=beta, delta=0.0)
        differences.append(relative(tractable, intractable))
    return largest(*differences)


def law_of_t(seed: int, worlds: int) -> float:
    world = random_world(seed, worlds)
    weight = random_pair_weight(world, seed)
    expected = weight * law_under_modified_reward(world) * (1 - torch.eye(world.answers, dtype=torch.float64))
    return largest(table_of(population(world, pair_weight=weight).transform("safedpo"), world) - expected)


def law_of_t_sampled(seed: int, worlds: int) -> float:
    errors, n = [], 100_000
    for number in range(min(worlds, 3)):
        world = random_world(seed + 1000 * number, answers=5)
        drawn = sample_pairs(world, n, seed + 1000 * number)
        count = table_of(drawn.transform("safedpo"), world) * n / drawn.weight.sum()
        off_diagonal = 1 - torch.eye(world.answers, dtype=torch.float64)
        share = law_under_modified_reward(world) * off_diagonal / drawn.weight.sum()
        # Cells too rare for the normal law are counted together; an impossible cell must be empty.
        common, rare = share * n >= 100, (share > 0) & (share * n < 100)
        share = torch.cat([share[common], share[rare].sum()[None].clamp(min=100 / n)])
        seen = torch.cat([count[common], (count[rare].sum() if rare.any() else share[-1] * n)[None]])
        errors += [(seen - share * n) / (n * share * (1 - share)).sqrt(), count[law_under_modified_reward(world) == 0]]
    return largest(*errors)


def t_twice(seed: int, worlds: int) -> float:
    world = random_world(seed, worlds)
    once = population(world).transform("safedpo")
    twice = once.transform("safedpo")
    unsafe_winners = once.weight[world.unsafe[once.prompt, once.chosen]].sum()
    return largest(table_of(once, world) - table_of(twice, world), unsafe_winners)


def uu_renormalised(seed: int, worlds: int) -> float:
    """The mean over T(D) against the mean over all of D in which a UU pair carries no loss."""
    world = random_world(seed, worlds)
    weight = random_pair_weight(world, seed)
    off_diagonal = weight * (1 - torch.eye(world.answers, dtype=torch.float64))
    uu = (off_diagonal * (world.unsafe[:, :, None] & world.unsafe[:, None, :])).sum() / off_diagonal.sum()
    kept, differences = population(world, pair_weight=weight).transform("safedpo"), []
    for policy in random_policies(world, 5, seed):
        reward = policy - world.ref_logps
        loss = -logsigmoid(reward[:, :, None] - reward[:, None, :])
        of_all = (off_diagonal * law_under_modified_reward(world) * loss).sum() / (off_diagonal.sum() / 2)
        of_kept = pairs_loss(kept, policy, world.ref_logps, beta=1.0, delta=0.0) / kept.weight.sum()
        differences.append(relative(of_kept, of_all / (1 - uu)))
    return largest(*differences)


def prompt_weights(seed: int, worlds: int) -> float:
    """Shares of the prompts in T(D), and where training ends when one prompt has nothing but UU pairs."""
    world = random_world(seed, max(worlds, 2), unsafe_answers=3)
    drawn = 0.1 + torch.rand(world.prompts, 1, 1, generator=generator(seed), dtype=torch.float64)
    weight = drawn.expand(-1, world.answers, world.answers).clone()
    weight[0] = torch.where(world.unsafe[0][:, None] & world.unsafe[0][None, :], weight[0], 0.0)
    kept = population(world, pair_weight=weight).transform("safedpo")
    seen = torch.zeros(world.prompts, dtype=torch.float64).index_add(0, kept.prompt, kept.weight)
    expected = drawn[:, 0, 0] * 15 * (1 - 3 / 15)  # 6 answers make 15 pairs, 3 unsafe ones make 3 of them UU
    expected[0] = 0.0
    end = newton(kept, world.ref_logps[None], world.ref_logps, beta=1.0, deltas=[0.0, 5.0])[:, 0]
    best = optimal_policy(world, 1.0)
    return largest(seen - expected, tv(end[:, 1:], best[1:]), tv(end[:, 0], world.ref_logps[0]))


CLAIMS = (
    Claim("law-of-t", "T(D) has the law σ(r_c(y_1) − r_c(y_2)), UU pairs apart", "section 3.2", 1e-12, law_of_t),
    Claim(
        "law-of-t-sampled",
        "sampled pairs after T follow that law (in standard errors)",
        "section 3.2",
        STANDARD_ERRORS,
        law_of_t_sampled,
    ),
    Claim(
        "two-objectives",
        "the intractable objective (labels by Bradley-Terry under r_c) equals the tractable one on "
        "T(D), for every policy",
        "Prop. 4.3, Eq. 10-11",
        1e-12,
        two_objectives,
    ),
    Claim("t-twice", "T leaves no unsafe winner, and T(T(D)) = T(D)", "section 3.2", 1e-12, t_twice),
    Claim(
        "uu-renormalised",
        "as means, L on T(D) is L on D (UU pairs carrying no loss) times 1/(1 − p_UU)",
        "Prop. 4.3, derived",
        1e-12,
        uu_renormalised,
    ),
    Claim(
        "prompt-weights",
        "a prompt keeps the share 1 − p_UU(x) of its weight: its optimum stays π*, and at p_UU(x) = 1 it stays at π_ref",
        "section 3.2, derived",
        1e-9,
        prompt_weights,
    ),
)
