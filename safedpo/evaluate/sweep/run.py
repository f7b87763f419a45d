"""Many runs that differ in the safety margin, the rule and the seed, on one reference: what moving delta does.

    DIR/sweep.json                  settings, versions, fingerprints, the reference's metrics, the points of all finished runs
        samples-reference.jsonl     the reference's responses, sampled once
        RULE-delta-D/SEED/          a run of `train` (adapter, run.json, log.jsonl), its evaluation.json and samples, and
                                    points.json, written last; pairs-N/ holds the adapter after N pairs

The base is loaded once; adapters are put on it and taken off again. A run that has its points.json is left alone, an
interrupted one goes on from its last checkpoint. Several processes may fill one DIR with different seeds, because
sweep.json is put together from what lies on disk. The layout is the one that `safedpo table DIR` reads.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from safedpo.errors import UserError
from safedpo.evaluate.generation import Decoding
from safedpo.evaluate.results.policies import method
from safedpo.evaluate.scorers import Scorer, scorer_for
from safedpo.evaluate.sweep.folder import assemble, claim_folder, read
from safedpo.evaluate.sweep.points import KeepAdapters, adapter_folder, adapter_on, measure, measure_last, point, shown
from safedpo.files import check_writable, exclusive, write_json
from safedpo.lm.models.adapters import adapter_run
from safedpo.lm.models.load import LoadedModel, load_model
from safedpo.lm.training.data import Prepared, data_fingerprint, prepare_pairs, shipped_data
from safedpo.lm.training.on_disk.about import versions
from safedpo.lm.training.on_disk.run_folder import tidy
from safedpo.lm.training.recipes import RECIPES
from safedpo.lm.training.run import train
from safedpo.lm.training.settings import BOUNDS, number_within
from safedpo.losses import check_beta, check_delta
from safedpo.records import Records, read_records
from safedpo.transform import check_rule

RECIPE = RECIPES["household"]


@dataclass(frozen=True)
class SweepSettings:
    """What a sweep varies (`deltas`, `rules`, `seeds`) and what all its runs share.

    Every run minimises the loss safedpo with its delta; rule `safedpo` orders the pairs by T, `helpful` leaves them
    as they are, so that delta = 0 is plain DPO there. `budgets`: pairs seen when the policy is measured; the last one
    is the length of the run. `samples`: responses a prompt at the last budget (1 before it). Defaults: recipe `household`.

    >>> SweepSettings(deltas=(0, -1))
    Traceback (most recent call last):
    safedpo.errors.UserError: delta is -1; it must be at least 0 and finite
    """

    deltas: tuple[float, ...]
    rules: tuple[str, ...] = ("safedpo",)
    seeds: tuple[int, ...] = (0,)
    model: str = RECIPE["model"]
    data: str | Path = "household-train"
    prompts: str | Path = "household-test"
    budgets: tuple[int, ...] = (300, 600, 1000)
    batch_size: int = RECIPE["batch_size"]
    learning_rate: float = RECIPE["learning_rate"]
    beta: float = RECIPE["beta"]
    lora_r: int = RECIPE["lora_r"]
    max_grad_norm: float = RECIPE["max_grad_norm"]
    samples: int = 2
    max_new_tokens: int = 64
    dtype: str = "auto"
    skip_bad_rows: bool = False
    contradictions: str = "keep"

    def __post_init__(self):
        for name in ("deltas", "rules", "seeds", "budgets"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise UserError(f"{name} are {values}; give at least one, and each once")
        for delta in self.deltas:
            check_delta(delta, least=0)
        if len({SweepRun("safedpo", delta, 0).name for delta in self.deltas}) < len(self.deltas):
            raise UserError(f"deltas are {self.deltas}; two of them would share a folder: they agree in six digits")
        for seed in self.seeds:
            number_within("seed", seed, *BOUNDS["seed"])
        for rule in self.rules:
            check_rule(rule)
        check_beta(self.beta)
        number_within("batch_size", self.batch_size, *BOUNDS["per_device_train_batch_size"])
        for name in ("learning_rate", "max_grad_norm"):
            number_within(name, getattr(self, name), *BOUNDS[name])
        for name in ("samples", "max_new_tokens", "lora_r"):
            number_within(name, getattr(self, name), int, 1, 100_000)
        if list(self.budgets) != sorted(self.budgets) or any(b < 1 or b % self.batch_size for b in self.budgets):
            raise UserError(f"budgets are {self.budgets}; give rising multiples of the batch size {self.batch_size}")

    def runs(self) -> list["SweepRun"]:
        """Every run, seed after seed, so that a sweep cut short has whole seeds."""
        return [SweepRun(rule, delta, seed) for seed in self.seeds for rule in self.rules for delta in self.deltas]


@dataclass(frozen=True)
class SweepRun:
    """One run of a sweep."""

    rule: str
    delta: float
    seed: int

    @property
    def name(self) -> str:
        """The run's method: its folder, and its row in the table."""
        return method(self.rule, self.delta)

    def folder(self, home: Path) -> Path:
        return home / self.name / str(self.seed)


def sweep(settings: SweepSettings, output_dir: str | Path, *, command: str = "") -> dict:
    """Train and measure every run that is not finished yet, and write `sweep.json`; returns its content.

    `command` is what the runs made now are said to have been made by. Raises `UserError` before anything is computed
    for data without a scorer, for too few pairs, and for a folder that holds another sweep.
    """
    home = Path(output_dir)
    check_writable(home)
    how = {"strict": not settings.skip_bad_rows}
    records = _named(settings.data, contradictions=settings.contradictions, **how)
    held_out = _named(settings.prompts, **how)
    prompts = _prompts(held_out)
    scorer = scorer_for(prompts)
    decoding = Decoding(samples=settings.samples, max_new_tokens=settings.max_new_tokens)
    found = read(home)
    dtype = found["settings"]["dtype"] if found and settings.dtype == "auto" else settings.dtype
    loaded = load_model(settings.model, dtype=dtype)
    pairs = _prepared(settings, records, loaded)
    about = _about(settings, decoding, loaded, records, held_out)
    claim_folder(home, about)
    todo = [run for run in settings.runs() if not (run.folder(home) / "points.json").exists()]
    earlier = (len(settings.budgets) - 1) * (len(prompts) + len(shown(prompts)))
    # A pair trained on takes about as long as a response sampled, so both count alike in the time left.
    work = settings.budgets[-1] + earlier + len(prompts) * (decoding.samples + 1)
    with tqdm(total=work * len(todo), desc="sweep", unit="pair or response") as bar:
        for run in todo:
            bar.set_description(f"sweep: {run.name}, seed {run.seed}")
            folder = run.folder(home)
            _train(run, folder, settings, loaded, pairs[run.rule], bar)
            with exclusive(folder):
                if not (folder / "points.json").exists():  # another process may have measured it meanwhile
                    points = _measure(folder, settings, loaded, held_out, scorer, decoding, bar)
                    content = {**asdict(run), "command": command, "points": points}
                    write_json(folder / "points.json", content, indent=None, seal=True)
            assemble(home, about)
    return assemble(home, about)


def _measure(
    folder: Path,
    settings: SweepSettings,
    loaded: LoadedModel,
    held_out: Records,
    scorer: Scorer,
    decoding: Decoding,
    bar,
) -> list[dict]:
    """The points of a trained run: its policy measured at each budget."""
    points, prompts = [], _prompts(held_out)
    for pairs in settings.budgets:
        with adapter_on(loaded, adapter_folder(folder, pairs, settings.budgets)) as policy:
            if pairs == settings.budgets[-1]:
                evaluation = measure_last(policy, folder, held_out, decoding)
            else:
                evaluation = measure(policy, prompts, scorer, decoding)
            points.append(point(pairs, evaluation, policy, prompts, settings.max_new_tokens))
        bar.update(len(evaluation.samples))
    return points


def _train(run: SweepRun, folder: Path, settings: SweepSettings, loaded: LoadedModel, pairs: Prepared, bar) -> None:
    """Train the run, unless that is done, and take its adapter off the base again."""
    if adapter_run(folder).get("status") == "finished":
        tidy(folder)  # it may have been killed between its last write and this
        bar.update(settings.budgets[-1])
        return
    finished = train(
        loaded,
        pairs,
        folder,
        beta=settings.beta,
        delta=run.delta,
        rule=run.rule,
        seed=run.seed,
        max_pairs=settings.budgets[-1],
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        lora_r=settings.lora_r,
        max_grad_norm=settings.max_grad_norm,
        contradictions=settings.contradictions,
        callbacks=[KeepAdapters(folder, settings.budgets, bar.update)],
    )
    policy: Any = finished.policy  # a PeftModel, whose attributes torch types as tensors
    policy.unload()


def _about(
    settings: SweepSettings, decoding: Decoding, loaded: LoadedModel, records: Records, held_out: Records
) -> dict:
    names = ("model", "batch_size", "learning_rate", "beta", "lora_r", "max_grad_norm")
    shared = {name: getattr(settings, name) for name in names} | {
        "data": records.source,
        "prompts": held_out.source,
        "loss": "safedpo",
        "dtype": str(loaded.dtype).removeprefix("torch."),
        "budgets": list(settings.budgets),
        "decoding": asdict(decoding),
    }
    return {
        "settings": shared,
        "versions": versions(),
        "labels": records.noise.to_json() | {"bad_rows": len(records.problems)},
        "shown_prompts": shown(_prompts(held_out)),
        "fingerprints": {
            "reference": loaded.fingerprint,
            "data": data_fingerprint(records.records),
            "prompts": data_fingerprint(held_out.records),
        },
    }


def _prepared(settings: SweepSettings, records: Records, loaded: LoadedModel) -> dict[str, Prepared]:
    """The pairs under each rule, tokenized once for all runs; refuses too few of them for the last budget."""
    prepared, labels = {}, records.noise.to_json() | {"bad_rows": len(records.problems)}
    for rule in settings.rules:
        prepared[rule] = prepare_pairs((records.records, records.source, labels), loaded.tokenizer, rule=rule)
        if (pairs := len(prepared[rule].tokens.items)) < settings.budgets[-1]:
            raise UserError(
                f"{records.source} leaves {pairs} pairs under the rule {rule}, fewer than the last budget "
                f"{settings.budgets[-1]}; lower the budgets"
            )
    return prepared


def _named(source: str | Path, **how) -> Records:
    """The records of a file, with the file's name for their source: a path says nothing on another machine."""
    source = shipped_data(source)
    return replace(read_records(source, **how), source=Path(source).name if Path(source).exists() else str(source))


def _prompts(held_out: Records) -> list[str]:
    return list(dict.fromkeys(record.prompt for record in held_out.records))
