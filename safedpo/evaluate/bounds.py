"""What a number of harmful responses proves: upper bounds on the harm of a policy, and a safety test with a guarantee.

An interval says how sure a number is. A guarantee is one-sided: "harm is at most u", wrong with probability alpha at most.

    upper_bound      n independent responses, k of them harmful: the exact bound (Clopper and Pearson, 1934)
    clustered_bound  several responses to each prompt: the prompts are the draws (Hoeffding, 1963)
    safety_test      a policy is returned, or "no solution" (the rule of HC-RLHF, arXiv 2506.08266)
    certify          the same for several policies at once, so that trying many does not make one pass by chance

All are about prompts drawn like those that were asked, and about harm as the scorer sees it.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import rel_entr
from scipy.stats import beta, binom

from safedpo.errors import UserError, brief
from safedpo.files import is_number

CORRECTIONS = ("holm", "bonferroni", "none")


def upper_bound(events: int, n: int, *, confidence: float = 0.95) -> float:
    """The largest rate of an event that `events` in `n` independent draws leave possible (Clopper and Pearson, 1934).

    u with P(Binomial(n, u) <= events) = 1 - confidence: the quantile of a Beta(events + 1, n - events) law. With no
    event, u = 1 - (1 - confidence)^(1/n), about 3/n at 95 %. Raises `UserError` for counts that cannot be.

    >>> round(upper_bound(0, 450), 5), round(1 - 0.05 ** (1 / 450), 5)
    (0.00664, 0.00664)
    >>> upper_bound(7, 7)
    1.0
    """
    _check_confidence(confidence)
    if not (_count(n) and _count(events) and 0 <= events <= n and n >= 1):
        raise UserError(f"{events} events in {n} draws; give whole numbers, 0 to n events in n >= 1 draws")
    return 1.0 if events == n else float(beta.ppf(confidence, events + 1, n - events))


def clustered_bound(
    values: Sequence[float] | np.ndarray, clusters: Sequence[Hashable], *, confidence: float = 0.95
) -> float:
    """The largest mean harm over prompts that these values in [0, 1] leave possible; `clusters[i]` names a prompt.

    Responses to one prompt are no independent draws, so each of the P prompts counts once, with its mean. Means of
    values in [0, 1] lie below theirs as seldom as those of coins (Hoeffding 1963, theorem 1), so the bound is the u with

        P KL(x || u) = log(1 / (1 - confidence)),   KL(x || u) = x log(x / u) + (1 - x) log((1 - x) / (1 - u)),

    x the mean over prompts. It holds for any number of prompts. With x = 0 it is the exact 1 - (1 - confidence)^(1/P).

    >>> round(clustered_bound([0] * 450, [i // 3 for i in range(450)]), 4), round(upper_bound(0, 150), 4)
    (0.0198, 0.0198)
    """
    _check_confidence(confidence)
    means = _prompt_means(values, clusters)
    x, prompts = float(means.mean()), len(means)
    surprise = math.log(1 / (1 - confidence)) / prompts
    if x == 0.0:
        return 1 - math.exp(-surprise)
    if x == 1.0 or _divergence(x, 1 - 1e-15) < surprise:
        return 1.0
    return float(brentq(lambda u: _divergence(x, u) - surprise, x, 1 - 1e-15, xtol=1e-12))


@dataclass(frozen=True)
class SafetyTest:
    """The test of one policy: `harm` over `prompts` prompts and `n` responses, at most `bound`; returned or not.

    `p` is the probability at most of harm this low, if the true harm were above `limit`.
    """

    name: str
    harm: float
    bound: float
    limit: float
    confidence: float
    p: float
    passed: bool
    prompts: int
    n: int

    def __str__(self) -> str:
        verdict = "return the policy" if self.passed else "no solution"
        return (
            f"{self.name}: harm {self.harm:.3f} in {self.n} responses to {self.prompts} prompts; at most "
            f"{self.bound:.4f} with {100 * self.confidence:g} % confidence, limit {self.limit:g}: {verdict}"
        )

    def to_json(self) -> dict:
        """The fields by name."""
        return asdict(self)


def safety_test(
    values: Sequence[float] | np.ndarray,
    clusters: Sequence[Hashable],
    *,
    limit: float,
    confidence: float = 0.95,
    name: str = "policy",
) -> SafetyTest:
    """HC-RLHF's rule: the policy passes where its bound is at most `limit`; otherwise there is no solution.

    A policy whose true harm is above `limit` passes with probability at most 1 - confidence, if its prompts had no part
    in making or choosing it.

    >>> print(safety_test([0] * 120, [i // 2 for i in range(120)], limit=0.05))
    policy: harm 0.000 in 120 responses to 60 prompts; at most 0.0487 with 95 % confidence, limit 0.05: return the policy
    """
    _check_limit(limit)
    means = _prompt_means(values, clusters)
    bound = clustered_bound(values, clusters, confidence=confidence)
    x = float(means.mean())
    p = math.exp(-len(means) * _divergence(x, limit)) if x < limit else 1.0
    return SafetyTest(name, x, bound, limit, confidence, p, bound <= limit, len(means), len(values))


def certify(
    policies: Mapping[str, tuple[Sequence[float], Sequence[Hashable]]],
    *,
    limit: float,
    confidence: float = 0.95,
    correction: str = "holm",
) -> list[SafetyTest]:
    """Test several policies, `name -> (values, clusters)`, so that with probability `confidence` none passes wrongly.

    Each policy's `bound` is then Bonferroni's, at 1 - (1 - confidence) / K, and all K hold together. `holm` goes on
    from the smallest p: the i-th smallest is compared with (1 - confidence) / (K - i + 1), until one fails (Holm,
    1979); it passes all that Bonferroni passes, and sometimes more. Neither needs the policies to be independent.

    >>> one = ([0] * 100, list(range(100)))
    >>> [test.passed for test in certify({"a": one, "b": one}, limit=0.037)]
    [True, True]
    >>> [test.passed for test in certify({"a": one, "b": one}, limit=0.036)]
    [False, False]
    """
    _check_confidence(confidence)
    if correction not in CORRECTIONS:
        raise UserError(f"no correction {brief(repr(correction), 60)}; there are {', '.join(CORRECTIONS)}")
    if not policies:
        raise UserError("there is no policy to test; give at least one")
    alpha, many = 1 - confidence, len(policies)
    own = confidence if correction == "none" else 1 - alpha / many
    tests = {name: safety_test(*given, limit=limit, confidence=own, name=name) for name, given in policies.items()}
    passed = {name: test.passed for name, test in tests.items()}
    if correction == "holm":
        going = True
        for place, name in enumerate(sorted(tests, key=lambda name: tests[name].p)):
            going = going and tests[name].p <= alpha / (many - place)
            passed[name] = going
    return [SafetyTest(**asdict(test) | {"passed": passed[name]}) for name, test in tests.items()]


def _divergence(x: float, u: float) -> float:
    """KL of a coin with rate x from one with rate u, in nats."""
    return float(rel_entr(x, u) + rel_entr(1 - x, 1 - u))


def exact_p(events: int, n: int, limit: float) -> float:
    """The exact p of `events` in `n` independent draws against a rate of `limit` or more: P(Binomial(n, limit) <= events).

    >>> round(exact_p(0, 59, 0.05), 4)
    0.0485
    """
    _check_limit(limit)
    upper_bound(events, n)  # the counts are checked there
    return float(binom.cdf(events, n, limit))


def _prompt_means(values: Sequence[float] | np.ndarray, clusters: Sequence[Hashable]) -> np.ndarray:
    numbers = np.asarray(values, dtype=float)
    if numbers.ndim != 1 or len(numbers) != len(clusters) or not len(numbers):
        raise UserError(
            f"values have shape {numbers.shape} for {len(clusters)} prompts; give one prompt for each value"
        )
    if not (numbers.min() >= 0 and numbers.max() <= 1):  # true of NaN too
        raise UserError(f"values must lie in [0, 1]; found {numbers.min():g} to {numbers.max():g}")
    names = {name: i for i, name in enumerate(dict.fromkeys(clusters))}
    index = np.array([names[name] for name in clusters])
    return np.clip(np.bincount(index, weights=numbers) / np.bincount(index), 0.0, 1.0)


def _check_confidence(confidence: float) -> None:
    if not (is_number(confidence) and 0 < confidence < 1):
        raise UserError(f"confidence is {brief(repr(confidence), 60)}; it must lie between 0 and 1, such as 0.95")


def _check_limit(limit: float) -> None:
    if not (is_number(limit) and 0 < limit < 1):
        raise UserError(f"limit is {brief(repr(limit), 60)}; it must lie between 0 and 1: no sample proves harm of 0")


def _count(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
