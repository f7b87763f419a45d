"""Rows from where they are stored by columns: parquet files, and data sets of the Hugging Face hub."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safedpo.errors import UserError
from safedpo.records.row import FIELDS, Unreadable, quoted

Row = object  # a dict of fields, or `Unreadable`; anything else is a bad row


def read_parquet(path: Path) -> Iterator[Row]:
    """The rows of a parquet file; only the columns of the schema are read.

    >>> import tempfile, pyarrow
    >>> from pyarrow import parquet
    >>> with tempfile.TemporaryDirectory() as home:
    ...     table = pyarrow.table({"prompt": ["Hi?"], "better_response_id": [1], "not ours": [2.5]})
    ...     parquet.write_table(table, f"{home}/pairs.parquet")
    ...     list(read_parquet(Path(f"{home}/pairs.parquet")))
    [{'prompt': 'Hi?', 'better_response_id': 1}]
    """
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            names = [name for name in FIELDS if name in file.schema_arrow.names]
            for batch in file.iter_batches(batch_size=1024, columns=names):
                yield from (_from_columns(batch, i) for i in range(batch.num_rows))
    except (pyarrow.ArrowException, OSError) as error:
        reason = quoted(str(error).partition("\n")[0])
        raise UserError(f"{path} is not a readable parquet file: {reason}") from error


def _from_columns(batch: Any, i: int) -> Row:
    try:
        return {name: batch.column(name)[i].as_py() for name in batch.schema.names}
    except Exception as error:  # bytes in a text column that are not UTF-8, dates out of range: the row's own fault
        return Unreadable(f"it cannot be read: {quoted(str(error))}")


def read_hub(name: str, split: str, revision: str | None) -> Iterator[Row]:
    """The rows of a data set of the Hugging Face hub, from its cached copy.

    >>> from unittest import mock
    >>> with mock.patch("datasets.load_dataset", side_effect=OSError("no network")):
    ...     next(read_hub("owner/name", "train", None))
    Traceback (most recent call last):
    safedpo.errors.UserError: owner/name is neither a file here nor a data set that the hub gave ...: no network
    """
    import datasets

    try:
        rows = datasets.load_dataset(name, split=split, revision=revision)
    except Exception as error:  # no network, no such name, no such split, gated: the library's own words say which
        raise UserError(
            f"{name} is neither a file here nor a data set that the hub gave (split {split}, revision "
            f"{revision or 'newest'}): {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        ) from error
    yield from rows
