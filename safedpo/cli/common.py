"""What every command shares: the application, the --json option, and settings that are passed on."""

import json
from pathlib import Path
from typing import Annotated

import typer

from safedpo.errors import UserError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="SafeDPO: fine-tune a language model from preference pairs and two safety bits.\n\n"
    "A first tour: safedpo doctor, then safedpo verify, then safedpo lab.",
)
JsonFile = Annotated[Path | None, typer.Option("--json", help="Also write the result to this file as JSON.")]
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


def write_json(path: Path | None, content) -> None:
    """Write the result where --json says, if it says so."""
    if path is None:
        return
    try:
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; name a file in a folder that exists") from error


def passed_on(arguments: list[str]) -> dict:
    """`--weight-decay 0.01 --full-determinism` as settings: numbers and true/false are read, the rest stays text.

    >>> passed_on(["--weight-decay", "0.01", "--full-determinism", "--optim=sgd"])
    {'weight_decay': 0.01, 'full_determinism': True, 'optim': 'sgd'}
    """
    settings, words = {}, list(arguments)
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            raise UserError(f"unexpected argument {word!r}; settings are written --name value")
        name, equals, value = word[2:].partition("=")
        if not equals:
            value = words.pop(0) if words and not words[0].startswith("--") else "true"
        try:
            settings[name.replace("-", "_")] = json.loads(value)
        except json.JSONDecodeError:
            settings[name.replace("-", "_")] = value
    return settings
