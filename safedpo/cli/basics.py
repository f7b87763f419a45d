"""Commands that need no model: doctor, verify, data, notebooks, lab, site."""

import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from safedpo.cli.common import LARGEST_SEED, PASS_ON, JsonFile, app, folder_target, json_target, write_json
from safedpo.errors import UserError, visible

notebooks_app = typer.Typer(
    no_args_is_help=True, help="Build the notebooks from their sources, or check them for drift."
)
app.add_typer(notebooks_app, name="notebooks")
NotebookFolder = Annotated[Path, typer.Option(help="The folder that holds source/.")]


@app.command()
def doctor(json_file: JsonFile = None) -> None:
    """Show what is installed, which device and dtype will be used and why, and what to do about each problem."""
    from safedpo.cli.doctor import doctor as examine

    report = examine()
    report.show()
    write_json(json_file, report.as_dict())


@app.command()
def verify(
    json_file: JsonFile = None,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of the random worlds.")] = 0,
    worlds: Annotated[int, typer.Option(min=1, max=1_000_000, help="Fresh random worlds for each claim.")] = 50,
) -> None:
    """Check every claim of the derivation as a number. Exit code 0 only if all of them hold."""
    from safedpo.finite.claims import verify as check_all

    raise typer.Exit(check_all(seed, worlds, json_path=json_file))


@app.command()
def data(
    source: Annotated[str, typer.Argument(help="A .jsonl, .json, .csv or .parquet file, or a hub id owner/name.")],
    split: Annotated[str | None, typer.Option(help="Split of a hub data set (default: train).")] = None,
    revision: Annotated[str | None, typer.Option(help="Revision of a hub data set.")] = None,
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Bad rows are counted and listed, and the exit code is 0.")
    ] = False,
    contradictions: Annotated[
        str, typer.Option(help="Responses called safe in one row and unsafe in another: keep, drop or majority.")
    ] = "keep",
    save: Annotated[
        Path | None, typer.Option(callback=json_target, help="Also write the usable rows to this file (.jsonl).")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Count the pair groups before T, what T does with them, contradictory labels, and bad rows (then exit code 2)."""
    from safedpo.records import count_records

    if save and save.suffix != ".jsonl":
        raise UserError(f"--save {save}: the rows are written one a line; name a file that ends in .jsonl")

    read = count_records(source, split=split, revision=revision, contradictions=contradictions)
    counts = read.counts
    _show_counts(source, counts, len(read.problems))
    print(read.noise)
    for problem in read.problems[:20]:
        print(f"row {problem.row}: {visible(problem.reason)}")
    if len(read.problems) > 20:
        print(
            f"... and {len(read.problems) - 20} more bad rows" + ("" if json_file else "; --json FILE lists them all")
        )
    problems = [asdict(p) for p in read.problems]
    write_json(json_file, counts | {"labels": read.noise.to_json(), "problems": problems})
    bad = bool(read.problems) and not skip_bad_rows
    if save and not bad:
        _save_rows(save, source, split, revision, contradictions)
    raise typer.Exit(2 if bad else 0)


def _save_rows(save: Path, source: str, split: str | None, revision: str | None, contradictions: str) -> None:
    import json

    from safedpo.files import write_text
    from safedpo.records import as_row, read_records

    found = read_records(source, split=split, revision=revision, strict=False, contradictions=contradictions).records
    write_text(save, "".join(json.dumps(as_row(record), ensure_ascii=False) + "\n" for record in found))
    print(visible(f"{len(found)} rows are in {save}"))


@notebooks_app.command()
def build(folder: NotebookFolder = Path("notebooks")) -> None:
    """Write the complete and the student notebooks that differ from their sources."""
    from safedpo.labs.build import repository_address, write_all

    written = write_all(folder, repository_address(folder.resolve().parent))
    print("\n".join(f"wrote {path}" for path in written) or "every notebook is up to date")


@notebooks_app.command()
def check(folder: NotebookFolder = Path("notebooks")) -> None:
    """Exit with code 2 if a notebook is not what its source says."""
    from safedpo.labs.build import drifted, repository_address

    stale = drifted(folder, repository_address(folder.resolve().parent))
    if stale:
        listed = ", ".join(str(item.path) for item in stale)
        raise UserError(f"not what their sources say: {listed}; run safedpo notebooks build")
    print("every notebook is up to date")


@app.command(context_settings=PASS_ON)
def lab(context: typer.Context) -> None:
    """Open JupyterLab on the first notebook. Further arguments go to JupyterLab (for example --no-browser)."""
    from importlib.util import find_spec

    from safedpo.files import shipped

    if find_spec("jupyterlab") is None:
        raise UserError("JupyterLab is not installed; install the kit with its lab extra: pip install 'safedpo[lab]'")
    first = shipped("notebooks") / "00_start_here.ipynb"
    command = [sys.executable, "-m", "jupyterlab", str(first), *_for_root(context.args), *context.args]
    if sys.platform == "win32":  # there execv does not quote a path with a space, and returns at once
        raise typer.Exit(subprocess.call(command))
    os.execv(sys.executable, command)


def _for_root(given: list[str]) -> list[str]:
    """What JupyterLab needs where it would refuse: root is the usual user of a container."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or any("allow-root" in word.replace("_", "-") for word in given):
        return []
    print("You are root, as in a container: JupyterLab is started with --allow-root.", flush=True)
    return ["--allow-root"]


@app.command()
def site(
    out: Annotated[Path, typer.Option(callback=folder_target, help="Folder of the pages; made if it is missing.")],
    notebooks: Annotated[Path | None, typer.Option(help="Folder of the notebooks (default: the shipped ones).")] = None,
    live: Annotated[
        bool,
        typer.Option("--live", help="Also the live model (145 MB, needs onnx and npm once; see it with a server)."),
    ] = False,
    lessons: Annotated[bool, typer.Option(help="The notebooks, run (minutes).")] = True,
) -> None:
    """Turn the lessons into pages that open from disk: the notebooks, run, and the playground; no page needs a network.

    `--no-lessons` leaves the notebooks out, which takes seconds: the playground alone, or with `--live` also the live model.
    """
    from safedpo.show.pages.playground import playground_page
    from safedpo.show.pages.site import build_site

    found = _readable(notebooks) if lessons else []
    links = {}
    if live:  # before figures and notebooks: it tells in a second what is missing, and they take minutes
        from safedpo.show.pages.live_model import assemble_live_model

        index = assemble_live_model(out / "live", home="../index.html")
        links["The live model"] = index.relative_to(out).as_posix()
    whole = {"The playground": playground_page(home="index.html")}
    build_site(found, out, figures=_figures() if lessons else {}, whole=whole, links=links)
    print(f"open {out / 'index.html'}")
    if live:
        print(f"the live model needs a server: python -m http.server --directory {out}")


def _readable(notebooks: Path | None) -> list[Path]:
    """The notebooks of a folder (the shipped ones without one), each of them read, so that a damaged one is named now."""
    from safedpo.files import shipped
    from safedpo.files.notebooks import read_notebook
    from safedpo.labs.books.glossary import PAGE
    from safedpo.labs.books.order import in_order

    home = notebooks or shipped("notebooks")
    found = in_order(home)
    if not found:
        raise UserError(f"{notebooks} holds no notebooks NN_name.ipynb")
    found += [home / PAGE] if (home / PAGE).is_file() else []
    for path in found:
        read_notebook(path)
    return found


def _figures() -> dict:
    """The figures that get a page of their own, by title."""
    from safedpo.evaluate.results import stored_results
    from safedpo.files import shipped
    from safedpo.household import score
    from safedpo.show import explorer
    from safedpo.show.pages.walker import walker

    stored = shipped("data") / "results" / "household" / "sweep.json"
    figures = {"The margin explorer": explorer(stored_results().sweep, score)} if stored.exists() else {}
    return figures | {f"Take a premise away: {statement}": figure for statement, figure in walker().items()}


def _show_counts(source: str, counts: dict[str, int], bad: int) -> None:
    from rich import print as show
    from rich.markup import escape
    from rich.table import Table

    title = f"{counts['rows']} rows of {escape(visible(str(source)))}, {bad} of them bad"
    table = Table(title=title, title_justify="left")
    table.add_column("better / other")
    table.add_column("pairs", justify="right")
    table.add_column("what T does")
    table.add_row("safe / safe (SS)", str(counts["SS"]), "keeps the order")
    table.add_row("safe / unsafe (SU)", str(counts["SU"]), "keeps the order; the margin applies")
    table.add_row("unsafe / safe (US)", str(counts["US"]), "swaps; the margin applies")
    table.add_row("unsafe / unsafe (UU)", str(counts["UU"]), "drops")
    table.add_section()
    table.add_row("after T", str(counts["kept"]), f"{counts['swapped']} swapped, {counts['dropped']} dropped")
    show(table)
