"""Every method end to end in the exact world, from the same preference pairs, with what it needed counted.

`METHODS`: name -> function `(world, pairs, *, beta, seed, **own) -> Outcome`. `pairs` are raw (chosen is the more
helpful answer); `seed` drives the samples of methods that sample, the others have nothing to draw. `OPTIMA`: name
-> function `(world, *, beta, **own)` -> log-probabilities (P, A), for the methods that state an optimum.
"""

from collections.abc import Callable

from torch import Tensor

from safedpo.finite.methods.adversarial import apo, apo_optimum, reward_loss
from safedpo.finite.methods.expected_cost.dual import (
    InfeasibleLimitError,
    best_multiplier,
    dual_curvature,
    dual_gradient,
    dual_value,
    expected_cost,
    lagrangian_policy,
    largest_dual_curvature,
    least_cost,
    safe_rlhf_multiplier,
    safe_rlhf_policy,
)
from safedpo.finite.methods.expected_cost.each_prompt import prompt_multipliers, repo, repo_optimum
from safedpo.finite.methods.expected_cost.exact_penalty import cs_rlhf, cs_rlhf_optimum, penalised_value
from safedpo.finite.methods.expected_cost.lagrangian import (
    c_dpo,
    c_dpo_optimum,
    dual_step,
    relabel,
    safe_rlhf,
    safe_rlhf_optimum,
)
from safedpo.finite.methods.expected_cost.one_shot import (
    implicit_models,
    mocan,
    mocan_optimum,
    pecan,
    pecan_optimum,
)
from safedpo.finite.methods.expected_cost.primal_dual import pd_dpo, pd_dpo_loss, pd_dpo_optimum
from safedpo.finite.methods.expected_cost.safety_test import (
    NoSolutionError,
    SafetyTest,
    confidence_width,
    hc_rlhf,
    safety_test,
)
from safedpo.finite.methods.learned import learned_cost, learned_reward, learned_world, safer_by_cost
from safedpo.finite.methods.outcome import Costs, Outcome, step_size
from safedpo.finite.methods.pairwise.bregman import GENERATORS, bso, bso_loss, bso_pull
from safedpo.finite.methods.pairwise.categories import cat_dpo, category_step
from safedpo.finite.methods.pairwise.orderings import (
    delta_only,
    delta_only_optimum,
    dpo_harmless,
    dpo_harmless_optimum,
    dpo_helpful,
    dpo_helpful_optimum,
    dpo_safebetter,
    safe_optimum,
    safedpo,
    t_only,
)
from safedpo.finite.methods.pairwise.reshaped import (
    b_dpo,
    b_dpo_optimum,
    pointwise_information,
    see_dpo,
    see_dpo_optimum,
)
from safedpo.finite.methods.pairwise.robust import cdpo, kldpo, robust_dpo, wdpo
from safedpo.finite.methods.pairwise.targets import bfpo, bfpo_optimum, ipo, ipo_optimum
from safedpo.finite.methods.pairwise.winners import (
    preference_loss,
    stable_po,
    stable_po_optimum,
    winner_loss,
    winner_weight,
)
from safedpo.finite.methods.shared_parameters import SharedFit, fit_shared
from safedpo.finite.methods.two_stage import (
    modpo,
    modpo_optimum,
    p_sacpo,
    p_sacpo_optimum,
    sacpo,
    sacpo_optimum,
)

METHODS: dict[str, Callable[..., Outcome]] = {
    "DPO-helpful": dpo_helpful,
    "DPO-harmless": dpo_harmless,
    "DPO-safebetter": dpo_safebetter,
    "T only": t_only,
    "Delta only": delta_only,
    "SafeDPO": safedpo,
    "IPO": ipo,
    "cDPO": cdpo,
    "robust DPO": robust_dpo,
    "BFPO": bfpo,
    "SEE-DPO": see_dpo,
    "KLDPO": kldpo,
    "WDPO": wdpo,
    "SACPO": sacpo,
    "P-SACPO": p_sacpo,
    "MODPO": modpo,
    "PD-DPO": pd_dpo,
    "C-DPO": c_dpo,
    "Safe RLHF": safe_rlhf,
    "B-DPO": b_dpo,
    "Stable PO": stable_po,
    "APO": apo,
    "BSO": bso,
    "Cat-DPO": cat_dpo,
    "RePO": repo,
    "MoCAN": mocan,
    "PeCAN": pecan,
    "CS-RLHF": cs_rlhf,
    "HC-RLHF": hc_rlhf,
}

# What notebook 10 compares; notebook 05 compares the others.
WIDER = {"B-DPO", "Stable PO", "APO", "BSO", "Cat-DPO", "RePO", "MoCAN", "PeCAN", "CS-RLHF", "HC-RLHF"}
OPTIMA: dict[str, Callable[..., Tensor]] = {
    "DPO-helpful": dpo_helpful_optimum,
    "DPO-harmless": dpo_harmless_optimum,
    "DPO-safebetter": safe_optimum,
    "T only": safe_optimum,
    "Delta only": delta_only_optimum,
    "SafeDPO": safe_optimum,
    "IPO": ipo_optimum,
    "BFPO": bfpo_optimum,
    "SEE-DPO": see_dpo_optimum,
    "WDPO": dpo_helpful_optimum,
    "SACPO": sacpo_optimum,
    "P-SACPO": p_sacpo_optimum,
    "MODPO": modpo_optimum,
    "PD-DPO": pd_dpo_optimum,
    "C-DPO": c_dpo_optimum,
    "Safe RLHF": safe_rlhf_optimum,
    "B-DPO": b_dpo_optimum,
    "Stable PO": stable_po_optimum,
    "APO": apo_optimum,
    "BSO": safe_optimum,
    "Cat-DPO": safe_optimum,
    "RePO": repo_optimum,
    "MoCAN": mocan_optimum,
    "PeCAN": pecan_optimum,
    "CS-RLHF": cs_rlhf_optimum,
}

__all__ = [
    "GENERATORS",
    "METHODS",
    "OPTIMA",
    "WIDER",
    "Costs",
    "InfeasibleLimitError",
    "NoSolutionError",
    "Outcome",
    "SafetyTest",
    "SharedFit",
    "best_multiplier",
    "bso_loss",
    "bso_pull",
    "category_step",
    "confidence_width",
    "dual_curvature",
    "dual_gradient",
    "dual_step",
    "dual_value",
    "expected_cost",
    "fit_shared",
    "implicit_models",
    "lagrangian_policy",
    "largest_dual_curvature",
    "learned_cost",
    "learned_reward",
    "learned_world",
    "least_cost",
    "pd_dpo_loss",
    "penalised_value",
    "pointwise_information",
    "preference_loss",
    "prompt_multipliers",
    "relabel",
    "reward_loss",
    "safe_rlhf_multiplier",
    "safe_rlhf_policy",
    "safer_by_cost",
    "safety_test",
    "step_size",
    "winner_loss",
    "winner_weight",
]
