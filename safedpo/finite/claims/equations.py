"""Which claim checks which statement of the paper's sections 3 and 4, and which notebook derives it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Equation:
    """A numbered statement of the paper (arXiv 2505.20065v2), its notebook, and the ids of its claims."""

    name: str
    words: str
    notebook: str
    claims: tuple[str, ...]


EQUATIONS = (
    Equation(
        "section 2, DPO",
        "the KL-regularised optimum; rewards are log-ratios; DPO's loss and gradient",
        "01",
        ("log-z-cancels", "dpo-gradient", "optimum-dpo", "beta-to-zero", "beta-to-infinity"),
    ),
    Equation(
        "Eq. 6",
        "the hard constraint: no unsafe answer with positive probability (stated in section 2.2)",
        "02",
        ("gibbs-identity", "optimum-scipy"),
    ),
    Equation(
        "Eq. 7",
        "its relaxation E[c] ≤ Ĉ, a budget: the optimum that just meets it (stated in section 2.2)",
        "02",
        ("dual-tight",),
    ),
    Equation(
        "Eq. 8",
        "the constrained problem as an unconstrained one with the modified reward r_c",
        "02",
        ("gibbs-identity", "optimum-random"),
    ),
    Equation(
        "Eq. 9",
        "its closed form π* = π_ref e^{r_c/β} / Z",
        "02",
        ("gibbs-identity", "optimum-scipy", "optimum-random", "optimum-extremes"),
    ),
    Equation(
        "Assumption 4.1",
        "the reference puts mass δ > 0 on safe answers",
        "02",
        ("no-support", "support-to-zero", "price-of-support", "penalty-sufficient"),
    ),
    Equation(
        "Prop. 4.2",
        "the optimum with a finite penalty C goes to π* in total variation as C → ∞",
        "02",
        ("penalty-limit", "tv-unsafe-mass", "tv-closed-form", "penalty-safe-part", "penalty-for-tv"),
    ),
    Equation(
        "section 3.2, T",
        "the transformation T of the preference data",
        "03",
        ("law-of-t", "law-of-t-sampled", "t-twice"),
    ),
    Equation(
        "Eq. 10-11, Prop. 4.3", "the intractable objective equals the tractable one on T(D)", "03", ("two-objectives",)
    ),
    Equation(
        "Eq. 12",
        "the loss with the safety margin Δ, its gradient, its first step and its saturation",
        "03",
        (
            "gradient-weight",
            "step0-weight",
            "step0-loss",
            "no-margin-between-equals",
            "saturation",
            "time-to-saturation",
            "faster-with-delta",
            "shift-is-margin",
            "shift-is-penalty",
        ),
    ),
    Equation(
        "section 3.4, SafeDAA",
        "T and the margin with another loss g (the paper runs DPO's only; so do we)",
        "03",
        ("safedaa-objectives", "safedaa-exponential", "safedaa-square"),
    ),
    Equation(
        "Prop. 4.4",
        "for every Δ the same optimal solutions, in the limit",
        "03",
        (
            "same-optimum",
            "same-optimum-descent",
            "same-infimum",
            "optimum-safebetter",
            "optimum-margin-only",
            "weight-margin-only",
        ),
    ),
    Equation(
        "Prop. 4.4, its limits",
        "where it fails: missing comparisons and noisy safety bits",
        "03",
        (
            "unseen-unsafe-answer",
            "unconnected-safe-answers",
            "noise-pair-flips",
            "noise-bit-flips",
            "noise-no-margin",
            "noise-large-margin",
            "noise-descent",
            "noise-law",
            "noise-law-sampled",
            "noise-conservative",
            "noise-robust",
        ),
    ),
)
