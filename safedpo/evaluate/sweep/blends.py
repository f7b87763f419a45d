"""How far a blend's measurements are from those of the policy that was really trained in between.

    safedpo maintain blends data/adapters/sweep data/results/household

Of each trained margin but the smallest and the largest: its two neighbours are blended in its place, the blend is sampled
as the sweep sampled the trained policy (same prompts, decoding and random numbers), and their metrics are compared prompt
by prompt. The result is `blends.json` beside `sweep.json`.

    {"command", "versions", "seed", "blends": [{"delta", "weights": {delta: weight}, "metrics": {metric: interval},
                                                "minus_trained": {metric: interval}}, ...]}
"""

from collections.abc import Sequence
from pathlib import Path

from safedpo.errors import UserError
from safedpo.evaluate.generation import Decoding, generate
from safedpo.evaluate.intervals import Interval, difference_interval
from safedpo.evaluate.report import METRICS, SAMPLE_FIELD, Sample, judge
from safedpo.evaluate.scorers import scorer_for
from safedpo.evaluate.scorers.known import judged
from safedpo.evaluate.stored import read_samples
from safedpo.evaluate.sweep import SweepRun
from safedpo.evaluate.sweep.folder import read
from safedpo.files import write_json
from safedpo.household import load
from safedpo.lm.blending.load import load_adapters
from safedpo.lm.models.adapters import adapter_run
from safedpo.lm.models.load import load_model
from safedpo.lm.training.data import data_fingerprint
from safedpo.lm.training.on_disk.about import versions
from safedpo.records import read_records


def measure_blends(
    adapters: str | Path, results: str | Path, *, prompts: str | Path | None = None, command: str = ""
) -> dict:
    """Measure the blend in the place of each inner margin; writes and returns `results/blends.json`.

    `adapters`: a folder of adapters of one seed, rule `safedpo`, one a margin; `results`: the sweep's folder with
    the trained policies' samples at the last budget; `prompts`: the sweep's, those of data/household where left out.
    Raises `UserError` for fewer than three margins, for adapters of different seeds, and for a sweep on another
    reference or other prompts.
    """
    sweep = read(Path(results))
    if sweep is None:
        raise UserError(f"{results} holds no sweep.json; give the output directory of a sweep")
    folders = {
        adapter_run(file.parent)["settings"]["delta"]: file.parent for file in sorted(Path(adapters).glob("*/run.json"))
    }
    seeds = {adapter_run(folder)["settings"]["seed"] for folder in folders.values()}
    if len(folders) < 3 or len(seeds) > 1:
        raise UserError(
            f"{adapters} holds adapters of {len(folders)} margins and {len(seeds)} seeds; a blend is measured "
            "against one trained between two others, all of one seed"
        )
    settings, seed = sweep["settings"], seeds.pop()
    loaded = load_model(settings["model"], dtype=settings["dtype"])
    records = read_records(prompts or load("test")).records
    for what, here in (("reference", loaded.fingerprint), ("prompts", data_fingerprint(records))):
        if here != (there := sweep["fingerprints"][what]):
            raise UserError(f"the sweep in {results} has the {what} {there}, here are {here}; give those of the sweep")
    asked = list(dict.fromkeys(record.prompt for record in records))
    blend, decoding = load_adapters(loaded, folders), Decoding(**settings["decoding"] | {"greedy": False})
    found = []
    for delta in blend.deltas[1:-1]:
        trained = _stored(Path(results), SweepRun("safedpo", delta, seed))
        weights = {f"{stop:g}": weight for stop, weight in blend.between(delta).weights.items() if weight}
        said = judge(
            generate(blend.model, loaded.tokenizer, asked, decoding, template=blend.template), scorer_for(asked)
        )
        found.append(
            {
                "delta": delta,
                "weights": weights,
                "metrics": {name: said.metrics[name].to_json() for name in METRICS},
                "minus_trained": {name: gap.to_json() for name, gap in differences(said.samples, trained).items()},
            }
        )
    blend.model.unload()
    content = {"command": command, "versions": versions(), "seed": seed, "blends": found}
    write_json(Path(results) / "blends.json", content, indent=None, seal=True)
    return content


def differences(these: Sequence[Sample], those: Sequence[Sample]) -> dict[str, Interval]:
    """Each metric of these samples minus that of those, which must answer the same prompts in the same order."""
    if [one.prompt for one in these] != [one.prompt for one in those]:
        raise UserError(
            f"{len(these)} and {len(those)} samples cannot be compared: they answer different prompts, or in "
            "another order; measure the sweep again"
        )
    parts = {metric: (judged(metric, these), judged(metric, those)) for metric in METRICS}
    return {
        metric: difference_interval(
            [float(getattr(one, SAMPLE_FIELD[metric])) for one in new],
            [float(getattr(one, SAMPLE_FIELD[metric])) for one in old],
            [one.prompt for one in new],
        )
        for metric, (new, old) in parts.items()
    }


def _stored(results: Path, run: SweepRun) -> list[Sample]:
    """The sampled responses of a finished run at its last budget."""
    file = run.folder(results) / "samples-policy.jsonl"
    if not file.exists():
        raise UserError(f"{file} is missing; the sweep has not measured {run.name}, seed {run.seed}")
    samples = [Sample(**row) for row in read_samples(file)]
    return [sample for sample in samples if not sample.greedy]
