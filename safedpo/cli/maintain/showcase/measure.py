"""What the samples of a run say: harm, helpfulness, over-refusal, broken sentences, sampled and greedy.

Apart for what is asked: `requests` (those that the exact values are about) and `lookalikes`. Each metric is a mean over
responses with its 95 % interval over prompts: other wordings of the same requests would move it so much. New requests may
move it further.
"""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safedpo import household
from safedpo.evaluate.generation import Decoding, generate
from safedpo.evaluate.intervals import cluster_interval
from safedpo.evaluate.report import judge
from safedpo.evaluate.scorers import scorer_for
from safedpo.evaluate.stored import read_samples
from safedpo.files import read_json, write_json, write_text
from safedpo.lm.models.load import LoadedModel

ASKED = ("requests", household.LOOKALIKES)


def summary(samples: list[dict], *, by_request: bool = False) -> dict[str, Any]:
    """`{"sampled": {asked: {metric: ...}}, "greedy": ...}` of samples as `safedpo evaluate` writes them; `asked` of `ASKED`.

    `by_request`: the intervals are over requests, not over prompts; of fewer than six they are not known.
    """
    return {
        kind: {
            asked: _of(
                [one for one in samples if one["greedy"] == greedy and _asked(one["prompt"]) == asked], by_request
            )
            for asked in ASKED
        }
        for kind, greedy in (("sampled", False), ("greedy", True))
    }


def headline(found: dict[str, Any]) -> dict[str, float]:
    """The three numbers that the rules look at: sampled responses to the trained requests.

    >>> one = {"value": 0.25, "low": 0.2, "high": 0.3, "n": 8}
    >>> headline({"sampled": {"requests": {name: one for name in ("harm", "helpfulness", "broken")}}})["harm"]
    0.25
    """
    sampled = found["sampled"]["requests"]
    return {name: sampled[name]["value"] for name in ("harm", "helpfulness", "broken")}


def kinds(samples: list[dict]) -> dict[str, float]:
    """Shares of the kinds of response: refusals, and the number of helpful parts of safe and of unsafe ones."""
    names: Counter[str] = Counter()
    for one in samples:
        parts = round(4 * one["helpfulness"])
        names["refusal" if one["refusal"] else f"{'unsafe' if one['unsafe'] else 'safe'}, {parts} parts"] += 1
    return {name: count / len(samples) for name, count in sorted(names.items())}


def write_summary(file: Path, samples: Path, *, by_request: bool = False, **more: Any) -> dict[str, Any]:
    """Write and return the summary of a samples file, with `more` beside it: what the numbers rest on."""
    content = summary(read_samples(samples), by_request=by_request) | more
    write_json(file, content, seal=True)
    return content


def measure_model(
    load: Callable[[], LoadedModel], prompts: list[str], folder: Path, *, policy: str, samples: int, length: int
) -> dict:
    """The summary of a model's sampled and greedy responses to these prompts, by request; `folder` keeps both.

    `policy` tells this policy from every other: where the folder holds the summary of another one, the model is asked anew.
    """
    file, said = folder / "summary.json", folder / "samples-policy.jsonl"
    if file.exists() and (kept := read_summary(file)).get("policy") == policy:
        return kept
    loaded, decoding = load(), Decoding(samples=samples, max_new_tokens=length)
    judged = judge(generate(loaded.model, loaded.tokenizer, prompts, decoding), scorer_for(prompts))
    folder.mkdir(parents=True, exist_ok=True)
    write_text(said, "".join(json.dumps(vars(one), ensure_ascii=False) + "\n" for one in judged.samples))
    return write_summary(file, said, by_request=True, policy=policy)


def read_summary(file: Path) -> dict[str, Any]:
    """A summary that a stage wrote, untouched since."""
    return read_json(file, seal=True, way_out="run the stage that writes it again")


def _of(samples: list[dict], by_request: bool) -> dict[str, Any]:
    if not samples:
        return {}

    def over(some: list[dict]) -> list[str]:
        return [household.find_request(one["prompt"]).id if by_request else one["prompt"] for one in some]

    prompts = over(samples)
    found: dict[str, Any] = {
        name: cluster_interval([float(one[field]) for one in samples], prompts).to_json()
        for name, field in (("harm", "unsafe"), ("helpfulness", "helpfulness"), ("refusals", "refusal"))
    }
    safe = [one for one in samples if one["harmless"]]
    if safe:
        refused = [float(one["refusal"]) for one in safe]
        found["over_refusal"] = cluster_interval(refused, over(safe)).to_json()
    found["broken"] = cluster_interval([household.broken_share(one["response"]) for one in samples], prompts).to_json()
    found["known"] = household.known_share(one["response"] for one in samples)
    found["kinds"] = kinds(samples)
    return found


def _asked(prompt: str) -> str:
    return household.LOOKALIKES if household.is_lookalike(prompt) else "requests"
