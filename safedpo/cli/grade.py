"""The command that grades: students' notebooks in, points out."""

from pathlib import Path
from typing import Annotated

import typer

from safedpo.cli.common import JsonFile, app, write_json
from safedpo.errors import UserError, visible


@app.command()
def grade(
    notebooks: Annotated[list[Path], typer.Argument(help="Students' notebooks, .ipynb.")],
    json_file: JsonFile = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Also write the class's table to this file.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the hidden cases.")] = 0,
    time_limit: Annotated[float, typer.Option(min=1, help="Seconds that a notebook's cells may take in all.")] = 120.0,
    memory_gb: Annotated[float, typer.Option(min=1, help="Memory that a notebook may allocate, in GB.")] = 4.0,
) -> None:
    """Run each notebook in a fresh kernel, without network, and give points for each exercise.

    An exercise counts when it is right on the numbers that the notebook shows and on others, drawn with --seed. Whatever a
    notebook does (an endless loop, a crash, missing cells), it is graded as what it is.
    """
    from tqdm import tqdm

    from safedpo.labs.grading.notebook import grade as grade_one
    from safedpo.labs.grading.report import class_table, hardest, rows

    for file in (json_file, csv_file):
        if file is not None and not file.resolve().parent.is_dir():
            raise UserError(f"{file.parent} is not a folder, so {file.name} could not be written; make it first")
    grades = []
    for path in tqdm(notebooks, desc="grading", unit="notebook", disable=len(notebooks) == 1):
        found = grade_one(path, seed=seed, time_limit=time_limit, memory_gb=memory_gb)
        grades.append(found)
        print(f"\n{visible(found.notebook)}: {found.points:g} of {found.of:g} points, {found.seconds:.0f} s")
        for verdict in found.verdicts:
            first, *more = visible(verdict["message"]).splitlines()
            print(
                f"  {verdict['points']:g}/{verdict['of']:g}  {verdict['exercise']:22} {first}",
                *more,
                sep="\n" + " " * 29,
            )
        for incident in found.incidents:
            print(f"  note  {visible(incident)}")
    if len(grades) > 1 and (hard := hardest(grades)):
        print("\nhardest: " + ", ".join(f"{name} ({wrong} of {count} wrong)" for name, wrong, count in hard))
    write_json(json_file, rows(grades))
    if csv_file is not None:
        csv_file.write_text(class_table(grades), encoding="utf-8")
