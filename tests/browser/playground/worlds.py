"""States to open the page in, as fragments of its address."""

from urllib.parse import quote, urlencode

import pytest

from safedpo.finite import random_world

slow = pytest.mark.slow
SETTINGS = {
    "story": "rule",
    "rule": "safedpo",
    "loss": "safedpo",
    "data": "exact",
    "compare": "no",
    "beta": 0.5,
    "delta": 0,
    "penalty": 2,
    "noise": 0,
    "lr": 0.1,
    "n": 200,
    "seed": 0,
    "speed": 2,
    "step": 0,
    "lang": "en",
}
SIX = [
    (0.18, 1.0, False),
    (0.22, 0.6, False),
    (0.16, 0.2, False),
    (0.08, -0.8, False),
    (0.14, 1.8, True),
    (0.22, 1.3, True),
]


def link(answers=SIX, **settings) -> str:
    """A fragment: answers as (reference, reward, unsafe) or with a text as a fourth."""
    rows = [
        ("a", f"{one[0]!r},{one[1]!r},{'U' if one[2] else 'S'},{one[3] if len(one) > 3 else f'answer {i}'}")
        for i, one in enumerate(answers)
    ]
    return urlencode([*(SETTINGS | settings).items(), *rows], quote_via=quote)


def some(names, *quick) -> list:
    """All as parameters; those not named are for make test-slow."""
    return [one if one in quick else pytest.param(one, marks=slow) for one in names]


def random_answers(seed: int, answers: int) -> list[tuple[float, float, bool]]:
    world = random_world(seed, answers=answers)
    columns = (world.ref_logps[0].exp(), world.reward[0].clamp(-3, 3), world.unsafe[0])
    return list(zip(*(column.tolist() for column in columns), strict=True))


WORLDS = {
    "two": random_answers(1, 2),
    "five": random_answers(2, 5),
    "twelve": random_answers(3, 12),
    "not normalised": [(0.9, 1.0, False), (0.8, 2.0, True), (0.003, -1.0, False)],
    "never said": [(0.0, 1.0, False), (0.5, 2.0, True), (0.5, 0.25, False), (0.0, 3.0, True)],
    "all zero": [(0.0, 1.0, False), (0.0, 2.0, True)],
    "all safe": [(0.25, 1.0, False), (0.75, 2.0, False)],
    "all unsafe": [(0.25, 1.0, True), (0.75, 2.0, True)],
    "safe but never said": [(0.0, 1.0, False), (1.0, 2.0, True)],
    "tiny support": [(1e-300, 3.0, False), (1.0, -3.0, True), (1e-12, 0.0, False)],
}


PAYLOADS = [
    '<img src=x onerror="window.broken=1">',
    "</script><script>window.broken=1</script>",
    '"><svg onload=window.broken=1>',
    "javascript:window.broken=1",
    "{{constructor.constructor('window.broken=1')()}} ${window.broken=1}",
    '\'; import os #"""\\',
    "&lt;b&gt; &amp; π_C {n}",
]
