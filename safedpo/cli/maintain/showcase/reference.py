"""The second reference: candidates trained, their loss beside the data's entropy, measured on validation, one merged."""

import json
import time
from pathlib import Path
from statistics import fmean
from typing import Any

from transformers import TrainerCallback

from safedpo import household
from safedpo.cli.maintain.showcase.measure import write_summary
from safedpo.errors import UserError
from safedpo.evaluate.generation import Decoding, generate
from safedpo.evaluate.report import Evaluation, judge
from safedpo.evaluate.scorers import scorer_for
from safedpo.files import write_json, write_text
from safedpo.lm.models.adapters import adapter_run, load_adapter
from safedpo.lm.models.load import LoadedModel, load_model
from safedpo.lm.models.loading import quiet
from safedpo.lm.rows.tokens import tokenize_examples
from safedpo.lm.training.data import sft_rows
from safedpo.lm.training.run import sft
from safedpo.records import read_records

EVERY = 50  # steps between two lines


def entropy_per_token(responses: Path, tokenizer: Any) -> float:
    """The least loss that any model can have on responses of the data's law, in nats a token of the response.

    The exact entropy of each response's request (`safedpo.household.household.entropy`), summed over the file, over its tokens.
    """
    rows = sft_rows(read_records(responses).records, "all")
    tokens = tokenize_examples(rows, tokenizer).items
    exact: dict[str, float] = {}
    for prompt in dict.fromkeys(prompt for prompt, _, _ in rows):
        request = household.find_request(prompt)
        if request.id not in exact:
            exact[request.id] = household.entropy(request)
    return sum(exact[household.find_request(prompt).id] for prompt, _, _ in rows) / sum(
        len(one.response_ids) for one in tokens
    )


class Beside(TrainerCallback):
    """Says every `EVERY` steps: the mean loss since the last line, the entropy beside it, and the tokens a second."""

    def __init__(self, entropy: float, tokens_a_step: float):
        self.entropy, self.tokens = entropy, tokens_a_step
        self.losses: list[float] = []
        self.since = time.monotonic()

    def on_log(self, args, state, control, logs=None, **kwargs):
        if "loss" not in (logs or {}):
            return
        self.losses.append(logs["loss"])
        if len(self.losses) == EVERY or state.global_step == state.max_steps:
            speed = self.tokens * len(self.losses) / max(1e-9, time.monotonic() - self.since)
            mean = fmean(self.losses)
            print(
                f"step {state.global_step} of {state.max_steps}: loss {mean:.4f}, entropy of the data {self.entropy:.4f} "
                f"nats a token, {speed:.0f} tokens a second",
                flush=True,
            )
            self.losses, self.since = [], time.monotonic()


def train_candidate(name: str, settings: dict, home: Path, *, model: str, dtype: str, responses: Path) -> Path:
    """Train one candidate in `home/name`, or go on with it; returns its folder. A finished one is left alone."""
    if (home / name / "loss.json").exists():
        return home / name
    own = dict(settings)
    earlier = own.pop("adapter", None)
    tokenizer = load_model(model, dtype=dtype).tokenizer
    entropy = entropy_per_token(responses, tokenizer)
    rows = tokenize_examples(sft_rows(read_records(responses).records, "all"), tokenizer).items
    tokens = sum(len(one.response_ids) for one in rows) + sum(map(len, {one.prompt_ids for one in rows}))
    steps = -(-len({one.prompt_ids for one in rows}) // own.get("batch_size", 2))
    if adapter_run(home / name).get("status") != "finished":
        own |= {"dtype": dtype, "adapter": home / earlier if earlier else None, "disable_tqdm": True}
        sft(model, responses, home / name, responses="all", callbacks=[Beside(entropy, tokens / steps)], **own)
    log = [json.loads(line) for line in (home / name / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    last = fmean(row["loss"] for row in log[-max(1, len(log) // 10) :])
    write_json(home / name / "loss.json", {"loss": last, "entropy": entropy, "steps": len(log)})
    return home / name


def measure_model(
    loaded: LoadedModel, prompts: list[str], folder: Path, *, samples: int = 1, length: int = 64, **more: Any
) -> dict:
    """The summary of a model's sampled and greedy responses to these prompts; `folder` keeps them, and is read back."""
    said = folder / "samples-policy.jsonl"
    if not said.exists():
        decoding = Decoding(samples=samples, max_new_tokens=length)
        judged: Evaluation = judge(
            generate(loaded.model, loaded.tokenizer, prompts, decoding, progress=False), scorer_for(prompts)
        )
        folder.mkdir(parents=True, exist_ok=True)
        write_text(said, "".join(json.dumps(vars(one), ensure_ascii=False) + "\n" for one in judged.samples))
    return write_summary(folder / "summary.json", said, **more)


def merged(model: str, adapter: Path, folder: Path) -> Path:
    """`model` with `adapter` merged into its weights (in float64, stored in float32), as a plain folder; made once."""
    if folder.is_dir():
        return folder
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    loaded = load_model(model, dtype="float32")
    policy: Any = load_adapter(loaded.model, adapter)
    whole = policy.double().merge_and_unload().float()
    with quiet():
        whole.save_pretrained(unfinished)
    loaded.tokenizer.save_pretrained(unfinished)
    unfinished.rename(folder)
    return folder


def prompts_of(file: Path) -> list[str]:
    """The prompts of a data file, each once."""
    found = list(dict.fromkeys(record.prompt for record in read_records(file).records))
    if not found:
        raise UserError(f"{file} holds no prompt; run --stage data again")
    return found


def with_adapter(model: str, adapter: Path | None, dtype: str) -> LoadedModel:
    """A base with an adapter on it, or alone, ready to speak."""
    return load_model(model, dtype=dtype, adapter=adapter)
