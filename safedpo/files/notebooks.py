"""Reading a notebook: one way in, for pages and for grading, that names what is no notebook."""

from pathlib import Path

from safedpo.errors import UserError, brief
from safedpo.files.whole import refuse_odd_kind


def read_notebook(path: Path):
    """The notebook at `path`, checked against its format.

    Raises:
        UserError: there is none, it cannot be read, what is there is no notebook, or the lab extra is missing.
    """
    try:
        import nbformat
    except ImportError as missing:
        raise UserError(
            f"reading a notebook needs the lab extra ({missing}); run: pip install 'safedpo[lab]'"
        ) from missing
    refuse_odd_kind(path, "give the path of an .ipynb file")
    try:
        book = nbformat.read(path, as_version=4)
        nbformat.validate(book)
    except FileNotFoundError as error:
        raise UserError(f"there is no notebook {path}; give the path of an .ipynb file") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); give the path of an .ipynb file") from error
    except Exception as error:  # nbformat raises its own kinds, and Python's, for what is no notebook
        raise UserError(
            f"{path} is no notebook ({brief(str(error)) or type(error).__name__}); save it again in Jupyter"
        ) from error
    return book
