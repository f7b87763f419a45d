"""The command line. Each command checks its input, calls one function of the package, and prints what came back.

A user's mistake is one message on standard error and exit code 2, never a traceback. Modules that import torch are
imported inside the commands, so that ``--help`` is quick.
"""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from .errors import UserError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="SafeDPO: fine-tune a language model from preference pairs and two safety bits.\n\n"
    "A first tour: safedpo doctor, then safedpo verify, then safedpo lab.",
)
notebooks_app = typer.Typer(
    no_args_is_help=True, help="Build the notebooks from their sources, or check them for drift."
)
app.add_typer(notebooks_app, name="notebooks")

JsonFile = Annotated[Optional[Path], typer.Option("--json", help="Also write the result to this file as JSON.")]  # noqa: UP045
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


def main() -> None:
    """Entry point of the ``safedpo`` command."""
    try:
        app()
    except UserError as error:
        print(f"safedpo: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `safedpo ... | head` is no mistake
        sys.exit(1)


@app.command()
def doctor(json_file: JsonFile = None) -> None:
    """Show what is installed, which device and dtype will be used and why, and what to do about each problem."""
    from .doctor import doctor as examine

    report = examine()
    report.show()
    _write_json(json_file, report.as_dict())


@app.command()
def verify(
    json_file: JsonFile = None,
    seed: Annotated[int, typer.Option(help="Seed of the random worlds.")] = 0,
    worlds: Annotated[int, typer.Option(min=1, help="Fresh random worlds for each claim.")] = 50,
) -> None:
    """Check every claim of the derivation as a number. Exit code 0 only if all of them hold."""
    from .finite.claims import verify as check_all

    raise typer.Exit(check_all(seed, worlds, json_path=json_file))


@app.command()
def data(
    source: Annotated[str, typer.Argument(help="A .jsonl, .json, .csv or .parquet file, or a hub id owner/name.")],
    split: Annotated[Optional[str], typer.Option(help="Split of a hub data set (default: train).")] = None,  # noqa: UP045
    revision: Annotated[Optional[str], typer.Option(help="Revision of a hub data set.")] = None,  # noqa: UP045
    json_file: JsonFile = None,
) -> None:
    """Count the pair groups before T, what T does with them, and every bad row with its reason (then exit code 2)."""
    from dataclasses import asdict

    from .records import read_records

    read = read_records(source, split=split, revision=revision, strict=False)
    counts = read.counts()
    _show_counts(source, counts)
    for problem in read.problems[:20]:
        print(f"row {problem.row}: {problem.reason}")
    if len(read.problems) > 20:
        print(
            f"... and {len(read.problems) - 20} more bad rows" + ("" if json_file else "; --json FILE lists them all")
        )
    _write_json(json_file, counts | {"problems": [asdict(p) for p in read.problems]})
    raise typer.Exit(2 if read.problems else 0)


@notebooks_app.command()
def build(folder: Annotated[Path, typer.Option(help="The folder that holds source/.")] = Path("notebooks")) -> None:
    """Write the complete and the student notebooks that differ from their sources."""
    from .labs.build import repository_address, write_all

    written = write_all(folder, repository_address(folder.resolve().parent))
    print("\n".join(f"wrote {path}" for path in written) or "every notebook is up to date")


@notebooks_app.command()
def check(folder: Annotated[Path, typer.Option(help="The folder that holds source/.")] = Path("notebooks")) -> None:
    """Exit with code 2 if a notebook is not what its source says."""
    from .labs.build import drifted, repository_address

    stale = drifted(folder, repository_address(folder.resolve().parent))
    if stale:
        listed = ", ".join(str(item.path) for item in stale)
        raise UserError(f"not what their sources say: {listed}; run safedpo notebooks build")
    print("every notebook is up to date")


@app.command(context_settings=PASS_ON)
def lab(context: typer.Context) -> None:
    """Open JupyterLab on the first notebook. Further arguments go to JupyterLab (for example --no-browser)."""
    from importlib.util import find_spec

    from .places import shipped

    if find_spec("jupyterlab") is None:
        raise UserError("JupyterLab is not installed; install the kit with its lab extra: pip install 'safedpo[lab]'")
    first = shipped("notebooks") / "00_start_here.ipynb"
    os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", str(first), *context.args])


def _show_counts(source: str, counts: dict[str, int]) -> None:
    from rich import print as show
    from rich.table import Table

    bad = counts["rows"] - counts["kept"] - counts["dropped"]
    table = Table(title=f"{counts['rows']} rows of {source}, {bad} of them bad", title_justify="left")
    for column, justify in (("better / other", "left"), ("pairs", "right"), ("what T does", "left")):
        table.add_column(column, justify=justify)
    table.add_row("safe / safe (SS)", str(counts["SS"]), "keeps the order")
    table.add_row("safe / unsafe (SU)", str(counts["SU"]), "keeps the order; the margin applies")
    table.add_row("unsafe / safe (US)", str(counts["US"]), "swaps; the margin applies")
    table.add_row("unsafe / unsafe (UU)", str(counts["UU"]), "drops")
    table.add_section()
    table.add_row("after T", str(counts["kept"]), f"{counts['swapped']} swapped, {counts['dropped']} dropped")
    show(table)


def _write_json(path: Path | None, content) -> None:
    if path is None:
        return
    try:
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; name a file in a folder that exists") from error
