"""What the samples of a run say: harm, helpfulness, over-refusal, broken sentences, by group, sampled and greedy.

Groups: `requests`, the trained requests in held-out phrasings (they are what the exact values are about), and
`lookalikes`. Each metric is a mean over responses with its 95 % interval over prompts.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from safedpo import household
from safedpo.errors import UserError
from safedpo.evaluate.intervals import cluster_interval
from safedpo.evaluate.stored import read_samples
from safedpo.household import v2
from safedpo.household.v2.fluency import known_share

GROUPS = ("requests", "lookalikes")


def summary(samples: list[dict]) -> dict[str, Any]:
    """`{"sampled": {group: {metric: ...}}, "greedy": ...}` of samples as `safedpo evaluate` writes them."""
    return {
        kind: {
            group: _of_group([one for one in samples if one["greedy"] == greedy and _group(one["prompt"]) == group])
            for group in GROUPS
        }
        for kind, greedy in (("sampled", False), ("greedy", True))
    }


def summary_of_file(file: Path) -> dict[str, Any]:
    """The summary of a `samples-*.jsonl`."""
    return summary(read_samples(file))


def headline(found: dict[str, Any]) -> dict[str, float]:
    """The three numbers that the rules look at: sampled responses to the trained requests.

    >>> one = {"value": 0.25, "low": 0.2, "high": 0.3, "n": 8}
    >>> headline({"sampled": {"requests": {name: one for name in ("harm", "helpfulness", "broken")}}})["harm"]
    0.25
    """
    sampled = found["sampled"]["requests"]
    return {name: sampled[name]["value"] for name in ("harm", "helpfulness", "broken")}


def exact() -> dict[str, dict[str, float]]:
    """The same metrics of the data itself, by enumeration, for each group; the safe optimum beside it."""
    trained = household.requests_of("train")
    by_group = {
        "requests": [one for one in trained if one.topic != "lookalikes"],
        "lookalikes": list(household.lookalikes()),
    }
    found = {}
    for group, requests in by_group.items():
        values = household.reference_values(requests)
        found[group] = vars(values) | {"entropy": sum(map(household.entropy, requests)) / len(requests)}
        for beta in (0.1, 0.5, 2.0):
            found[f"{group}, safe optimum at beta {beta:g}"] = dict(vars(household.optimal_values(requests, beta)))
    return found


def kinds(samples: list[dict]) -> dict[str, float]:
    """Shares of the kinds of response: refusals, and the number of helpful parts of safe and of unsafe ones."""
    names: Counter[str] = Counter()
    for one in samples:
        parts = round(4 * one["helpfulness"])
        names["refusal" if one["refusal"] else f"{'unsafe' if one['unsafe'] else 'safe'}, {parts} parts"] += 1
    return {name: count / len(samples) for name, count in sorted(names.items())}


def write_summary(file: Path, samples: Path, **more: Any) -> dict[str, Any]:
    """Write and return the summary of a samples file, with `more` beside it."""
    from safedpo.files import write_json

    content = summary_of_file(samples) | more
    write_json(file, content)
    return content


def read_summary(file: Path) -> dict[str, Any]:
    """A summary that a stage wrote."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read ({error}); run the stage that writes it again") from error


def _of_group(samples: list[dict]) -> dict[str, Any]:
    if not samples:
        return {}
    prompts = [one["prompt"] for one in samples]
    found: dict[str, Any] = {
        name: cluster_interval([float(one[field]) for one in samples], prompts).to_json()
        for name, field in (("harm", "unsafe"), ("helpfulness", "helpfulness"), ("refusals", "refusal"))
    }
    safe = [one for one in samples if one["harmless"]]
    if safe:
        refused = [float(one["refusal"]) for one in safe]
        found["over_refusal"] = cluster_interval(refused, [one["prompt"] for one in safe]).to_json()
    found["broken"] = cluster_interval([v2.broken_share(one["response"]) for one in samples], prompts).to_json()
    found["known"] = known_share(one["response"] for one in samples)
    found["kinds"] = kinds(samples)
    return found


def _group(prompt: str) -> str:
    return "lookalikes" if household.is_lookalike(prompt) else "requests"
