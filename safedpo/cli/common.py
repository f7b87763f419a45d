"""What every command shares: the application, the --json option, and settings that are passed on."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from safedpo import files
from safedpo.errors import UserError, brief


class Commands(TyperGroup):
    """The commands; Ctrl-C in one of them is answered by a sentence, before click makes "Aborted!" of it."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print("\nsafedpo: interrupted; what was finished is kept", file=sys.stderr)
            raise SystemExit(130) from None


def json_target(path: Path | None) -> Path | None:
    """Refuse a --json FILE that cannot be written, before any work is done for it."""
    if path is not None:
        if not path.parent.is_dir():
            raise UserError(
                f"cannot write {path}: there is no folder {path.parent}; name a file in a folder that exists"
            )
        if path.is_dir():
            raise UserError(f"cannot write {path}: it is a folder; name a file")
        files.check_writable(path.parent)
    return path


def folder_target(path: Path | None) -> Path | None:
    """Refuse a folder that cannot be made or written, before any work is done for it."""
    if path is not None:
        if path.exists() and not path.is_dir():
            raise UserError(f"{path} is a file; name a folder")
        files.check_writable(path)
    return path


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="SafeDPO: fine-tune a language model from preference pairs and two safety bits.\n\n"
    "A first tour: safedpo doctor, then safedpo verify, then safedpo lab.",
)
JsonFile = Annotated[
    Path | None, typer.Option("--json", callback=json_target, help="Also write the result to this file as JSON.")
]
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
LARGEST_SEED = 2**32 - 1


def write_json(path: Path | None, content) -> None:
    """Write the result where --json says, if it says so."""
    if path is not None:
        files.write_json(path, content)


def passed_on(arguments: list[str]) -> dict:
    """`--weight-decay 0.01 --full-determinism` as settings: numbers and true/false are read, the rest stays text.

    >>> passed_on(["--weight-decay", "0.01", "--full-determinism", "--optim=sgd"])
    {'weight_decay': 0.01, 'full_determinism': True, 'optim': 'sgd'}
    """
    settings: dict[str, Any] = {}
    words = list(arguments)
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            raise UserError(f"unexpected argument {word!r}; settings are written --name value")
        name, equals, value = word[2:].partition("=")
        if not equals:
            value = words.pop(0) if words and not words[0].startswith("--") else "true"
        try:
            read = json.loads(value)
        except (ValueError, RecursionError):
            read = value
        settings[_name(name, settings)] = read
    return settings


def _name(option: str, given: dict) -> str:
    name = option.replace("-", "_")
    if not name.isidentifier() or name in ("callbacks", "output_dir", "json_file", "recipe"):
        raise UserError(f"--{brief(option, 60)} is no setting of a run; settings are written --name value")
    if name in given:
        raise UserError(f"--{brief(option, 60)} is given twice; give it once")
    return name
