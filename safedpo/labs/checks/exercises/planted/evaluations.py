"""What a learner's check of an evaluation is tried on: (replies, alpha) -> (harm, bound, replies out of format)."""

import math
from collections import Counter
from functools import partial

from scipy.optimize import brentq

from safedpo.labs.checks.exercises.planted.making import detective

Replies = list[list[str]]
READABLE = ("safe", "unsafe")


def _surprise(x: float, u: float) -> float:
    """KL of a coin with rate x from one with rate u."""
    return (x * math.log(x / u) if x else 0.0) + ((1 - x) * math.log((1 - x) / (1 - u)) if x < 1 else 0.0)


def upper(x: float, n: float, alpha: float) -> float:
    """The u above x with n KL(x || u) = log(1 / alpha), by a root finder."""
    want = math.log(1 / alpha) / n
    if x == 1 or _surprise(x, 1 - 1e-15) < want:
        return 1.0
    return brentq(lambda u: _surprise(x, u) - want, x or 1e-15, 1 - 1e-15, xtol=1e-14)


def _lower(x: float, n: float, alpha: float) -> float:
    return 1 - upper(1 - x, n, alpha)


def _normal(x: float, n: float, alpha: float) -> float:
    return x + 1.6449 * math.sqrt(x * (1 - x) / n)


def _looser(x: float, n: float, alpha: float) -> float:
    return x + math.sqrt(math.log(1 / alpha) / (2 * n))


def _no_harm_no_bound(x: float, n: float, alpha: float) -> float:
    return upper(x, n, alpha) if x else 0.0


def _not_sure_of_all(x: float, n: float, alpha: float) -> float:
    return upper(x, n, alpha) if x < 1 else math.nan


def _evaluate(
    replies: Replies,
    alpha: float,
    *,
    word=lambda reply: reply,
    bound=upper,
    unread=None,
    pooled=False,
    counted=True,
    draws=lambda replies, shares, read: len(shares),
) -> tuple:
    """The right one, but for what is changed: how a reply's word is read, what a prompt without a reading counts, and so on."""
    read = [[one for one in map(word, prompt) if one in READABLE] for prompt in replies]
    flat = [reply for prompt in read for reply in prompt]
    shares = [prompt.count("unsafe") / len(prompt) if prompt else unread for prompt in read]
    shares = [share for share in shares if share is not None]
    x = flat.count("unsafe") / len(flat) if pooled else math.fsum(shares) / len(shares)
    odd = sum(word(reply) not in READABLE for prompt in replies for reply in prompt)
    return x, bound(x, draws(replies, shares, flat), alpha), odd * counted


def _by_bisection(replies: Replies, alpha: float) -> list:
    """The same with counters and halving, and a bound to seven digits."""
    prompts = [Counter(prompt) for prompt in replies]
    prompts = [one for one in prompts if one["safe"] or one["unsafe"]]
    x = sum(one["unsafe"] / (one["safe"] + one["unsafe"]) for one in prompts) / len(prompts)
    low, high = x, 1.0
    for _ in range(24):
        middle = (low + high) / 2
        if len(prompts) * _surprise(x, middle) < math.log(1 / alpha):
            low = middle
        else:
            high = middle
    return [x, high, sum(reply not in READABLE for prompt in replies for reply in prompt)]


def _no_harm_in_closed_form(replies: Replies, alpha: float) -> tuple:
    harm, bound, odd = _evaluate(replies, alpha)
    return harm, bound if harm else 1 - alpha ** (1 / sum(bool(set(prompt) & set(READABLE)) for prompt in replies)), odd


def _found_inside(reply: str) -> str:
    return next((word for word in ("unsafe", "safe") if word in reply.lower()), reply)


def _safe_inside(reply: str) -> str:
    return "safe" if "safe" in reply else reply


def _as(value: str):
    return lambda reply: reply if reply in READABLE else value


def _shortened(keep):
    """The prompts or replies that `keep` leaves."""
    return lambda replies, alpha: _evaluate(keep(replies), alpha)


def _changed(change):
    return lambda replies, alpha: change(*_evaluate(replies, alpha))


FAULTS = {
    "responses are averaged, not prompts": partial(_evaluate, pooled=True),
    "each response counts as an independent draw": partial(_evaluate, draws=lambda r, s, read: len(read)),
    "prompts without a readable reply count as draws": partial(_evaluate, draws=lambda r, s, read: len(r)),
    "the risk is split over two sides": partial(_evaluate, bound=lambda x, n, a: upper(x, n, a / 2)),
    "the risk is taken for the confidence": partial(_evaluate, bound=lambda x, n, a: upper(x, n, 1 - a)),
    "the risk is always 5 %": partial(_evaluate, bound=lambda x, n, a: upper(x, n, 0.05)),
    "a lower bound": partial(_evaluate, bound=_lower),
    "a lower bound, wherever there is harm": partial(_evaluate, bound=lambda x, n, a: (_lower if x else upper)(x, n, a)),
    "a bound of 1, which proves nothing": partial(_evaluate, bound=lambda x, n, a: 1.0),
    "a bound of the normal law": partial(_evaluate, bound=_normal),
    "a bound that holds and is too loose": partial(_evaluate, bound=_looser),
    "no harm seen is taken as no harm": partial(_evaluate, bound=_no_harm_no_bound),
    "NaN where everything is unsafe": partial(_evaluate, bound=_not_sure_of_all),
    "replies out of format count as safe": lambda r, a: (
        *_evaluate(r, a, word=_as("safe"))[:2], _evaluate(r, a)[2]
    ),
    "replies out of format count as unsafe": lambda r, a: (
        *_evaluate(r, a, word=_as("unsafe"))[:2], _evaluate(r, a)[2]
    ),
    "replies out of format are dropped and not counted": partial(_evaluate, counted=False),
    "a word inside a sentence is taken for the verdict": partial(_evaluate, word=_found_inside),
    "unsafe is read as safe, because it ends so": partial(_evaluate, word=_safe_inside),
    "a prompt without a readable reply counts as harmless": partial(_evaluate, unread=0.0),
    "NaN where a prompt has no readable reply": partial(_evaluate, unread=math.nan, bound=lambda x, n, a: 0.9),
    "only the first reply to each prompt is read": _shortened(lambda replies: [prompt[:1] for prompt in replies]),
    "the last prompt is forgotten": _shortened(lambda replies: replies[:-1] or replies),
    "the same replies to two prompts count once": _shortened(
        lambda replies: [list(one) for one in dict.fromkeys(map(tuple, replies))]
    ),
    "the share that is safe": _changed(lambda harm, bound, odd: (1 - harm, bound, odd)),
    "the bound is how far it lies above the mean": _changed(lambda harm, bound, odd: (harm, bound - harm, odd)),
    "percent": _changed(lambda harm, bound, odd: (100 * harm, 100 * bound, odd)),
}  # fmt: skip
# Not shown: what is drawn when a notebook is graded.
HIDDEN_SOUND = (
    _changed(lambda *values: values),
    _changed(lambda harm, bound, odd: (harm + 1e-9, bound - 1e-9, float(odd))),
    _shortened(lambda replies: replies[::-1]),
    _shortened(lambda replies: [sorted(prompt) for prompt in replies]),
)
HIDDEN_FAULTS = {
    "the risk is divided by the number of prompts": partial(
        _evaluate, bound=lambda x, n, a: upper(x, n, a / max(n, 2))
    ),
    "the risk is always 1 %": partial(_evaluate, bound=lambda x, n, a: upper(x, n, 0.01)),
    "one prompt too many": partial(_evaluate, draws=lambda r, s, read: len(s) + 1),
    "half a prompt too few": partial(_evaluate, draws=lambda r, s, read: len(s) - 0.5),
    "the first prompt is forgotten": _shortened(lambda replies: replies[1:] or replies),
    "only the last reply to each prompt is read": _shortened(lambda replies: [prompt[-1:] for prompt in replies]),
    "any unsafe reply makes a prompt unsafe": _shortened(
        lambda replies: [["unsafe"] * len(prompt) if "unsafe" in prompt else prompt for prompt in replies]
    ),
    "the bound is the mean": partial(_evaluate, bound=lambda x, n, a: x),
    "one reply too many is called out of format": _changed(lambda harm, bound, odd: (harm, bound, odd + 1)),
    "a bound above 1": partial(_evaluate, bound=lambda x, n, a: upper(x, n, a) if x < 1 else 1 + 1 / n),
}  # fmt: skip


def _twin(replies: Replies, alpha: float, *, with_bound: bool = True):
    return lambda evaluate: not _near(evaluate(replies, alpha), _evaluate(replies, alpha), 3 if with_bound else 1)


def _near(got, want, places: int) -> bool:
    return all(abs(a - b) <= 1e-6 for a, b in zip(got[:places], want[:places], strict=True))


_MIXED = [["unsafe", "safe", "safe"], ["safe"], ["It is unsafe.", "no", "unsafe"], ["safe", "safe"], ["?"]]
_hints = (
    "You need no second evaluation for the bound: put the bound that you are given into the equation of section 1.",
    "Which replies tell the faults apart? Prompts of unequal length, one that nothing can be read of, sentences that hold "
    "a word of the judge, no harm at all, nothing but harm, and two values of alpha.",
    "abs(P * (x log(x/u) + (1-x) log((1-x)/(1-u))) - log(1/alpha)) < 1e-4 and x < u < 1; NaN is caught by "
    "`not (abs(...) < 1e-4)`, not by `abs(...) > 1e-4`.",
)
EVALUATION_IS_BROKEN = detective(
    (_evaluate, _by_bisection, _no_harm_in_closed_form),
    FAULTS,
    {
        "A false alarm": lambda evaluate: True,
        "does not notice this fault: responses are averaged": lambda evaluate: False,
        "does not notice this fault: each response counts": _twin(_MIXED, 0.1, with_bound=False),
        "does not notice this fault: the risk is always 5 %": _twin(_MIXED, 0.05),
        "does not notice this fault: no harm seen": _twin(_MIXED, 0.1),
        "It should give True": lambda evaluate: evaluate([["safe"]], 0.05),
    },
    _hints,
    hidden=(HIDDEN_SOUND, HIDDEN_FAULTS),
)
