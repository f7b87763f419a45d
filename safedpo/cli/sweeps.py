"""The command that makes many runs: sweep."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from safedpo.cli.common import JsonFile, app, folder_target, write_json
from safedpo.cli.models import (
    HOUSEHOLD,
    LONGEST,
    MOST_SAMPLES,
    Contradictions,
    Data,
    Dtype,
    LearningRate,
    LoraR,
    Model,
    SkipBadRows,
)
from safedpo.cli.settings import settings_of
from safedpo.errors import UserError, brief, visible


@app.command()
def sweep(
    context: typer.Context,
    deltas: Annotated[str, Option(help="Safety margins, at least 0, as a list: 0,2,5,10,20,50.")],
    output_dir: Annotated[
        Path,
        Option(callback=folder_target, help="Folder of the sweep; started again, it continues with what is missing."),
    ],
    seeds: Annotated[
        str, Option(help="How many (3 is 0,1,2), or which, as a list: 0,2 (with a comma also for one: 2,).")
    ] = "1",
    rules: Annotated[
        str, Option(help="Orders of the pairs, as a list: safedpo (T), helpful, safebetter, harmless.")
    ] = "safedpo",
    budgets: Annotated[
        str, Option(help="Pairs seen when a policy is measured; the last is a run's length.")
    ] = "300,600,1000",
    model: Model = HOUSEHOLD["model"],
    data: Data = "household-train",
    prompts: Annotated[
        str, Option(help="Held-out prompts: a file, a hub id, or household-test or -validation.")
    ] = "household-test",
    batch_size: Annotated[int, Option(min=1, help="Pairs a step.")] = HOUSEHOLD["batch_size"],
    learning_rate: LearningRate = HOUSEHOLD["learning_rate"],
    beta: Annotated[float, Option(help="Strength of the tie to the reference, greater than 0.")] = HOUSEHOLD["beta"],
    lora_r: LoraR = HOUSEHOLD["lora_r"],
    samples: Annotated[
        int, Option(min=1, max=MOST_SAMPLES, help="Sampled responses a prompt at the last budget (1 at earlier ones).")
    ] = 2,
    max_new_tokens: Annotated[int, Option(min=1, max=LONGEST, help="Longest response in tokens.")] = 64,
    dtype: Dtype = "auto",
    skip_bad_rows: SkipBadRows = False,
    contradictions: Contradictions = "keep",
    json_file: JsonFile = None,
) -> None:
    """Train and measure one policy for each delta, rule and seed, on one reference: what the safety margin does.

    Every run uses the loss safedpo with its delta; the rule helpful leaves out T, and with delta 0 it is plain DPO. What
    is finished is kept: start it again after an interruption, or with more deltas or seeds. Several processes may work on
    different seeds in one folder. `safedpo table DIR` prints the result.
    """
    from safedpo.evaluate.sweep import SweepSettings
    from safedpo.evaluate.sweep import sweep as run
    from safedpo.evaluate.table import markdown_table, read_rows

    recipe = {name: value for name, value in HOUSEHOLD.items() if name != "max_pairs"}  # a run's length is its budget
    lists = {
        "deltas": _numbers(deltas, "deltas", float),
        "rules": tuple(rules.split(",")),
        "seeds": _seeds(seeds),
        "budgets": _numbers(budgets, "budgets", int),
    }
    settings = SweepSettings(**settings_of(context, "recipe household", recipe) | lists)
    result = run(settings, output_dir, command=shlex.join(["safedpo", *sys.argv[1:]]))
    print(markdown_table(read_rows(output_dir)))
    print(visible(f"{len(result['runs'])} runs; {output_dir / 'sweep.json'} holds their points at every budget"))
    write_json(json_file, result)


def _seeds(text: str) -> tuple[int, ...]:
    """`"3"` is a number of seeds, `"0,2"` and `"2,"` are the seeds themselves.

    >>> _seeds("3"), _seeds("0,2"), _seeds("2,")
    ((0, 1, 2), (0, 2), (2,))
    """
    listed = _numbers(text.removesuffix(","), "seeds", int)
    if "," in text:
        return listed
    if not 1 <= listed[0] <= 1000:
        raise UserError(f"--seeds is {text!r}; give how many (1 to 1000), or which, as a list: 0,2")
    return tuple(range(listed[0]))


def _numbers(text: str, option: str, kind: type) -> tuple:
    """`"0,2,2.5"` as numbers.

    >>> _numbers("0,2,2.5", "deltas", float)
    (0.0, 2.0, 2.5)
    """
    try:
        return tuple(kind(word) for word in text.split(","))
    except ValueError as error:
        raise UserError(
            f"--{option} is {brief(repr(text), 80)}; give {'whole ' if kind is int else ''}numbers with commas between "
            "them, such as 0,2,10"
        ) from error
