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
from safedpo.evaluate.generation import Decoding, generate
from safedpo.evaluate.intervals import cluster_interval
from safedpo.evaluate.report import judge
from safedpo.evaluate.scorers import scorer_for
from safedpo.evaluate.stored import read_samples
from safedpo.files import write_json, write_text
from safedpo.lm.models.load import LoadedModel

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


def kinds(samples: list[dict]) -> dict[str, float]:
    """Shares of the kinds of response: refusals, and the number of helpful parts of safe and of unsafe ones."""
    names: Counter[str] = Counter()
    for one in samples:
        parts = round(4 * one["helpfulness"])
        names["refusal" if one["refusal"] else f"{'unsafe' if one['unsafe'] else 'safe'}, {parts} parts"] += 1
    return {name: count / len(samples) for name, count in sorted(names.items())}


def write_summary(file: Path, samples: Path, **more: Any) -> dict[str, Any]:
    """Write and return the summary of a samples file, with `more` beside it."""
    content = summary_of_file(samples) | more
    write_json(file, content)
    return content


def measure_model(loaded: LoadedModel, prompts: list[str], folder: Path, *, samples: int, length: int) -> dict:
    """The summary of a model's sampled and greedy responses to these prompts; `folder` keeps them, and is read back."""
    said = folder / "samples-policy.jsonl"
    if not said.exists():
        decoding = Decoding(samples=samples, max_new_tokens=length)
        judged = judge(generate(loaded.model, loaded.tokenizer, prompts, decoding), scorer_for(prompts))
        folder.mkdir(parents=True, exist_ok=True)
        write_text(said, "".join(json.dumps(vars(one), ensure_ascii=False) + "\n" for one in judged.samples))
    return write_summary(folder / "summary.json", said)


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
    found["broken"] = cluster_interval([household.broken_share(one["response"]) for one in samples], prompts).to_json()
    found["known"] = household.known_share(one["response"] for one in samples)
    found["kinds"] = kinds(samples)
    return found


def _group(prompt: str) -> str:
    return "lookalikes" if household.is_lookalike(prompt) else "requests"
