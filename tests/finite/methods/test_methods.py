"""The claims about methods hold, and each can fail: a wrong optimum a person could write turns its line red."""

import pytest
import torch

from safedpo.finite import methods
from safedpo.finite.claims import methods as claims
from safedpo.finite.claims.report import check

BY_ID = {claim.id: claim for claim in claims.CLAIMS}


def tilted(world, scores):
    return (world.ref_logps + scores).log_softmax(-1)


# claim -> (what is replaced, name, the wrong version)
FAULTS = {
    "method-harmless": (methods.OPTIMA, "DPO-harmless", lambda w, *, beta: tilted(w, w.cost / beta)),  # sign
    "method-ipo": (methods.OPTIMA, "IPO", lambda w, *, beta, rule: tilted(w, w.reward / beta)),  # DPO's
    "method-bfpo": (methods.OPTIMA, "BFPO", lambda w, *, beta: methods.OPTIMA["IPO"](w, beta=beta)),  # no flags
    "method-see-dpo": (methods.OPTIMA, "SEE-DPO", lambda w, *, beta, gamma: tilted(w, w.reward / (beta + gamma))),
    "method-wdpo": (methods.OPTIMA, "WDPO", lambda w, *, beta: tilted(w, 0.5 * w.reward / beta)),
    "method-sacpo": (methods.OPTIMA, "SACPO", lambda w, *, beta, lam: tilted(w, (w.reward - w.cost / lam) / beta)),
    "method-p-sacpo": (methods.OPTIMA, "P-SACPO", lambda w, *, beta, lam, q: methods.lagrangian_policy(w, lam, beta)),
    "method-modpo": (
        methods.OPTIMA,
        "MODPO",
        lambda w, *, beta, weight: tilted(w, ((1 - weight) * w.reward - weight * w.cost) / beta),
    ),
    "method-pd-dpo": (
        methods,
        "pd_dpo_loss",
        lambda a, b, c, d, e, f, *, beta, lam: -torch.nn.functional.logsigmoid(lam * beta * ((c - a) - (d - b))),
    ),
    "dual-slope": (
        methods,
        "dual_gradient",
        lambda w, lam, beta, limit: methods.expected_cost(w, methods.lagrangian_policy(w, lam, beta)) - limit,
    ),
    "dual-tight": (methods, "best_multiplier", lambda w, beta, limit: 0.0),
    "method-safe-rlhf": (methods.OPTIMA, "Safe RLHF", lambda w, *, beta, lam: methods.lagrangian_policy(w, lam, beta)),
    "dual-step-bound": (
        methods,
        "dual_step",
        lambda lam, cost, limit, eta: (max(lam + 2 * eta * (cost - limit), 0.0), abs(cost - limit)),
    ),
    "dual-one-prompt": (methods, "best_multiplier", lambda w, beta, limit: 0.1),
    "dual-hard-limit": (methods, "lagrangian_policy", lambda w, lam, beta: tilted(w, (w.reward - lam * w.cost) / 1.1)),
    "cdpo-to-safedpo": (methods, "lagrangian_policy", lambda w, lam, beta: methods.safe_rlhf_policy(w, lam, beta)),
    "cdpo-relabelling": (methods, "relabel", lambda pairs, scores: pairs),
    "cdpo-more-reward": (methods.OPTIMA, "C-DPO", lambda w, *, beta, limit: tilted(w, -w.cost / beta)),
    "method-b-dpo": (methods, "pointwise_information", lambda w: w.ref_logps),  # the marginal is forgotten
    "method-stable-po": (
        methods.OPTIMA,
        "Stable PO",
        lambda w, *, beta, gamma: methods.stable_po_optimum(w, beta=beta),
    ),
    "method-apo": (
        methods.OPTIMA,
        "APO",
        lambda w, *, beta, weight, human_pairs: methods.stable_po_optimum(w, beta=beta, gamma=weight),  # beta missing
    ),
    "apo-gold": (
        methods,
        "reward_loss",
        lambda reward, policy, w, pairs, *, weight, comparison, human_pairs: (
            weight
            * (policy * reward - methods.winner_weight(w, pairs) * reward).sum()  # the golden ones not normalised
        ),
    ),
    "method-bso": (methods, "bso_pull", lambda log_ratio, *, generator="sba": log_ratio.sigmoid()),
    "bso-certain-pairs": (methods, "bso_pull", lambda log_ratio, *, generator="sba": log_ratio.sigmoid()),
    "method-cat-dpo": (methods.OPTIMA, "Cat-DPO", lambda w, *, beta: methods.lagrangian_policy(w, 2.0, beta)),
    "method-repo": (
        methods.OPTIMA,
        "RePO",
        lambda w, *, beta, limit: methods.OPTIMA["C-DPO"](w, beta=beta, limit=limit),
    ),
    "constraint-ladder": (
        methods.OPTIMA,
        "RePO",
        lambda w, *, beta, limit: methods.OPTIMA["C-DPO"](w, beta=beta, limit=limit),
    ),
    "method-mocan": (methods.OPTIMA, "MoCAN", lambda w, *, beta, limit: methods.safe_rlhf_policy(w, 1.0, beta)),
    "method-pecan": (
        methods,
        "implicit_models",
        lambda w, helpful, safe, beta, right=methods.implicit_models: right(w, helpful, safe, 1.0),  # beta left out
    ),
    "method-cs-rlhf": (
        methods.OPTIMA,
        "CS-RLHF",
        lambda w, *, beta, limit, lam: methods.lagrangian_policy(w, lam, beta),  # the kink overlooked
    ),
    "method-hc-rlhf": (
        methods,
        "confidence_width",
        lambda low, high, samples, alpha: (
            0.5 * (high - low) * (torch.tensor(1 / alpha).log() / 2 / samples).sqrt().item()
        ),
    ),
    "methods-trained": (methods.OPTIMA, "SACPO", lambda w, *, beta: methods.lagrangian_policy(w, 1.3, beta)),
}


@pytest.mark.parametrize("name", BY_ID)
def test_holds(name):
    row = check(BY_ID[name], seed=11, worlds=3)
    assert row.holds, row


@pytest.mark.parametrize("name", BY_ID)
def test_a_wrong_optimum_turns_it_red(name, monkeypatch):
    place, what, wrong = FAULTS[name]
    if isinstance(place, dict):
        monkeypatch.setitem(place, what, wrong)
    else:
        monkeypatch.setattr(place, what, wrong)
    assert not check(BY_ID[name], seed=11, worlds=3).holds


def test_every_claim_has_a_fault():
    assert set(FAULTS) == set(BY_ID)
