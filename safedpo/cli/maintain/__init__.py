"""`safedpo maintain ...`: what only maintainers run, and what therefore stands in no teaching room.

Each command makes something that the project ships: an exported adapter, the household data, the measurements of blends,
the reference and the stored runs of the enumerable language model.
"""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from safedpo.cli.common import app, folder_target

maintain = typer.Typer(no_args_is_help=True, help="Make what the project ships (for its maintainers).")
sentences = typer.Typer(no_args_is_help=True, help="The enumerable language model of notebook 06.")
app.add_typer(maintain, name="maintain", hidden=True)
maintain.add_typer(sentences, name="sentences")


@maintain.command()
def adapter(
    run: Annotated[Path, typer.Argument(help="The output directory of a finished safedpo train or safedpo sft.")],
    target: Annotated[Path, typer.Argument(help="Folder of the exported adapter.")],
    title: Annotated[str, typer.Option(help="First line of its card.")],
    what: Annotated[str, typer.Option(help="What it is, in a sentence or two.")],
    command: Annotated[str, typer.Option(help="The command that made the run.")],
) -> None:
    """Export the adapter of a finished run: weights in bfloat16, run.json, a card with sha256."""
    from safedpo.cli.maintain.export import export_adapter

    export_adapter(run, target, title=title, what=what, command=command)


@maintain.command()
def household(
    out: Annotated[Path, typer.Option(help="Folder for the splits and README.md.")],
    seed: Annotated[int, typer.Option(help="Seed of the generator (the shipped data: 0).")] = 0,
    responses: Annotated[bool, typer.Option(help="Also responses.jsonl, from which the reference learns.")] = False,
) -> None:
    """Write the household data and its card: the same bytes for the same seed."""
    from safedpo.household import build

    for path in build(out, seed, with_responses=responses):
        print(path)


@maintain.command()
def blends(
    adapters: Annotated[Path, typer.Argument(help="Adapters of one seed, one a margin (data/adapters/sweep).")],
    results: Annotated[Path, typer.Argument(help="The sweep that they come from (data/results/household).")],
) -> None:
    """Measure what blends of neighbouring margins do, beside the policies really trained, and write blends.json."""
    from safedpo.evaluate.sweep.blends import measure_blends

    for one in measure_blends(adapters, results, command=shlex.join(["safedpo", *sys.argv[1:]]))["blends"]:
        gaps = ", ".join(
            f"{name} {gap['value']:+.3f} "
            + ("[not known]" if gap["low"] is None else f"[{gap['low']:+.3f}, {gap['high']:+.3f}]")
            for name, gap in one["minus_trained"].items()
        )
        print(f"delta {one['delta']:g}, blend of {', '.join(one['weights'])} minus trained: {gaps}")


@maintain.command()
def distances(
    adapters: Annotated[Path, typer.Argument(help="Adapters of one seed, one a margin (data/adapters/sweep).")],
    results: Annotated[Path, typer.Argument(help="The sweep that they come from (data/results/household).")],
) -> None:
    """Measure each policy's reward and its KL from the reference, beside the safe optimum's, and write distances.json."""
    from safedpo.evaluate.sweep.distances import measure_distances

    found = measure_distances(adapters, results, command=shlex.join(["safedpo", *sys.argv[1:]]))
    for name, one in found["exact"].items():
        print(f"{name}, exact: reward {one['reward']:.2f}, KL {one['kl']:.2f} nats")
    for one in found["policies"]:
        reward, kl = one["reward"], one["kl"]
        print(
            f"delta {one['delta']:g}: reward {reward['value']:.2f} (standard error {reward['error']:.2f}), KL {kl['value']:.2f} "
            f"({kl['error']:.2f}) nats a response, {one['kl_per_token']:.3f} a token"
        )


@maintain.command()
def architectures() -> None:
    """Print the README's table: which model types are exact in packed rows, which are refused, and why. Half a minute."""
    import warnings

    import transformers

    from safedpo.cli.maintain.architectures import names, table, verdict

    transformers.utils.logging.set_verbosity_error()
    warnings.simplefilter("ignore")  # about the odd sizes of tiny configurations
    print(table({name: verdict(name) for name in names()}))


@maintain.command()
def live_hazards(
    adapters: Annotated[Path, typer.Argument(help="Adapters of one seed, one a margin (data/adapters/sweep).")],
    results: Annotated[Path, typer.Argument(help="The sweep that they come from (data/results/household).")],
) -> None:
    """Look for a seed whose answer at delta 0 is unsafe, for each shown prompt, and write live_hazards.json."""
    from safedpo.cli.maintain.live_hazards import find_hazards

    for one in find_hazards(adapters, results, command=shlex.join(["safedpo", *sys.argv[1:]]))["prompts"]:
        after = one["after"]["unsafe"] if one["seed"] is not None else None
        print(f"{one['prompt'][:60]:60} seed {one['seed']}, unsafe at delta 10: {after}")


@maintain.command()
def sums() -> None:
    """Write data/SHA256SUMS anew: after anything that is shipped was made again."""
    from safedpo.files import shipped, write_sums

    home = shipped("data")
    write_sums(home, (path for path in home.rglob("*") if path.suffix != ".md"))
    print(home / "SHA256SUMS")


@maintain.command()
def showcase(
    out: Annotated[Path, typer.Option(callback=folder_target, help="Folder of everything; started again, it goes on.")],
    stage: Annotated[str, typer.Option(help="pairs, compare, choose, alone, unseen, or all.")] = "all",
    part: Annotated[int, typer.Option(help="Which of --of processes this is; of compare, choose and alone.")] = 1,
    of: Annotated[int, typer.Option(help="How many processes share the stage.")] = 1,
) -> None:
    """How the settings of the shipped sweep were chosen, in stages, each going on where it was stopped."""
    from safedpo.cli.maintain.showcase.plan import PLAN
    from safedpo.cli.maintain.showcase.stages import run

    run(out, PLAN, stage, part=(part, of))


@maintain.command()
def apart(results: Annotated[Path, typer.Argument(help="A sweep's folder (data/results/household).")]) -> None:
    """Print a sweep's results, trained requests and look-alikes apart, sampled and greedy, and its trials, as Markdown."""
    from safedpo.cli.maintain.showcase.table import tables_apart, trial_table

    print(tables_apart(results))
    if (results / "trials").is_dir():
        print(trial_table(results / "trials"))


@maintain.command()
def refusals(
    files: Annotated[list[Path], typer.Argument(help="Completions with human labels of refusals (XSTest's, in CSV).")],
    out: Annotated[Path, typer.Option(help="The JSON file to write: counts only, no text.")],
) -> None:
    """Count how the refusal scorer agrees with people, on the rows that it was written on and on the others."""
    from safedpo.cli.maintain.verdicts import store_refusals

    store_refusals(files, out)


@maintain.command()
def control(out: Annotated[Path, typer.Argument(help="The JSON file to write.")]) -> None:
    """Judge the readings of data/household with a filter of rude words: the negative control of notebook 09."""
    from safedpo.cli.maintain.verdicts import store_control

    store_control(out)


@sentences.command()
def reference(folder: Annotated[Path, typer.Argument(help="Folder of the model and its card.")]) -> None:
    """Train the reference again, on a CPU, with the trainer of every other model."""
    from safedpo.cli.maintain.sentences import train_reference

    train_reference(folder)


@sentences.command()
def runs(file: Annotated[Path, typer.Argument(help="The JSON file to write.")]) -> None:
    """Measure the runs that are too long for a lesson, and store them with their settings."""
    from safedpo.cli.maintain.sentences import store_runs

    store_runs(file)


@sentences.command()
def sizes(file: Annotated[Path, typer.Argument(help="The JSON file to write; the references lie beside it.")]) -> None:
    """Measure three widths over margins and numbers of pairs, exactly; goes on where it was stopped."""
    from safedpo.cli.maintain.sizes import sizes_table, store_sizes

    print(sizes_table(store_sizes(file)))
