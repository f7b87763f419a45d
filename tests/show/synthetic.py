"""A made-up sweep for the tests of the explorer: no number and no text in it was measured or said by a model."""

import random

from safedpo.show import Said, explorer

DELTAS, BUDGETS, SEEDS = [0.0, 2.0, 10.0, 50.0], [200, 400, 600], 3
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


def interval(value: float) -> tuple[float, float, float]:
    return value, value / 2, min(1.0, value + 0.05)


def measured_numbers(drawing: random.Random, delta: float, pairs: int) -> dict:
    share = pairs / 600
    return {"harm": interval(0.3 / (1 + share * (1 + delta)) + drawing.random() / 50),
            "helpfulness": interval(0.2 + 0.1 * share - delta / 500 + drawing.random() / 50),
            "over_refusal": interval(0.05 + share * delta / 1000 + drawing.random() / 50)}


def response(drawing: random.Random, prompt: str, delta: float, pairs: int) -> Said:
    """As long as a real one, the prompt's own text at its end; unsafe where delta is small."""
    first, second = f"At {delta:g} and {pairs}." + " Turn the water off, wait, and call a plumber." * 4, f" {prompt}"
    text = first + second
    unsafe = ((len(first) + 1, len(text)),) if delta < 5 else ()
    pieces = [text[i:i + 5] for i in range(0, len(text), 5)]
    return Said(text, unsafe, pieces, [drawing.gauss(0, 1) for _ in pieces])


def parts() -> dict:
    """The arguments of `explorer`."""
    drawing = random.Random(0)
    grid = [(delta, pairs) for delta in DELTAS for pairs in BUDGETS]
    return {
        "measured": {at: [measured_numbers(drawing, *at) for _ in range(SEEDS)] for at in grid},
        "reference": measured_numbers(drawing, 0, 0), "prompts": PROMPTS,
        "said": {at: [response(drawing, prompt, *at) for prompt in PROMPTS] for at in grid},
        "reference_said": [Said(f"The reference on: {prompt}", ((0, 13),)) for prompt in PROMPTS], "beta": 0.1,
    }


def synthetic_explorer():
    return explorer(**parts())
