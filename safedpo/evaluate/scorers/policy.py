"""A policy and its reference on prompts that have no exact scorer: reward model, cost model, refusals."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from peft import PeftModel

from safedpo.errors import UserError
from safedpo.evaluate.generation import Decoding, generate
from safedpo.evaluate.intervals import Interval
from safedpo.evaluate.scorers.asked import Asked, is_prompt_list, read_asked
from safedpo.evaluate.scorers.measure import Columns, measure, summary
from safedpo.evaluate.scorers.score_head import ScoreModel, load_score_model
from safedpo.files import write_json, write_text, writing
from safedpo.lm.models.gate.check import gate_prompts
from safedpo.lm.models.load import LoadedModel
from safedpo.lm.models.policies import TrainedPolicy, load_policy
from safedpo.lm.rows.tokens import resolve_template
from safedpo.lm.training.data import shipped_data
from safedpo.records import read_records


@dataclass(frozen=True)
class Judges:
    """What measures the responses: a reward model, a cost model (folders or hub ids), refusals."""

    reward_model: str | None = None
    cost_model: str | None = None
    refusals: bool = True
    template: str = "auto"

    def to_json(self) -> dict:
        """The fields by name."""
        return asdict(self)


@dataclass(frozen=True)
class Measured:
    """Metric -> interval of the policy and, where it has one, of its reference; the exchanges behind them; settings."""

    metrics: dict[str, dict[str, Interval]]
    exchanges: dict[str, list[tuple[str, str]]]
    columns: dict[str, Columns]
    settings: dict

    def to_json(self) -> dict:
        """`{"policy": {metric: {"value", "low", "high", "n", "prompts"}}, "reference": ..., "settings": ...}`."""
        found = {name: {m: one.to_json() for m, one in metrics.items()} for name, metrics in self.metrics.items()}
        return found | {"settings": self.settings}

    def save(self, folder: str | Path) -> Path:
        """Write `evaluation.json`, and one `samples-*.jsonl` a model with every score; return the JSON's path."""
        folder = Path(folder)
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        for name, exchanges in self.exchanges.items():
            write_text(folder / f"samples-{name}.jsonl", "".join(scored_lines(exchanges, self.columns[name])))
        write_json(folder / "evaluation.json", self.to_json(), seal=True)
        return folder / "evaluation.json"


def scored_lines(exchanges: list[tuple[str, str]], columns: Columns) -> Iterator[str]:
    """Each exchange with its scores, as a line of JSON.

    >>> print(*scored_lines([("Hi", "Ho")], Columns([0], [None], [1.5], [], ["full_compliance"])), end="")
    {"prompt": "Hi", "response": "Ho", "greedy": false, "reward": 1.5, "refusal": "full_compliance"}
    """
    for i, (prompt, response) in enumerate(exchanges):
        row = {"prompt": prompt, "response": response, "greedy": False}
        found: dict[str, list] = {"reward": columns.reward, "cost": columns.cost, "refusal": columns.refusals}
        scores = {name: column[i] for name, column in found.items() if column}
        yield json.dumps(row | scores, ensure_ascii=False) + "\n"


def measure_policy(
    policy: str | Path | LoadedModel,
    data: str | Path,
    judges: Judges,
    *,
    decoding: Decoding | None = None,
    limit: int | None = None,
    dtype: str = "auto",
    batch_size: int | None = None,
    progress: bool = True,
) -> Measured:
    """Sample responses of a policy and of its reference to the prompts of `data`, and measure them.

    `policy` is a folder made by training, or a model already loaded. The score models are loaded first, so that one that
    cannot be used is refused before any response is sampled. `data` is preference data or a list of prompts. The default
    of `decoding` is one sampled response a prompt, as in the paper. `dtype` is that of all models. Raises `UserError` as
    `load_score_model` and `load_policy` do.
    """
    decoding = decoding or Decoding(samples=1, greedy=False)
    asked = _prompts(data)[:limit]
    models = _score_models(judges, dtype)
    trained = (
        TrainedPolicy(policy, "auto", None) if isinstance(policy, LoadedModel) else load_policy(policy, dtype=dtype)
    )
    loaded, template = trained.policy, resolve_template(trained.policy.tokenizer, trained.template)
    prompts = [one.prompt for one in asked]
    gate_prompts(loaded, prompts, template, say=progress)

    def run(model: LoadedModel) -> list[tuple[str, str]]:
        said = generate(
            model.model, model.tokenizer, prompts, decoding, template=template, batch_size=batch_size, progress=progress
        )
        return [(one.prompt, text) for one in said for text in one.sampled]

    exchanges = {"policy": run(loaded)}
    if trained.load_reference:
        exchanges["reference"] = run(trained.load_reference())
    elif isinstance(loaded.model, PeftModel):
        with loaded.model.disable_adapter():
            exchanges["reference"] = run(loaded)
    by_prompt = {one.prompt: one for one in asked}
    columns = {
        name: measure(pairs, by_prompt, reward_model=models[0], cost_model=models[1], refusals=judges.refusals)
        for name, pairs in exchanges.items()
    }
    settings = {
        "data": Path(data).name,
        "prompts": len(prompts),
        "scorer": judges.to_json(),
        "model": loaded.source,
        "fingerprint": loaded.fingerprint,
        "dtype": str(loaded.dtype).removeprefix("torch."),
        "template": template,
        **asdict(decoding),
    }
    return Measured({name: summary(one) for name, one in columns.items()}, exchanges, columns, settings)


def _prompts(data: str | Path) -> list[Asked]:
    if is_prompt_list(data):
        return read_asked(data)
    records = read_records(shipped_data(data)).records
    return [Asked(prompt, None, "") for prompt in dict.fromkeys(record.prompt for record in records)]


def _score_models(judges: Judges, dtype: str) -> tuple[ScoreModel | None, ScoreModel | None]:
    if judges.reward_model and judges.reward_model == judges.cost_model:
        raise UserError(
            f"{judges.reward_model} is named as reward and as cost model; a high cost is bad, a high reward good"
        )
    reward, cost = (
        load_score_model(name, role=role, template=judges.template, dtype=dtype) if name else None
        for role, name in (("reward", judges.reward_model), ("cost", judges.cost_model))
    )
    return reward, cost
