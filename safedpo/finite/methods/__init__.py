"""Every method end to end in the exact world, from the same preference pairs, with what it needed counted.

`METHODS`: name -> function `(world, pairs, *, beta, seed, **own) -> Outcome`. `pairs` are raw (chosen is the more
helpful answer); `seed` drives the samples of methods that sample, the others have nothing to draw. `OPTIMA`: name
-> function `(world, *, beta, **own)` -> log-probabilities (P, A), for the methods that state an optimum.
"""

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
from safedpo.finite.methods.expected_cost.lagrangian import (
    c_dpo,
    c_dpo_optimum,
    dual_step,
    relabel,
    safe_rlhf,
    safe_rlhf_optimum,
)
from safedpo.finite.methods.learned import learned_cost, learned_reward, learned_world, safer_by_cost
from safedpo.finite.methods.outcome import Costs, Outcome, step_size
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
from safedpo.finite.methods.pairwise.reshaped import see_dpo, see_dpo_optimum
from safedpo.finite.methods.pairwise.robust import cdpo, kldpo, robust_dpo, wdpo
from safedpo.finite.methods.pairwise.targets import bfpo, bfpo_optimum, ipo, ipo_optimum
from safedpo.finite.methods.shared_parameters import SharedFit, fit_shared
from safedpo.finite.methods.two_stage import (
    modpo,
    modpo_optimum,
    p_sacpo,
    p_sacpo_optimum,
    pd_dpo,
    pd_dpo_loss,
    pd_dpo_optimum,
    sacpo,
    sacpo_optimum,
)

METHODS = {
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
}

OPTIMA = {
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
}

__all__ = [
    "METHODS",
    "OPTIMA",
    "Costs",
    "InfeasibleLimitError",
    "Outcome",
    "SharedFit",
    "best_multiplier",
    "dual_curvature",
    "dual_gradient",
    "dual_step",
    "dual_value",
    "expected_cost",
    "fit_shared",
    "lagrangian_policy",
    "largest_dual_curvature",
    "learned_cost",
    "learned_reward",
    "learned_world",
    "least_cost",
    "pd_dpo_loss",
    "relabel",
    "safe_rlhf_multiplier",
    "safe_rlhf_policy",
    "safer_by_cost",
    "step_size",
]
