"""The policies that belong to results: their names, where they are, and that the shipped ones belong together."""

from pathlib import Path
from typing import TYPE_CHECKING

from safedpo.errors import UserError
from safedpo.files import read_json, shipped

if TYPE_CHECKING:
    from safedpo.evaluate.results.folder import Results

AGAIN = "restore it, or make it again"


def method(rule: str, delta: float) -> str:
    """The name of a method's runs: their folder in a sweep, and their row in its table.

    >>> [method(rule, delta) for rule in ("safedpo", "helpful") for delta in (0, 2.5)]
    ['safedpo-delta-0', 'safedpo-delta-2.5', 'dpo-helpful', 'helpful-delta-2.5']
    """
    return "dpo-helpful" if (rule, delta) == ("helpful", 0) else f"{rule}-delta-{delta:g}"


def adapters(folder: str | Path | None = None) -> dict[float, Path]:
    """delta -> the folder of its adapter: those shipped with the results, or those of a sweep of one's own (seed 0).

    >>> sorted(adapters())
    [0.0, 2.0, 5.0, 10.0, 20.0, 50.0]
    """
    home = Path(folder) if folder is not None else shipped("data") / "adapters" / "sweep"
    pattern = "delta-*/run.json" if folder is None else "safedpo-delta-*/0/run.json"
    found = {
        float(read_json(file, way_out=AGAIN)["settings"]["delta"]): file.parent for file in sorted(home.glob(pattern))
    }
    if not found:
        raise UserError(f"{home} holds no adapters ({pattern}); run the sweep first")
    return dict(sorted(found.items()))


def must_fit_what_is_shipped(results: "Results") -> None:
    """Raise `UserError` unless these results were made with the shipped pairs and prompts, and with the reference and the settings
    of the shipped adapters."""
    from safedpo.household import load
    from safedpo.lm.training.data import data_fingerprint
    from safedpo.records import read_records

    prints = results.sweep["fingerprints"]
    for name, part in (("data", "train"), ("prompts", "test")):
        found = data_fingerprint(read_records(load(part)).records)
        if found != prints[name]:
            raise UserError(
                f"the results in {results.folder} were made with other {name} ({prints[name]}) than the shipped "
                f"{part}.jsonl ({found}); restore that file, or run the sweep again"
            )
    for folder in adapters().values():
        run = read_json(folder / "run.json", way_out=AGAIN)
        results.must_rest_on(run["fingerprints"]["reference"], f"that of the adapter in {folder}")
        _must_have_its_settings(results, run, folder)


def _must_have_its_settings(results: "Results", run: dict, folder: Path) -> None:
    """The adapter was trained with the settings that `sweep.json` names for all its runs."""
    trained = run["settings"] | {"batch_size": run["settings"]["per_device_train_batch_size"]}
    trained |= {name: run[name] for name in ("model", "data", "dtype")}
    different = [
        f"{name} {value} there, {trained[name]} here"
        for name, value in results.sweep["settings"].items()
        if name in trained and trained[name] != value
    ]
    if different:
        raise UserError(
            f"the results in {results.folder} and the adapter in {folder} were made with different settings: "
            f"{'; '.join(different)}; restore the one that was changed, or run the sweep again"
        )
