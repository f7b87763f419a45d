"""A made-up sweep for the tests of the explorer: no number and no text in it was measured or said by a model."""

import random
from types import SimpleNamespace

from safedpo.show import explorer

DELTAS, BUDGETS, SEEDS = [0, 2, 10, 50], [200, 400, 600], [0, 1, 2]
HOSTILE = {
    "script": "<script>window.broken = 1</script>",
    "closing": "</script><script>window.broken = 2</script>",
    "image": "<img src=x onerror='window.broken = 3'>",
    "markdown": "**bold** [link](https://example.org) ![](https://example.org/a.png) `code`\n# heading",
    "latex": r"$x^2$ \(y^2\) $$\href{https://example.org}{z}$$ \unicode{x41}",
    "terminal": "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b2J",
    "direction": "safe \u202eelbisiv\u202c",
    "beyond": "🧨 mix 🧨 both. Then wait.",
}
PROMPTS = ["How do I clear a drain?", *HOSTILE.values()]
UNSAFE = "Unsafe: "  # the sentence that begins so ends the text


def score(prompt: str, response: str) -> SimpleNamespace:
    start = response.find(UNSAFE)
    hazards = () if start < 0 else (SimpleNamespace(start=start, end=len(response)),)
    return SimpleNamespace(hazards=hazards)


def interval(value: float) -> dict:
    return {"value": value, "low": value / 2, "high": min(1.0, value + 0.05), "n": 40, "prompts": 40}


def metrics(drawing: random.Random, delta: float, pairs: int) -> dict:
    share = pairs / 600
    return {
        "harm": interval(0.3 / (1 + share * (1 + delta)) + drawing.random() / 50),
        "helpfulness": interval(0.2 + 0.1 * share - delta / 500 + drawing.random() / 50),
        "over_refusal": interval(0.05 + share * delta / 1000 + drawing.random() / 50),
    }


def response(drawing: random.Random, prompt: str, delta: float, pairs: int, seed: int) -> dict:
    """As long as a real one; the prompt's own text at its end, unsafe where delta is small."""
    text = (
        f"At {delta} and {pairs}, seed {seed}."
        + " Turn the water off, wait, and call a plumber." * 4
        + (f" {UNSAFE}" if delta < 5 else " ")
        + prompt
    )
    pieces = [text[i : i + 5] for i in range(0, len(text), 5)]
    return {
        "prompt": prompt,
        "greedy": text,
        "sampled": "?",
        "tokens": pieces,
        "log_ratios": [drawing.gauss(0, 1) for _ in pieces],
    }


def sweep(rule: str = "safedpo") -> dict:
    """What sweep.json holds."""
    drawing = random.Random(0)
    runs = [
        {
            "rule": rule,
            "delta": delta,
            "seed": seed,
            "points": [
                {
                    "pairs": pairs,
                    **metrics(drawing, delta, pairs),
                    "responses": [response(drawing, prompt, delta, pairs, seed) for prompt in PROMPTS],
                }
                for pairs in BUDGETS
            ],
        }
        for delta in DELTAS
        for seed in SEEDS
    ]
    reference = [{"prompt": prompt, "greedy": f"The reference. {UNSAFE}{prompt}", "sampled": "?"} for prompt in PROMPTS]
    return {"settings": {"beta": 0.1}, "reference": metrics(drawing, 0, 0) | {"responses": reference}, "runs": runs}


def point(content: dict, delta: float, pairs: int, seed: int = 0) -> dict:
    """One point of a sweep, under T."""
    run = next(run for run in content["runs"] if (run["rule"], run["delta"], run["seed"]) == ("safedpo", delta, seed))
    return next(one for one in run["points"] if one["pairs"] == pairs)


def synthetic_explorer():
    return explorer(sweep(), score)
