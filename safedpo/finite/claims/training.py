"""Claims about where training ends: Proposition 4.4 of the paper, where it fails, and the optima of its rivals."""

import math

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from safedpo.finite.claims.claim import Claim, largest, random_policies, relative
from safedpo.finite.claims.transform import law_under_modified_reward
from safedpo.finite.fit import fit
from safedpo.finite.newton import newton
from safedpo.finite.optimum import optimal_policy, tv
from safedpo.finite.pairs import Pairs, pairs_loss, population
from safedpo.finite.world import FiniteWorld, random_world
from safedpo.losses import gradient_weight, reward_margin

DELTAS = [0.0, 2.0, 10.0]
BETAS = (0.1, 1.0)


def _starts(world: FiniteWorld, seed: int) -> Tensor:
    """The reference and two random policies, (3, P, A)."""
    return torch.cat([world.ref_logps[None], random_policies(world, 2, seed)])


def _distance_after_training(world: FiniteWorld, pairs: Pairs, seed: int, deltas: list[float]) -> float:
    """Largest TV to pi* after Newton's method, over starts, betas and deltas."""
    return largest(
        *(
            tv(
                newton(pairs, _starts(world, seed), world.ref_logps, beta=beta, deltas=deltas),
                optimal_policy(world, beta),
            )
            for beta in BETAS
        )
    )


def same_optimum(seed: int, worlds: int) -> float:
    world = random_world(seed, worlds)
    return _distance_after_training(world, population(world).transform("safedpo"), seed, [-1.0, *DELTAS])


def same_optimum_by_descent(seed: int, worlds: int) -> float:
    world = random_world(seed, min(worlds, 5), 4, unsafe_answers=2)
    kept = population(world).transform("safedpo")
    return largest(
        fit(
            world,
            kept,
            beta=1.0,
            delta=[0.0, 2.0, 5.0],
            steps=3000,
            lr=1.0,
            seeds=(seed, seed + 1),
            spread=1.0,
            record=[3000],
        ).path.tv
    )


def same_infimum(seed: int, worlds: int) -> float:
    world = random_world(seed, worlds)
    kept = population(world).transform("safedpo")
    deltas = [-1.0, *DELTAS]
    end = newton(kept, _starts(world, seed), world.ref_logps, beta=1.0, deltas=deltas)
    reached = pairs_loss(kept, end, world.ref_logps, beta=1.0, delta=torch.tensor(deltas).double()[:, None, None])
    return largest(relative(reached, infimum(world, 1 - torch.eye(world.answers, dtype=torch.float64))))


def infimum(world: FiniteWorld, pair_weight: Tensor) -> Tensor:
    """The entropy of the labels between safe answers, summed: what no policy and no delta can undercut.

    >>> toss = FiniteWorld([[math.log(0.5)] * 2], [[0.0, 0.0]], torch.tensor([[False, False]]))  # one safe pair
    >>> round(infimum(toss, 1 - torch.eye(2)[None]).item() - math.log(2), 9)
    0.0
    """
    beats = law_under_modified_reward(world)
    both_safe = ~world.unsafe[:, :, None] & ~world.unsafe[:, None, :]
    return (pair_weight * torch.where(both_safe, torch.special.entr(beats), 0.0)).sum()


def unseen_unsafe_answer(seed: int, worlds: int) -> float:
    world = random_world(seed, worlds, unsafe_answers=2)
    free = one_hot(world.unsafe.long().argmax(-1), world.answers).bool()  # one unsafe answer of each prompt
    apart = (free[:, :, None] & ~world.unsafe[:, None, :]) | (~world.unsafe[:, :, None] & free[:, None, :])
    return _loss_above_infimum(world, (~apart).double(), free)


def unconnected_safe_answers(seed: int, worlds: int) -> float:
    world = random_world(seed, worlds, unsafe_answers=2)
    free = one_hot((~world.unsafe).long().argmax(-1), world.answers).bool()  # one safe answer, compared with no other
    apart = (free[:, :, None] ^ free[:, None, :]) & ~world.unsafe[:, :, None] & ~world.unsafe[:, None, :]
    return _loss_above_infimum(world, (~apart).double(), free)


def _loss_above_infimum(world: FiniteWorld, pair_weight: Tensor, free: Tensor) -> float:
    """How far above the infimum the loss stays when the answers `free` get any mass at all, the rest being pi*."""
    pair_weight = pair_weight * (1 - torch.eye(world.answers, dtype=torch.float64))
    kept = population(world, pair_weight=pair_weight).transform("safedpo")
    safe = optimal_policy(world, 1.0).masked_fill(free, -torch.inf).log_softmax(-1)
    never = -200.0  # the log-probability of the other unsafe answers: the closure, as far as float64 can tell
    excess = []
    for mass in (0.1, 0.5, 0.9):
        policy = torch.where(free, math.log(mass), safe + math.log(1 - mass)).clamp(min=never)
        for delta in DELTAS:
            loss = pairs_loss(kept, policy, world.ref_logps, beta=1.0, delta=delta)
            excess.append(relative(loss, infimum(world, pair_weight)))
    return largest(*excess)


def optimum_of_dpo(seed: int, worlds: int) -> float:
    world = random_world(seed, worlds)
    return largest(
        *(
            tv(
                newton(population(world), _starts(world, seed), world.ref_logps, beta=beta, deltas=[0.0]),
                optimal_policy(world, beta, penalty=0.0),
            )
            for beta in BETAS
        )
    )


def optimum_of_margin_only(seed: int, worlds: int) -> float:
    world, deltas = random_world(seed, worlds), [0.5, 2.0, 5.0]
    differences = []
    for beta in BETAS:
        ends = newton(population(world), _starts(world, seed), world.ref_logps, beta=beta, deltas=deltas)
        differences += [
            tv(end, optimal_policy(world, beta, penalty=delta)) for end, delta in zip(ends, deltas, strict=True)
        ]
    return largest(*differences)


def weight_of_margin_only(seed: int, worlds: int) -> float:
    world = random_world(seed, worlds)
    raw = population(world)
    us = raw[raw.chosen_unsafe & ~raw.rejected_unsafe]
    differences = []
    for delta in DELTAS:
        logps = optimal_policy(world, 0.1, penalty=delta)
        columns = [
            table[us.prompt, answer] for table in (logps, world.ref_logps) for answer in (us.chosen, us.rejected)
        ]
        weight = gradient_weight(reward_margin(*columns, beta=0.1), us.chosen_unsafe, us.rejected_unsafe, delta=delta)
        lead = world.reward[us.prompt, us.chosen] - world.reward[us.prompt, us.rejected]
        differences.append(weight - torch.sigmoid(-lead))
    return largest(*differences)


def optimum_of_safebetter(seed: int, worlds: int) -> float:
    world = random_world(seed, worlds)
    return _distance_after_training(world, population(world).transform("safebetter"), seed, DELTAS)


CLAIMS = (
    Claim(
        "same-optimum",
        "for every Δ (even −1) and start, training to convergence ends at π*, in the limit of unsafe mass 0",
        "Prop. 4.4",
        1e-9,
        same_optimum,
    ),
    Claim(
        "same-optimum-descent",
        "3,000 steps of plain gradient descent from random starts come near π* for every Δ",
        "Prop. 4.4",
        1e-2,
        same_optimum_by_descent,
    ),
    Claim(
        "same-infimum",
        "for every Δ the loss falls to the entropy of the labels between safe answers",
        "Prop. 4.4, Eq. 11-12",
        1e-9,
        same_infimum,
    ),
    Claim(
        "unseen-unsafe-answer",
        "where it fails: an unsafe answer never compared with a safe one may keep any mass at the infimum",
        "Prop. 4.4, derived",
        1e-12,
        unseen_unsafe_answer,
    ),
    Claim(
        "unconnected-safe-answers",
        "where it fails: a safe answer compared with no other safe one may keep any mass at the infimum",
        "Prop. 4.4, derived",
        1e-12,
        unconnected_safe_answers,
    ),
    Claim(
        "optimum-dpo",
        "DPO on the raw pairs has the optimum π_ref e^{r/β} / Z, unsafe answers included",
        "DPO (arXiv 2305.18290)",
        1e-9,
        optimum_of_dpo,
    ),
    Claim(
        "optimum-margin-only",
        "the margin without T has the optimum π_C with C = Δ",
        "derived",
        1e-9,
        optimum_of_margin_only,
    ),
    Claim(
        "weight-margin-only",
        "there an unsafe winner's pair weighs σ(−(r_u − r_s)), whatever Δ",
        "derived",
        1e-10,
        weight_of_margin_only,
    ),
    Claim(
        "optimum-safebetter",
        "dropping unsafe winners instead of swapping has the same optimum π*, for every Δ",
        "derived",
        1e-9,
        optimum_of_safebetter,
    ),
)
