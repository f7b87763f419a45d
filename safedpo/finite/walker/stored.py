"""Results of the search on disk: what was found, with the seed that found it."""

import json
import math
from pathlib import Path

import torch

from safedpo.errors import UserError
from safedpo.finite.walker.premise import Walk
from safedpo.finite.world import FiniteWorld

FILE = Path(__file__).with_name("found.json")


def write_walks(walks: list[Walk], path: Path = FILE) -> None:
    """Write one JSON object for each walk; a log-probability of -inf is written as null.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_walks(read_walks()[:1], Path(folder) / "one.json")
    ...     len(read_walks(Path(folder) / "one.json"))
    1
    """
    rows = []
    for walk in walks:
        row = {name: value for name, value in vars(walk).items() if name != "world"}
        row["world"] = (
            None
            if walk.world is None
            else {
                name: [
                    [None if value == -math.inf else value for value in line]
                    for line in getattr(walk.world, name).tolist()
                ]
                for name in ("ref_logps", "reward", "unsafe", "cost")
            }
        )
        rows.append(row)
    path.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_walks(path: Path = FILE) -> list[Walk]:
    """The stored walks, in the order in which they were written. `UserError` where there is no such file.

    >>> {walk.statement for walk in read_walks()} >= {"Prop. 4.2", "Prop. 4.3", "Prop. 4.4"}
    True
    """
    if not path.is_file():
        raise UserError(f"{path} is not there; write it with write_walks([search(premise) for ...])")
    walks = []
    for row in json.loads(path.read_text(encoding="utf-8")):
        tables = row.pop("world")
        if tables is not None:
            reference = [[-math.inf if value is None else value for value in line] for line in tables.pop("ref_logps")]
            tables = FiniteWorld(reference, tables["reward"], torch.tensor(tables["unsafe"]), tables["cost"])
        walks.append(Walk(world=tables, **row))
    return walks
