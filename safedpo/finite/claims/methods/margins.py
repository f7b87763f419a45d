"""Claims about the methods since SafeDPO that keep T and change the loss or the margin: BSO and Cat-DPO."""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from safedpo.finite import methods
from safedpo.finite.claims.claim import Claim, generator, largest, random_policies, relative
from safedpo.finite.claims.methods.data import settings, slope_at
from safedpo.finite.newton import newton
from safedpo.finite.optimum import optimal_policy, tv
from safedpo.finite.pairs import population
from safedpo.finite.world import random_world


def bso(seed: int, worlds: int) -> float:
    """Logistic: SafeDPO's loss. Any generator: the pull is the loss's slope, and DPO's optimum has none."""
    log_ratio = 3 * torch.randn(40, generator=generator(seed), dtype=torch.float64)
    differences = [methods.bso_loss(log_ratio, generator="logistic") - softplus(log_ratio)]
    for name in methods.GENERATORS:
        at = log_ratio.clone().requires_grad_()
        (slope,) = torch.autograd.grad(methods.bso_loss(at, generator=name).sum(), at)
        differences.append(relative(methods.bso_pull(log_ratio, generator=name), slope))
        for world, pairs, beta in settings(seed, worlds):
            policy = methods.OPTIMA["DPO-helpful"](world, beta=beta)

            def loss(c: Tensor, r: Tensor, rc: Tensor, rr: Tensor, name=name, beta=beta) -> Tensor:
                return methods.bso_loss(-beta * ((c - rc) - (r - rr)), generator=name)

            differences.append(slope_at(policy, world, pairs, loss) / beta)
    return largest(*differences)


def bso_certain(seed: int, worlds: int) -> float:
    """How a certain pair pulls far out: not at all (logistic), always alike (entropy), ever harder up to a clamp (sba).
    So pi* with its unsafe answers 20 nats of margin behind is at rest for the first, and for sba only beyond 30."""
    m = torch.tensor([10.0, 20.0, 29.0], dtype=torch.float64)
    pulls = {name: methods.bso_pull(-m, generator=name) for name in methods.GENERATORS}
    differences = [
        pulls["logistic"] - torch.exp(-softplus(m)),
        relative(pulls["sba"], ((0.2 * m).exp() + (-1.2 * m).exp()) / 4),
        relative(pulls["entropy"], 1 + (-m).exp()),
        methods.bso_pull(torch.tensor([-30.5], dtype=torch.float64), generator="sba"),
    ]
    world, beta = random_world(seed, min(worlds, 10), 5), 0.5
    kept = population(world).transform("safedpo")
    slopes = {}
    for name, lead in (("logistic", 35.0), ("sba", 35.0), ("sba", 20.0)):
        # Every unsafe answer exactly `lead` of reward margin behind the worst safe one.
        worst = world.reward.masked_fill(world.unsafe, torch.inf).amin(-1, keepdim=True)
        policy = (world.ref_logps + torch.where(world.unsafe, worst - lead, world.reward) / beta).log_softmax(-1)
        policy_loss = lambda c, r, rc, rr, n=name: methods.bso_loss(-beta * ((c - rc) - (r - rr)), generator=n)  # noqa: E731
        slopes[name, lead] = slope_at(policy, world, kept, policy_loss).abs().max()
    differences += [slopes["logistic", 35.0], slopes["sba", 35.0], (1.0 - slopes["sba", 20.0]).clamp(min=0)]
    return largest(*differences)


def cat_dpo(seed: int, worlds: int) -> float:
    """A finite margin for each unsafe answer of its own, whatever they are: training ends at pi*."""
    world, differences = random_world(seed, worlds), []
    kept, draw = population(world).transform("safedpo"), generator(seed)
    for beta in (0.2, 1.0):
        margins = 10 * torch.rand(world.reward.shape, generator=draw, dtype=torch.float64)
        shifted = world.ref_logps - torch.where(world.unsafe, margins, 0.0) / beta
        end = newton(kept, random_policies(world, 2, seed), shifted, beta=beta, deltas=[0.0])
        differences.append(tv(end, methods.OPTIMA["Cat-DPO"](world, beta=beta)))
        differences.append(tv(end, optimal_policy(world, beta)))
    return largest(*differences)


CLAIMS = (
    Claim(
        "method-bso",
        "BSO with the logistic generator is SafeDPO at Δ = C; where labels are not certain every generator has one optimum",
        "BSO (arXiv 2605.12339), derived",
        1e-9,
        bso,
    ),
    Claim(
        "bso-certain-pairs",
        "on T's certain pairs the pull is σ(−m) for the logistic generator and ~e^{0.2 m}/4 for SBA: only its clamp at "
        "log R = −30 lets SBA rest at π*",
        "BSO (arXiv 2605.12339), derived",
        1e-9,
        bso_certain,
    ),
    Claim(
        "method-cat-dpo",
        "with any finite margin for each category of harm the optimum is π* (the rule that moves the margins is ours)",
        "Cat-DPO (arXiv 2604.17299), derived",
        1e-9,
        cat_dpo,
    ),
)
