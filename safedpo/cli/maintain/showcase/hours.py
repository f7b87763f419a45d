"""How long a stage will take here: units of work, over a speed that is measured on this machine before anything starts."""

import time
from dataclasses import dataclass
from pathlib import Path

from safedpo.cli.maintain.showcase.plan import Plan
from safedpo.cli.maintain.showcase.reference import prompts_of
from safedpo.evaluate.generation import Decoding, generate
from safedpo.files import read_json, write_json
from safedpo.lm.models.adapters import add_lora
from safedpo.lm.models.load import load_model
from safedpo.lm.rows.fused import fuse_lora
from safedpo.lm.rows.logprobs import token_logps
from safedpo.lm.rows.packing import group_examples, pack_items
from safedpo.lm.rows.tokens import tokenize_examples
from safedpo.lm.training.data import sft_rows
from safedpo.records import read_records


@dataclass(frozen=True)
class Speed:
    """Measured on this machine: tokens a second forward and backward, responses a second, and sizes of the data."""

    tokens: float
    responses: float
    tokens_a_pass: float  # of responses.jsonl
    tokens_a_pair: float
    train_prompts: int
    held_out: int  # prompts of a held-out split

    def training(self, tokens: float) -> float:
        """Hours of training on so many tokens."""
        return tokens / self.tokens / 3600

    def sampling(self, responses: float) -> float:
        """Hours of sampling so many responses."""
        return responses / self.responses / 3600


def measure_speed(home: Path, plan: Plan) -> Speed:
    """The speed on this machine, from `home/speed.json` or measured now (some seconds) and kept there."""
    file = home / "speed.json"
    if not file.exists():
        write_json(file, vars(_measured(home, plan)))
    return Speed(**read_json(file, way_out="delete it; it is measured again"))


def _measured(home: Path, plan: Plan) -> Speed:
    records = read_records(home / "data" / "responses.jsonl").records
    prompts = prompts_of(home / "data" / "validation.jsonl")
    loaded = load_model(plan.model, dtype=plan.dtype)
    examples = tokenize_examples(sft_rows(records, "all"), loaded.tokenizer).items
    once = {one.prompt_ids for one in examples}
    tokens = sum(len(one.response_ids) for one in examples)
    decoding = Decoding(samples=1, max_new_tokens=plan.max_new_tokens)
    started = time.monotonic()
    generate(loaded.model, loaded.tokenizer, prompts[:8], decoding, progress=False)
    responses = 2 * len(prompts[:8]) / (time.monotonic() - started)
    policy = add_lora(loaded.model, r=16)
    fuse_lora(policy)
    batch = pack_items(group_examples(examples[:8], 4))
    for _ in range(2):  # the first one warms up
        started = time.monotonic()
        token_logps(policy, batch).sum().backward()
        seconds = time.monotonic() - started
    return Speed(
        tokens=batch.input_ids.numel() / seconds,
        responses=responses,
        tokens_a_pass=tokens + sum(map(len, once)),
        tokens_a_pair=2 * tokens / len(examples) + sum(map(len, once)) / len(once),
        train_prompts=len(once),
        held_out=len(prompts),
    )


def hours(stage: str, plan: Plan, speed: Speed) -> float:
    """About how many hours a stage takes from nothing at this speed. A pair also costs a forward pass of the reference."""
    both = 2 * speed.held_out  # a sampled and a greedy response to each prompt
    pair = 4 / 3 * speed.tokens_a_pair

    def run(pairs: int, budgets: int, responses: float) -> float:
        return speed.training(pairs * pair) + speed.sampling(responses + (budgets - 1) * (speed.held_out + 16))

    if stage == "reference":
        passes = sum(one["epochs"] for one in plan.references.values())
        return speed.training(passes * speed.tokens_a_pass) + speed.sampling(both * len(plan.references))
    if stage == "pairs":
        return speed.sampling(speed.train_prompts * plan.samples_a_prompt)
    last = {name: one["budgets"][-1] for name, one in plan.policies.items()}
    if stage == "compare":
        return 3 * run(last[plan.compare], 1, both)
    if stage == "choose":
        return sum(run(pairs, 1, both) for name, pairs in last.items() if name != plan.compare)
    if stage == "alone":
        return (len(plan.alone) + 1) * run(last[plan.compare], 1, both)
    if stage == "sweep":
        responses, short = (plan.samples + 1) * speed.held_out, plan.policies[plan.compare]["budgets"]
        all_of = (len(plan.deltas) + len(plan.helpful_deltas)) * run(short[-1], len(short), responses)
        return len(plan.seeds) * (all_of + run(max(last.values()), 2, responses))
    if stage == "blends":
        return speed.sampling((len(plan.deltas) - 2) * plan.samples * speed.held_out)
    return 0.0
