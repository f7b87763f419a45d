"""The statements of C-DPO (arXiv 2403.02475). Its abstract is public to us, its body is not: it has no numbers here."""

from safedpo.finite.claims.equations.row import NOT_FOUND, Equation

ROWS = (
    Equation(
        "C-DPO, the problem",
        "maximise reward under E[c] ≤ limit; for a price λ its optimum is π_λ",
        "05",
        ("dual-tight", "cdpo-relabelling"),
    ),
    Equation(
        "C-DPO, dual gradient descent",
        "the dual, its slope and curvature, and how large a step may be",
        "05",
        ("dual-slope", "dual-step-bound"),
    ),
    Equation("C-DPO, the preference model p*_λ", "pairs relabelled under r_λ = r − λc", "05", ("cdpo-relabelling",)),
    Equation(
        "C-DPO, its guarantee",
        "strong duality with a feasible interior; the price for one prompt, and no price at limit 0",
        "05",
        ("dual-tight", "dual-one-prompt", "dual-hard-limit"),
    ),
    Equation(
        "C-DPO, more reward than Safe RLHF",
        "a higher reward under the same constraint (abstract)",
        "05",
        ("cdpo-more-reward", "method-safe-rlhf"),
    ),
    Equation(
        "C-DPO beside SafeDPO",
        "with c = h it goes to π* as λ → ∞, and leaves unsafe mass at every price",
        "05",
        ("cdpo-to-safedpo",),
    ),
    Equation("C-DPO, propositions, result tables, ablations, settings", NOT_FOUND, "", ()),
)
