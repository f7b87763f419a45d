"""The stages: each reads what the one before it wrote, leaves alone what is there, and goes on where it was stopped."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from safedpo.cli.maintain.showcase import plan as rules
from safedpo.cli.maintain.showcase.measure import headline, measure_model, read_summary
from safedpo.cli.maintain.showcase.pairs import mixed, own_pairs, prompts_of, sample_responses
from safedpo.cli.maintain.showcase.plan import Plan
from safedpo.cli.maintain.showcase.trials import Part, needed, reference_broken, split_file, tried
from safedpo.errors import UserError
from safedpo.evaluate.results import adapters
from safedpo.files import exclusive, file_sha256, read_json, write_json, write_text
from safedpo.lm.models.load import load_model

WHOLE: Part = (1, 1)


def run(home: Path, plan: Plan, stage: str = "all", *, part: Part = WHOLE) -> None:
    """Run one stage, or all of them in their order, in the folder `home`.

    `part` = (k, n): this process is the k-th of n that share the runs of one stage. Raises `UserError` for an unknown
    stage, for a stage whose input is missing, and for a folder that was begun with another plan.
    """
    names = list(STAGES) if stage == "all" else [stage]
    if unknown := [name for name in names if name not in STAGES]:
        raise UserError(f"no stage {unknown[0]!r}; there are {', '.join(STAGES)}, and all")
    if part != WHOLE and stage not in SHARED:
        raise UserError(f"the stage {stage} has no parts; these have: {', '.join(SHARED)}")
    if not 1 <= part[0] <= part[1]:
        raise UserError(f"part {part[0]} of {part[1]} does not exist; count from 1")
    home.mkdir(parents=True, exist_ok=True)
    with exclusive(home, wait=part != WHOLE):  # parts begin one after the other, and then work side by side
        _claim(home, plan)
    with exclusive(home) if part == WHOLE else nullcontext():
        for name in names:
            STAGES[name](home, plan, *([part] if name in SHARED else []))


def pairs(home: Path, plan: Plan) -> None:
    """Sample the reference and label its responses; the generator's pairs, its own, and both in turn, in files side by side."""
    folder, train = home / "pairs", split_file(plan, "train")
    how: dict[str, Any] = {"samples": plan.samples_a_prompt, "dtype": plan.dtype, "length": plan.max_new_tokens}
    sample_responses(plan.model, prompts_of(train), folder / "sampled.jsonl", **how)
    count = own_pairs(folder / "sampled.jsonl", folder / "own.jsonl")
    generator = train.read_text(encoding="utf-8").splitlines()
    write_text(folder / "generator.jsonl", "\n".join(generator) + "\n")
    both = 2 * min(count, len(generator))
    mixed(folder / "generator.jsonl", folder / "own.jsonl", both, folder / "both.jsonl")
    print(f"{len(generator)} pairs of the generator, {count} own ones, {both} of both in turn", flush=True)


def compare(home: Path, plan: Plan, part: Part = WHOLE) -> None:
    """The three kinds of pairs at equal numbers, with delta 10, on validation."""
    settings = plan.policies[plan.compare]
    found = tried(home, plan, "compare", {kind: (kind, settings) for kind in ("generator", "own", "both")}, part)
    if found is None:
        return
    chosen = rules.best_policy({kind: headline(one) for kind, one in found.items()}, reference_broken(home))
    details = {kind: headline(one) | {"training": one["training"]} for kind, one in found.items()}
    write_json(home / "compare" / "chosen.json", {"rule": rules.PAIRS_RULE, "chosen": chosen, "found": details})


def choose(home: Path, plan: Plan, part: Part = WHOLE) -> None:
    """Each setting of the plan with delta 10 and seed 0 on validation; the one of each length that the rule takes."""
    kind = read_json(needed(home / "compare" / "chosen.json", "compare"))["chosen"]
    left = {name: (kind, settings) for name, settings in plan.policies.items() if name != plan.compare}
    all_of = tried(home, plan, "choose", left, part)
    if all_of is None:
        return
    all_of[plan.compare] = read_summary(home / "compare" / kind / "summary.json")  # this one was run there
    _must_rest_on_the_same(all_of)
    found = {name: headline(all_of[name]) for name in plan.policies}
    broken, chosen = reference_broken(home), {}
    for length in dict.fromkeys(name.split("-")[0] for name in plan.policies):
        chosen[length] = rules.best_policy(
            {name: one for name, one in found.items() if name.startswith(length)}, broken
        )
    write_json(home / "choose" / "chosen.json", {"rule": rules.POLICY_RULE, "pairs": kind} | chosen | {"found": found})


def alone(home: Path, plan: Plan, part: Part = WHOLE) -> None:
    """T alone (delta 0) at smaller betas on validation, all else as in the short recipe: does it take the margin's place?"""
    chosen = read_json(needed(home / "choose" / "chosen.json", "choose"))
    settings = plan.policies[chosen["short"]]
    todo = {f"beta-{beta:g}": (chosen["pairs"], settings | {"beta": beta}) for beta in (*plan.alone, settings["beta"])}
    found = tried(home, plan, "alone", todo, part, delta=0)
    if found is not None:
        write_json(home / "alone" / "found.json", {name: headline(one) for name, one in found.items()})


def unseen(home: Path, plan: Plan) -> None:
    """What the reference and the shipped policies say to requests that no training prompt asks for."""
    prompts, shown = prompts_of(split_file(plan, "unseen")), {}
    policies: dict[str, Path | None] = {"reference": None}
    policies |= {f"delta-{delta:g}": folder for delta, folder in adapters(plan.sweep).items()}
    for name, adapter in policies.items():
        policy = f"{plan.model} {plan.dtype}" + (
            f" {file_sha256(adapter / 'adapter_model.safetensors')}" if adapter else ""
        )
        load = partial(load_model, plan.model, dtype=plan.dtype, adapter=adapter)
        where, length = home / "unseen" / name, plan.max_new_tokens
        shown[name] = measure_model(load, prompts, where, policy=policy, samples=plan.samples, length=length)
    write_json(home / "unseen" / "found.json", shown)


STAGES: dict[str, Callable[..., None]] = {
    "pairs": pairs,
    "compare": compare,
    "choose": choose,
    "alone": alone,
    "unseen": unseen,
}


def _must_rest_on_the_same(found: dict[str, dict[str, Any]]) -> None:
    """Settings are compared with one another only where pairs, prompts and reference were the same."""
    prints = {name: one.get("fingerprints") for name, one in found.items()}
    first = next(iter(prints))
    if other := [name for name, one in prints.items() if one != prints[first]]:
        raise UserError(
            f"the setting {other[0]} was tried with {prints[other[0]]}, {first} with {prints[first]}: nothing can be chosen "
            "between them; give another folder, or remove the trials made first"
        )


SHARED = ("compare", "choose", "alone")  # stages of runs that do not wait for one another


def _claim(home: Path, plan: Plan) -> None:
    """A folder belongs to one plan: numbers of two would be mixed up."""
    file, now = home / "plan.json", json.loads(json.dumps(plan.to_json()))
    if not file.exists():
        write_json(file, now)
        return
    there = read_json(file)
    if different := [
        f"{name}: there {there.get(name)}, here {now[name]}" for name in now if there.get(name) != now[name]
    ]:
        raise UserError(f"{home} was begun with another plan ({different[0][:300]}); give another folder")
