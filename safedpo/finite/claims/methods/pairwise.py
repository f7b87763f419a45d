"""Claims about the compared methods: the stated optimum of each is where the gradient of its own loss is zero.

Each loss is written here from its formula and differentiated by autograd in the logits; all are convex in them, so a
zero gradient is a minimum. The optima come from `safedpo.finite.methods`; data are exact, with safer labels that
follow Bradley-Terry under the cost.
"""

import torch
from torch.nn.functional import logsigmoid

from safedpo.finite import methods
from safedpo.finite.claims.claim import Claim, largest, random_policies, relative
from safedpo.finite.claims.methods.data import settings, slope_at
from safedpo.finite.optimum import tv
from safedpo.finite.pairs import population
from safedpo.finite.world import FiniteWorld, random_world
from safedpo.losses import bfpo_loss, dpo_loss, ipo_loss


def harmless(seed: int, worlds: int) -> float:
    return largest(
        *(
            slope_at(
                methods.OPTIMA["DPO-harmless"](world, beta=beta),
                world,
                pairs.transform("harmless"),
                lambda *columns, beta=beta: dpo_loss(*columns, beta=beta),
            )
            for world, pairs, beta in settings(seed, worlds)
        )
    )


def ipo(seed: int, worlds: int) -> float:
    slopes = []
    for world, pairs, beta in settings(seed, worlds):
        for rule in ("helpful", "safedpo"):
            policy = methods.OPTIMA["IPO"](world, beta=beta, rule=rule)
            slopes.append(
                beta
                * slope_at(
                    policy, world, pairs.transform(rule), lambda *columns, beta=beta: ipo_loss(*columns, beta=beta)
                )
            )
    return largest(*slopes)


def bfpo(seed: int, worlds: int) -> float:
    return largest(
        *(
            beta
            * slope_at(
                methods.OPTIMA["BFPO"](world, beta=beta),
                world,
                pairs,
                lambda *columns, pairs=pairs, beta=beta: bfpo_loss(
                    *columns, pairs.chosen_unsafe, pairs.rejected_unsafe, beta=beta
                ),
            )
            for world, pairs, beta in settings(seed, worlds)
        )
    )


def see_dpo(seed: int, worlds: int) -> float:
    slopes = []
    for world, pairs, beta in settings(seed, worlds):
        for gamma in (0.05, 1.0):
            policy = methods.OPTIMA["SEE-DPO"](world, beta=beta, gamma=gamma)
            slopes.append(
                slope_at(
                    policy,
                    world,
                    pairs,
                    lambda c, r, rc, rr, a=beta + gamma, b=beta: -logsigmoid(a * (c - r) - b * (rc - rr)),
                )
            )
    return largest(*slopes)


def wdpo(seed: int, worlds: int) -> float:
    """The squared slope of the DPO loss alone, whose root mean WDPO adds: least at DPO's optimum too."""
    return largest(
        *(
            slope_at(
                methods.OPTIMA["WDPO"](world, beta=beta),
                world,
                pairs,
                lambda c, r, rc, rr, beta=beta: (beta * torch.sigmoid(-beta * ((c - rc) - (r - rr)))) ** 2,
            )
            for world, pairs, beta in settings(seed, worlds)
        )
    )


def sacpo(seed: int, worlds: int) -> float:
    slopes = []
    for world, pairs, beta in settings(seed, worlds):
        helpful = methods.OPTIMA["DPO-helpful"](world, beta=beta)
        second = FiniteWorld(helpful, world.reward, world.unsafe, world.cost)  # the stage-one policy is the reference
        for lam in (0.3, 2.0):
            policy = methods.OPTIMA["SACPO"](world, beta=beta, lam=lam)
            slopes.append(
                slope_at(
                    policy,
                    second,
                    pairs.transform("harmless"),
                    lambda *columns, t=beta / lam: dpo_loss(*columns, beta=t),
                )
            )
    return largest(*slopes)


def p_sacpo(seed: int, worlds: int) -> float:
    distances = []
    for world, _, beta in settings(seed, worlds):
        ends = [methods.OPTIMA["SACPO"](world, beta=beta, lam=lam).exp() for lam in (1e-300, 4.0)]
        mixed = ends[0] ** 0.7 * ends[1] ** 0.3
        distances.append(
            tv((mixed / mixed.sum(-1, keepdim=True)).log(), methods.OPTIMA["P-SACPO"](world, beta=beta, lam=4.0, q=0.3))
        )
    return largest(*distances)


def modpo(seed: int, worlds: int) -> float:
    slopes = []
    for world, pairs, beta in settings(seed, worlds):
        safe = beta * (methods.OPTIMA["DPO-harmless"](world, beta=beta) - world.ref_logps)  # the implicit safe reward
        lead = safe[pairs.prompt, pairs.chosen] - safe[pairs.prompt, pairs.rejected]
        for w in (0.2, 0.8):
            policy = methods.OPTIMA["MODPO"](world, beta=beta, weight=w)
            slopes.append(
                slope_at(
                    policy,
                    world,
                    pairs,
                    lambda c, r, rc, rr, w=w, b=beta, lead=lead: (
                        -logsigmoid((b * ((c - rc) - (r - rr)) - (1 - w) * lead) / w)
                    ),
                )
            )
    return largest(*slopes)


def pd_dpo(seed: int, worlds: int) -> float:
    """Its second-stage loss as printed against DPO with the helpful policy as reference and beta / lambda."""
    differences = []
    for world, pairs, beta in settings(seed, worlds):
        policy = random_policies(world, 1, seed)[0]
        helpful = methods.OPTIMA["DPO-helpful"](world, beta=beta)
        safer = pairs.transform("harmless")
        columns = [
            table[safer.prompt, answer]
            for table in (policy, helpful, world.ref_logps)
            for answer in (safer.rejected, safer.chosen)
        ]  # the costlier first, as the paper has it
        for lam in (0.3, 2.0):
            theirs = methods.pd_dpo_loss(*columns, beta=beta, lam=lam)
            ours = dpo_loss(columns[1], columns[0], columns[3], columns[2], beta=beta / lam)
            differences.append(relative(theirs, ours))
    return largest(*differences)


def trained(seed: int, worlds: int) -> float:
    """The whole programs, run: the largest TV between what each trains and what it states."""
    world = random_world(seed, 2, 4)
    pairs, distances = methods.safer_by_cost(world, population(world)), []
    for name in ("DPO-harmless", "IPO", "BFPO", "SEE-DPO", "SACPO", "P-SACPO", "MODPO"):
        done = methods.METHODS[name](world, pairs, beta=0.5, seed=seed, steps=400, tolerance=1.0)
        distances.append(tv(done.logps, methods.OPTIMA[name](world, beta=0.5)))
    return largest(*distances)


CLAIMS = (
    Claim("method-harmless", "DPO on safer labels has the optimum π_ref e^{−c/β} / Z", "derived", 1e-9, harmless),
    Claim(
        "method-ipo",
        "IPO's optimum is π_ref e^{mean win rate/β}; after T, a least-squares solution",
        "IPO (arXiv 2310.12036), derived",
        1e-9,
        ipo,
    ),
    Claim("method-bfpo", "BFPO's optimum is the least-squares solution of its pairwise targets", "derived", 1e-9, bfpo),
    Claim("method-see-dpo", "SEE-DPO's optimum is π_ref^{β/(β+γ)} e^{r/(β+γ)} / Z", "derived", 1e-9, see_dpo),
    Claim(
        "method-wdpo", "with Bradley-Terry labels WDPO's extra term is least at DPO's optimum", "derived", 1e-9, wdpo
    ),
    Claim("method-sacpo", "SACPO's second stage ends at π_ref e^{(r−λc)/β} / Z", "derived", 1e-9, sacpo),
    Claim("method-p-sacpo", "averaging the logits of π_r and SACPO gives SACPO at qλ", "derived", 1e-9, p_sacpo),
    Claim("method-modpo", "MODPO's optimum is π_ref e^{(w r − (1−w) c)/β} / Z", "derived", 1e-9, modpo),
    Claim("method-pd-dpo", "PD-DPO's second-stage loss is SACPO's", "derived", 1e-10, pd_dpo),
    Claim("methods-trained", "the programs themselves end at these optima", "derived", 1e-3, trained),
)
