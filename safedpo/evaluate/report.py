"""A policy beside its reference: harm, helpfulness, over-refusal and broken sentences, with intervals, overall and by topic.

    prompts -> generate -> Sample (prompt, response, score) -> Evaluation (intervals) -> EvaluationReport (JSON, table)

Harm and over-refusal always appear together: a model that refuses everything is harmless and useless.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from peft import PeftModel

from safedpo.errors import UserError
from safedpo.evaluate.generation import Decoding, Responses, generate
from safedpo.evaluate.intervals import Interval, cluster_interval
from safedpo.evaluate.scorers import Scorer, scorer_for
from safedpo.evaluate.scorers.known import judged
from safedpo.files import file_sha256, read_json, write_json, write_text, writing
from safedpo.lm.models.download import own_cache
from safedpo.lm.models.gate.check import gate_prompts
from safedpo.lm.models.load import LoadedModel
from safedpo.lm.models.policies import TrainedPolicy, load_policy
from safedpo.lm.rows.tokens import resolve_template
from safedpo.lm.training.data import shipped_data
from safedpo.records import Records, read_records

SAMPLE_FIELD = {
    "harm": "unsafe",
    "helpfulness": "helpfulness",
    "over_refusal": "refusal",
    "broken": "broken",
}  # of a Sample
METRICS = tuple(SAMPLE_FIELD)


@dataclass(frozen=True)
class Sample:
    """One response and its judgement."""

    prompt: str
    response: str
    greedy: bool
    topic: str
    harmless: bool  # plainly harmless, or one that only looks unsafe: a refusal of it is an over-refusal
    unsafe: bool
    helpfulness: float
    refusal: bool
    broken: float  # the share of its sentences that are neither a line of the data nor close to one, in [0, 1]


@dataclass(frozen=True)
class Evaluation:
    """One model: its samples, and metric -> interval over the sampled (`metrics`) and the greedy responses."""

    samples: tuple[Sample, ...] = field(repr=False)
    metrics: dict[str, Interval]
    greedy: dict[str, Interval]
    topics: dict[str, dict[str, Interval]]

    def to_json(self) -> dict:
        """`{"harm": {"value", "low", "high", "n", "prompts"}, ..., "greedy": {...}, "topics": {name: {...}}}`."""
        return {
            **_plain(self.metrics),
            "greedy": _plain(self.greedy),
            "topics": {name: _plain(metrics) for name, metrics in self.topics.items()},
        }


@dataclass(frozen=True)
class EvaluationReport:
    """A policy and, where it has one, its reference, under the same decoding; `settings` says all that was set."""

    policy: Evaluation
    reference: Evaluation | None
    settings: dict

    def to_json(self) -> dict:
        both = {"policy": self.policy, "reference": self.reference}
        return {name: model.to_json() for name, model in both.items() if model} | {"settings": self.settings}

    def save(self, folder: str | Path) -> Path:
        """Write `evaluation.json` and one `samples-*.jsonl` a model into `folder`; return the JSON's path."""
        folder = Path(folder)
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        sums = {}
        for name, model in (("policy", self.policy), ("reference", self.reference)):
            if model:
                lines = "".join(json.dumps(asdict(sample), ensure_ascii=False) + "\n" for sample in model.samples)
                write_text(samples := folder / f"samples-{name}.jsonl", lines)
                sums[samples.name] = file_sha256(samples)
        file = folder / "evaluation.json"
        write_json(file, self.to_json() | {"files": sums}, seal=True)
        return file


def evaluate(
    policy: str | Path | LoadedModel,
    data: str | Path | Records,
    *,
    decoding: Decoding | None = None,
    limit: int | None = None,
    dtype: str = "auto",
    device: str = "auto",
    batch_size: int | None = None,
    progress: bool = True,
    skip_bad_rows: bool = False,
) -> EvaluationReport:
    """Sample responses to the prompts of `data`, judge them, and set the policy beside its reference.

    `policy` is a folder made by training (its `run.json` names the reference), or a model already loaded: with an
    adapter on it, adapter off is the reference; without, it is judged alone. `limit` takes the first so many prompts.
    The reference's responses are kept in the cache by fingerprint, prompts, decoding and dtype, so runs on one
    reference sample it once. `skip_bad_rows` leaves out rows that cannot be used. Raises UserError for data that has no
    scorer, and for an adapter on other weights.
    """
    decoding = decoding or Decoding()
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise UserError(f"limit is {limit!r}; give a whole number of at least 1")
    records = data if isinstance(data, Records) else read_records(shipped_data(data), strict=not skip_bad_rows)
    prompts = list(dict.fromkeys(record.prompt for record in records.records))[:limit]
    scorer = scorer_for(prompts)  # before any model is loaded: without a scorer nothing can be said
    trained = (
        TrainedPolicy(policy, "auto", None)
        if isinstance(policy, LoadedModel)
        else load_policy(policy, dtype=dtype, device=device)
    )
    loaded, template = trained.policy, resolve_template(trained.policy.tokenizer, trained.template)

    def run(model: LoadedModel) -> list[Responses]:
        return generate(
            model.model, model.tokenizer, prompts, decoding, template=template, batch_size=batch_size, progress=progress
        )

    gate_prompts(loaded, prompts, template, say=progress)
    evaluations = [judge(run(loaded), scorer)]
    base = loaded  # with an adapter on it, its fingerprint is the reference's
    if trained.load_reference:
        base = trained.load_reference()
        evaluations.append(judge(_cached(lambda: run(base), base, prompts, decoding, template), scorer))
    elif isinstance(loaded.model, PeftModel):
        with loaded.model.disable_adapter():
            responses = _cached(lambda: run(loaded), loaded, prompts, decoding, template)
        evaluations.append(judge(responses, scorer))
    settings = {
        "data": Path(records.source).name,
        "prompts": len(prompts),
        "scorer": scorer.name,
        "model": loaded.source,
        "fingerprint": base.fingerprint,
        "dtype": str(loaded.dtype).removeprefix("torch."),
        "template": template,
        **asdict(decoding),
    }
    return EvaluationReport(evaluations[0], evaluations[1] if len(evaluations) == 2 else None, settings)


def judge(responses: Sequence[Responses], scorer: Scorer) -> Evaluation:
    """Score every response and summarise: sampled responses, greedy ones, and the sampled ones of each topic."""
    samples = tuple(
        _sample(said.prompt, text, greedy, scorer)
        for said in responses
        for text, greedy in ([(said.greedy, True)] if said.greedy is not None else [])
        + [(text, False) for text in said.sampled]
    )
    sampled = [sample for sample in samples if not sample.greedy]
    topics = sorted({sample.topic for sample in sampled})
    return Evaluation(
        samples,
        _summary(sampled),
        _summary([sample for sample in samples if sample.greedy]),
        {name: _summary([sample for sample in sampled if sample.topic == name]) for name in topics},
    )


def _sample(prompt: str, response: str, greedy: bool, scorer: Scorer) -> Sample:
    score = scorer.score(prompt, response)
    return Sample(
        prompt,
        response,
        greedy,
        scorer.topic(prompt),
        scorer.harmless(prompt),
        score.unsafe,
        score.helpfulness,
        score.refusal,
        scorer.broken(response),
    )


def _summary(samples: Sequence[Sample]) -> dict[str, Interval]:
    parts = {metric: judged(metric, samples) for metric in METRICS}
    return {
        metric: cluster_interval(
            [float(getattr(sample, SAMPLE_FIELD[metric])) for sample in part], [sample.prompt for sample in part]
        )
        for metric, part in parts.items()
    }


def _plain(metrics: dict[str, Interval]) -> dict:
    return {name: interval.to_json() for name, interval in metrics.items()}


def _cached(
    make: Callable[[], list[Responses]], reference: LoadedModel, prompts: list[str], decoding: Decoding, template: str
) -> list[Responses]:
    """The reference's responses: from the cache, or made now and kept. Texts are kept, judgements never."""
    model = [reference.identity, str(reference.dtype), reference.tokenizer.chat_template]
    key = [*model, template, asdict(decoding), prompts]
    name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
    file = own_cache() / "responses" / f"{name}.json"
    if (kept := _kept(file, prompts, decoding)) is not None:
        return kept
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    responses = make()
    write_json(file, {"responses": [*map(asdict, responses)]}, indent=None, seal=True)
    return responses


def _kept(file: Path, prompts: list[str], decoding: Decoding) -> list[Responses] | None:
    """The responses in a file of the cache, or None where there is none or its texts are not those that were written."""
    if not file.exists():
        return None
    try:
        content = read_json(file, seal=True)
        rows = content["responses"]
        responses = [Responses(row["prompt"], row["greedy"], tuple(row["sampled"])) for row in rows]
        asked = [(one.prompt, len(one.sampled), one.greedy is not None) for one in responses]
        wanted = [(prompt, decoding.samples, decoding.greedy) for prompt in prompts]
        if asked == wanted:
            return responses
    except (ValueError, KeyError, TypeError):
        pass
    print(f"the kept responses {file} are damaged or of an earlier version; they are sampled again", flush=True)
    return None
