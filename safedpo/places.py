"""Where the project's own files are: beside the package in a clone, inside it in an installed wheel."""

from pathlib import Path

from .errors import UserError

PACKAGE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """The folder ``data`` or ``notebooks`` that came with this copy of the package.

    >>> (shipped("data") / "household").name
    'household'
    """
    beside, inside = PACKAGE.parent / name, PACKAGE / f"_{name}"
    for folder in (inside, beside):
        if folder.is_dir():
            return folder
    raise UserError(f"{name}/ was found neither in {inside} nor in {beside}; install safedpo again")
