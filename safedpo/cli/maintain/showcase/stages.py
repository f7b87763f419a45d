"""The stages: each reads what the one before it wrote, leaves alone what is there, and goes on where it was stopped."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from safedpo.cli.maintain.showcase import plan as rules
from safedpo.cli.maintain.showcase.hours import hours, measure_speed
from safedpo.cli.maintain.showcase.joined import joined
from safedpo.cli.maintain.showcase.measure import exact, headline, read_summary
from safedpo.cli.maintain.showcase.pairs import mixed, own_pairs, sample_responses
from safedpo.cli.maintain.showcase.plan import Plan
from safedpo.cli.maintain.showcase.reference import measure_model, merged, prompts_of, train_candidate, with_adapter
from safedpo.cli.maintain.showcase.table import write_table
from safedpo.cli.maintain.showcase.trials import COMMAND, Part, needed, percent, reference_broken, sweep_settings, tried
from safedpo.errors import UserError
from safedpo.evaluate.sweep import SweepSettings, sweep
from safedpo.evaluate.sweep.blends import measure_blends
from safedpo.files import exclusive, read_json, write_json, write_text
from safedpo.household import v2

WHOLE: Part = (1, 1)


def run(home: Path, plan: Plan, stage: str = "all", *, dry: bool = False, part: Part = WHOLE) -> None:
    """Run one stage, or all of them in their order, in the folder `home`; says about how long each takes before it starts.

    `dry`: only say it. `part` = (k, n): this process is the k-th of n that share the runs of one stage. Raises `UserError`
    for an unknown stage, for a stage whose input is missing, and for a folder that was begun with another plan.
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
        data(home, plan)
        speed = measure_speed(home, plan)
    with exclusive(home) if part == WHOLE else nullcontext():
        for name in names:
            print(
                f"{name}: about {hours(name, plan, speed):.2f} hours from nothing at {speed.tokens:.0f} tokens and ",
                end="",
            )
            print(f"{speed.responses:.1f} responses a second", flush=True)
            if not dry:
                STAGES[name](home, plan, *([part] if name in SHARED else []))


def data(home: Path, plan: Plan) -> None:
    """The files of the second household data; the first prompts alone where the plan has a limit."""
    folder = home / "data"
    if (folder / "exact.json").exists():
        return
    for file in v2.build(folder, plan.data_seed).values():
        if plan.limit:
            lines = file.read_text(encoding="utf-8").splitlines()[: plan.limit]
            write_text(file, "\n".join(lines) + "\n")
    write_json(folder / "exact.json", exact())


def reference(home: Path, plan: Plan) -> None:
    """Train and measure the candidates; the one that the rule takes as it is shipped, and merged into `chosen`."""
    folder, found = home / "reference", {}
    if (folder / "chosen.json").exists():
        merged(
            *joined(plan.model, folder / read_json(folder / "chosen.json")["chosen"], folder / "shipped"),
            folder / "chosen",
        )
        return
    validation = prompts_of(home / "data" / "validation.jsonl")
    for name, settings in plan.references.items():
        how: dict[str, Any] = {"model": plan.model, "dtype": plan.dtype, "responses": home / "data" / "responses.jsonl"}
        where = train_candidate(name, settings, folder, **how)
        loaded = with_adapter(plan.model, where, plan.dtype)
        loss = read_json(where / "loss.json")
        measured = measure_model(loaded, validation, where / "validation", length=plan.max_new_tokens, **loss)
        found[name] = headline(measured)
        print(f"{name}: {percent(found[name])}, loss {loss['loss']:.3f} beside {loss['entropy']:.3f}", flush=True)
    exact_harm = read_json(home / "data" / "exact.json")["requests"]["unsafe"]
    name = rules.best_reference(found, exact_harm)
    merged(*joined(plan.model, folder / name, folder / "shipped"), folder / "chosen")
    write_json(folder / "chosen.json", {"rule": rules.REFERENCE_RULE, "chosen": name, "found": found})


def pairs(home: Path, plan: Plan) -> None:
    """Sample the reference and label its responses; the generator's pairs, its own, and both in turn, in files side by side."""
    chosen, folder = needed(home / "reference" / "chosen", "reference"), home / "pairs"
    prompts = prompts_of(home / "data" / "train.jsonl")
    how: dict[str, Any] = {"samples": plan.samples_a_prompt, "dtype": plan.dtype, "length": plan.max_new_tokens}
    sample_responses(str(chosen), prompts, folder / "sampled.jsonl", **how)
    count = own_pairs(folder / "sampled.jsonl", folder / "own.jsonl")
    generator = (home / "data" / "train.jsonl").read_text(encoding="utf-8").splitlines()
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
    broken = reference_broken(home, plan)
    chosen = rules.best_policy({kind: headline(one) for kind, one in found.items()}, broken)
    details = {kind: headline(one) | {"training": one["training"]} for kind, one in found.items()}
    write_json(home / "compare" / "chosen.json", {"rule": rules.PAIRS_RULE, "chosen": chosen, "found": details})


def choose(home: Path, plan: Plan, part: Part = WHOLE) -> None:
    """Each setting of the plan with delta 10 and seed 0 on validation; the long and the short one that the rule takes."""
    kind = read_json(needed(home / "compare" / "chosen.json", "compare"))["chosen"]
    left = {name: (kind, settings) for name, settings in plan.policies.items() if name != plan.compare}
    all_of = tried(home, plan, "choose", left, part)
    if all_of is None:
        return
    all_of[plan.compare] = read_summary(home / "compare" / kind / "summary.json")  # this one was run there
    found = {name: headline(all_of[name]) for name in plan.policies}
    broken, chosen = reference_broken(home, plan), {}
    for length in ("long", "short"):
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


def on_test(home: Path, plan: Plan, part: Part = WHOLE) -> None:
    """The chosen settings on the test prompts: the short one with all margins, rules and seeds, the long one with delta 10."""
    chosen = read_json(needed(home / "choose" / "chosen.json", "choose"))
    short, long = (sweep_settings(home, plan, chosen["pairs"], plan.policies[chosen[one]]) for one in ("short", "long"))
    todo = [(short, "safedpo", delta, "sweep") for delta in plan.deltas]
    todo += [(short, "helpful", delta, "sweep") for delta in plan.helpful_deltas]
    todo += [(long, "safedpo", 10, "sweep-long")]
    runs = [(*one, seed) for seed in plan.seeds for one in todo]  # a seed whole before the next: a table at any time
    for settings, rule, delta, folder, seed in runs[part[0] - 1 :: part[1]]:
        one = SweepSettings(deltas=(delta,), rules=(rule,), seeds=(seed,), **settings)
        sweep(one, home / folder, command=COMMAND)


def blends(home: Path, plan: Plan) -> None:
    """The blends of neighbouring margins of seed 0, beside the trained ones."""
    folder = home / "adapters"
    for delta in plan.deltas:
        run_folder = needed(home / "sweep" / f"safedpo-delta-{delta:g}" / "0", "sweep")
        link = folder / f"delta-{delta:g}"
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to(run_folder.resolve(), target_is_directory=True)
    if not (home / "sweep" / "blends.json").exists():
        measure_blends(folder, home / "sweep", prompts=home / "data" / "test.jsonl", command=COMMAND)


def table(home: Path, plan: Plan) -> None:
    """What the test split said, with broken sentences; and the requests never seen, for the reference and two policies."""
    chosen, unseen = needed(home / "reference" / "chosen", "reference"), prompts_of(home / "data" / "unseen.jsonl")
    folders: dict[str, Path | None] = {"reference": None, "dpo-helpful": home / "sweep" / "dpo-helpful" / "0"}
    folders["safedpo-delta-10"] = home / "sweep" / "safedpo-delta-10" / "0"
    for name, adapter in folders.items():
        if adapter is None or adapter.exists():
            loaded = with_adapter(str(chosen), adapter, plan.dtype)
            measure_model(loaded, unseen, home / "unseen" / name, samples=plan.samples, length=plan.max_new_tokens)
    print(write_table(home, plan))


STAGES: dict[str, Callable[..., None]] = {
    "data": data,
    "reference": reference,
    "pairs": pairs,
    "compare": compare,
    "choose": choose,
    "alone": alone,
    "sweep": on_test,
    "blends": blends,
    "table": table,
}


SHARED = ("compare", "choose", "alone", "sweep")  # stages of runs that do not wait for one another


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
