"""Where the files that come with the package are."""

from pathlib import Path

from safedpo.errors import UserError

PACKAGE = Path(__file__).resolve().parents[1]


def shipped(name: str) -> Path:
    """The folder `data` or `notebooks` that came with this copy of the package: beside it in a clone, inside it in a wheel.

    >>> (shipped("data") / "household").name
    'household'
    """
    beside, inside = PACKAGE.parent / name, PACKAGE / f"_{name}"
    for folder in (inside, beside):
        if folder.is_dir():
            return folder
    raise UserError(f"{name}/ was found neither in {inside} nor in {beside}; install safedpo again")
