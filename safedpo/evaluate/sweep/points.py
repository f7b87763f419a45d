"""One run of a sweep, measured at its training budgets: the adapter is kept on the way and judged afterwards.

points.json   {"rule", "delta", "seed", "command", "points": [{"pairs", "harm", ..., "responses": [...]}, ...]}
a response    {"prompt", "greedy", "sampled", "tokens", "log_ratios"}; the last two belong to the greedy response
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from peft import PeftModel
from transformers import TrainerCallback

from safedpo.evaluate.generation import Decoding, generate
from safedpo.evaluate.report import METRICS, Evaluation, evaluate, judge
from safedpo.evaluate.scorers import Scorer
from safedpo.files import file_sha256, write_json, writing
from safedpo.lm.models.adapters import load_adapter, write_portable_config
from safedpo.lm.models.load import LoadedModel
from safedpo.lm.rows.logprobs import token_logps
from safedpo.lm.rows.packing import pack
from safedpo.lm.rows.tokens import RowError, prompt_token_ids, tokenize_response
from safedpo.records import Records

SHOWN = 16  # held-out prompts whose responses are kept for every run and budget


class KeepAdapters(TrainerCallback):
    """Keep the adapter of a run after each of `budgets` pairs but the last, and tell `seen` how many pairs each
    step trained on."""

    def __init__(self, folder: Path, budgets: Sequence[int], seen: Callable[[int], object]):
        self.folder, self.budgets, self.seen, self.pairs = folder, budgets, seen, 0

    def on_step_end(self, args, state, control, model=None, **kwargs):
        pairs = min(state.global_step * args.per_device_train_batch_size, self.budgets[-1])
        self.seen(pairs - self.pairs)  # a resumed run's first step counts what came before it
        self.pairs = pairs
        if pairs in self.budgets[:-1]:
            # Before the step's checkpoint: a run killed in here comes back to this step and writes the adapter again.
            # Each file is whole or not there, and the folder's `run.json` comes last, with their sha256.
            kept = adapter_folder(self.folder, pairs, self.budgets)
            with writing(kept):
                model.save_pretrained(kept)
                write_portable_config(kept)
                (kept / "README.md").unlink(missing_ok=True)
            names = ("adapter_config.json", "adapter_model.safetensors")
            write_json(kept / "run.json", {"files": {name: file_sha256(kept / name) for name in names}}, seal=True)


def adapter_folder(run: Path, pairs: int, budgets: Sequence[int]) -> Path:
    """Where the adapter after so many pairs is: in the run's own folder at its end, else in a folder below it.

    >>> [adapter_folder(Path("run"), pairs, (200, 400)).name for pairs in (200, 400)]
    ['pairs-200', 'run']
    """
    return run if pairs == budgets[-1] else run / f"pairs-{pairs}"


def measure_last(policy: LoadedModel, run: Path, held_out: Records, decoding: Decoding) -> Evaluation:
    """The policy at its last budget beside its reference, as `safedpo evaluate` does it: evaluation.json and samples.

    The reference's samples are put into the sweep's folder: they are the same for every run.
    """
    report = evaluate(policy, held_out, decoding=decoding)
    report.save(run)
    (run / "samples-reference.jsonl").replace(run.parents[1] / "samples-reference.jsonl")
    return report.policy


def measure(policy: LoadedModel, prompts: Sequence[str], scorer: Scorer, decoding: Decoding) -> Evaluation:
    """The policy at an earlier budget: one sampled response to every prompt, a greedy one to the shown prompts."""
    sampled = generate(policy.model, policy.tokenizer, prompts, replace(decoding, samples=1, greedy=False))
    greedy = generate(policy.model, policy.tokenizer, shown(prompts), replace(decoding, samples=0, greedy=True))
    return judge([*sampled, *greedy], scorer)


def point(pairs: int, evaluation: Evaluation, policy: LoadedModel, prompts: Sequence[str], max_new_tokens: int) -> dict:
    """A point of `points.json`: the metrics of the sampled responses, and the shown prompts' responses."""
    metrics = {name: evaluation.metrics[name].to_json() for name in METRICS}
    responses = texts(evaluation, prompts)
    with in_float32(policy.model):
        for said in responses:
            said["tokens"], said["log_ratios"] = log_ratios(policy, said["prompt"], said["greedy"], max_new_tokens)
    return {"pairs": pairs, **metrics, "responses": responses}


def texts(evaluation: Evaluation, prompts: Sequence[str]) -> list[dict]:
    """The greedy and the first sampled response to each shown prompt."""
    said: dict[bool, dict[str, str]] = {True: {}, False: {}}
    for sample in evaluation.samples:
        said[sample.greedy].setdefault(sample.prompt, sample.response)
    return [{"prompt": one, "greedy": said[True][one], "sampled": said[False][one]} for one in shown(prompts)]


def shown(prompts: Sequence[str]) -> list[str]:
    """`SHOWN` of the prompts, evenly spaced.

    >>> shown(["a", "b"]), len(shown([str(i) for i in range(135)]))
    (['a', 'b'], 16)
    """
    count = min(SHOWN, len(prompts))
    return [prompts[k * len(prompts) // count] for k in range(count)]


def log_ratios(
    policy: LoadedModel, prompt: str, response: str, max_new_tokens: int, *, template: str = "auto"
) -> tuple[list[str], list[float]]:
    """The response's tokens and log pi - log pi_ref of each, in nats; their sum times beta is the implicit reward.

    The response ends with its end-of-text token unless it fills `max_new_tokens`. Both lists are empty where the text
    cannot be turned into tokens again (it spells a special token).
    """
    room = len(prompt_token_ids(policy.tokenizer, prompt, template)) + max_new_tokens
    try:
        prompt_ids, ids, _ = tokenize_response(policy.tokenizer, prompt, response, max_length=room, template=template)
    except RowError:
        return [], []
    batch = pack([prompt_ids], [(0, ids)]).to(policy.model.device)
    with torch.no_grad():
        new = token_logps(policy.model, batch)
        with policy.model.disable_adapter():
            old = token_logps(policy.model, batch)
    return [policy.tokenizer.decode([i]) for i in ids], [round(ratio, 5) for ratio in (new - old).tolist()]


@contextmanager
def adapter_on(loaded: LoadedModel, folder: Path) -> Iterator[LoadedModel]:
    """The base with the adapter of `folder` on it; taken off again at the end of the block."""
    policy = load_adapter(loaded.model, folder, base_fingerprint=loaded.fingerprint)
    try:
        yield replace(loaded, model=policy.eval())
    finally:
        policy.unload()


@contextmanager
def in_float32(model: PeftModel) -> Iterator[None]:
    """Compute in float32 inside the block: a bfloat16 log-ratio would be off by up to a nat over a response.

    >>> layer = torch.nn.Linear(2, 2, dtype=torch.bfloat16)
    >>> with in_float32(layer):
    ...     layer.weight.dtype
    torch.float32
    >>> layer.weight.dtype
    torch.bfloat16
    """
    kept = [(parameter, parameter.data) for parameter in model.parameters()]
    try:
        for parameter, data in kept:
            parameter.data = data.float()
        yield
    finally:
        for parameter, data in kept:
            parameter.data = data
