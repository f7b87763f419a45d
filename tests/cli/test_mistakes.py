"""Each command against a list of a user's mistakes: one message, exit code 2, never a traceback, nothing left behind."""

import errno
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from safedpo.lm.models.adapters import add_lora
from safedpo.lm.models.tiny import tiny_model, tiny_tokenizer
from tests.records.row import GOOD
from tests.sparing import slow_but


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a file, a data file, a tiny model, an adapter without an account, a damaged run and a read-only spot."""
    home = tmp_path_factory.mktemp("place")
    before = Path.cwd()
    os.chdir(home)
    Path("file").write_text("a file")
    Path("good.jsonl").write_text(json.dumps(GOOD) + "\n")
    Path("empty.jsonl").write_text("")
    Path("latin.jsonl").write_bytes(json.dumps(GOOD | {"prompt": "x"}).encode().replace(b"x", b"\xff"))
    tiny_model().save_pretrained("model")
    tiny_tokenizer().save_pretrained("model")
    add_lora(tiny_model(), r=2).save_pretrained("adapter")
    for name, text in {
        "list": "[]",
        "cut": '{"status": ',
        "deep": "[" * 100_000,
        "digits": '{"model": ' + "9" * 5000 + "}",
        "odd": '{"model": [], "status": "finished"}',
        "settings": '{"model": "model", "settings": [], "fingerprints": [], "status": "finished"}',
        "binary": "\x00\x01",
    }.items():
        Path(name).mkdir()
        Path(name, "run.json").write_text(text)
        Path(name, "sweep.json").write_text(text)
        Path(name, "00_x.ipynb").write_text(text)
        (Path(name) / "m" / "0").mkdir(parents=True)
        (Path(name) / "m" / "0" / "evaluation.json").write_text(text)
    os.chdir(before)
    return home


@pytest.fixture
def place(made, monkeypatch):
    """That folder, as the working directory, without the run of the test before."""
    monkeypatch.chdir(made)
    monkeypatch.setenv("SAFEDPO_CACHE", str(made / "cache"))
    shutil.rmtree("run", ignore_errors=True)
    return made


@pytest.fixture
def run(safedpo):
    return safedpo


TRAIN = "train --model model --data good.jsonl --output-dir run --dtype float32 --use-cpu"
SFT = TRAIN.replace("train ", "sft ", 1)
SWEEP = "sweep --deltas 0 --model model --data good.jsonl --prompts good.jsonl --output-dir run --dtype float32"
DAMAGED = ("list", "cut", "deep", "digits", "odd", "settings", "binary")
_SETTINGS = """
--batch-size 0|--batch-size -3|--learning-rate nan|--learning-rate -1|--seed -1|--seed 99999999999999999999
--optim x|--report-to wandb|--report-to 3|--epochs 0|--epochs inf|--epochs -1|--max-steps 0|--max-steps -2
--save-total-limit -1|--save-total-limit 0|--save-steps 0|--save-steps x|--logging-steps 0|--logging-steps -1
--lr-scheduler-type x|--lr-scheduler-kwargs x|--lr-scheduler-kwargs {"x":1}|--lr-scheduler-type greedy
--warmup-steps -1|--warmup-steps nan|--weight-decay nan|--weight-decay x|--adam-beta1 1|--adam-beta1 -1
--adam-beta2 2|--adam-epsilon 0|--max-grad-norm nan|--max-grad-norm -1|--gradient-accumulation-steps 0
--gradient-accumulation-steps 1.5|--row-tokens 0|--max-length 1|--max-length 0|--template x|--dtype float16
--dtype x|--lora-r 0|--lora-r -1|--lora-alpha x|--lora-alpha nan|--max-pairs 0|--max-pairs -1
--save-strategy sometimes|--save-strategy best|--logging-strategy x|--log-level x|--train-batch-size 8
--n-gpu 2|--device x|--device 3|--callbacks x|--output_dir y|--num-train-epochs 3
--per-device-train-batch-size 2|--ddp-timeout 0|--ddp-backend x|--full-determinism 3|--use-cpu 7
--data-seed -1|--optim-args x=y|--optim galore_adamw|--torch-empty-cache-steps 0|--not-a-setting 1|--=|--9x 1
loose|--label-smoothing-factor 0.1|--bf16|--fp16|--eval-strategy steps|--deepspeed x|--fsdp x|--push-to-hub
--hub-token x|--json file/x.json|--json missing/x.json|--json .
"""
SETTINGS = [words for line in _SETTINGS.split("\n") for words in line.split("|") if words]
BAD_DATA = ("nowhere.jsonl", "file", ".", "empty.jsonl", "latin.jsonl")
MISTAKES = [
    *(f"{TRAIN} {words}" for words in SETTINGS),
    *(
        f"{TRAIN} {words}"
        for words in ("--beta 0", "--beta nan", "--beta inf", "--delta -1", "--delta nan", "--loss x", "--rule x")
    ),
    *(f"{SFT} {words}" for words in SETTINGS[::4]),
    f"{SFT} --responses x",
    f"{SFT} --adapter nowhere",
    f"{SFT} --max-examples 0",
    *(
        f"{start} --output-dir {out}"
        for start in (TRAIN, SFT, SWEEP)
        for out in ("file", "file/x", "/proc/x", *DAMAGED)
    ),
    *(
        f"{start} --model {name}"
        for start in (TRAIN, SFT, SWEEP)
        for name in ("nowhere", "file", "adapter", "list", "a/b/c", "")
    ),
    *(
        f"{start} --data {name}"
        for start in (TRAIN, SFT, SWEEP)
        for name in ("nowhere.jsonl", "file", ".", "empty.jsonl", "latin.jsonl")
    ),
    f"{TRAIN} --recipe paper",
    f"{TRAIN} --delta 3 --loss dpo",
    *(
        f"{SWEEP} {words}".replace("--deltas 0 ", "" if "--deltas" in words else "--deltas 0 ")
        for words in (
            "--deltas x",
            "--deltas -1",
            "--deltas nan",
            "--deltas 1,1",
            "--deltas 10,10.0000001",
            "--seeds 0",
            "--seeds x",
            "--seeds -1,",
            "--seeds 1,1",
            "--seeds 99999999",
            "--rules x",
            "--budgets 0",
            "--budgets 5",
            "--budgets 8,4",
            "--batch-size 0",
            "--beta 0",
            "--learning-rate nan",
            "--samples 0",
            "--max-new-tokens 0",
            "--lora-r 0",
            "--prompts nowhere.jsonl",
            "--json missing/x.json",
            "--budgets 4000",
        )
    ),
    *(f"evaluate --adapter {name}" for name in ("nowhere", "file", "adapter", "model", *DAMAGED)),
    "evaluate --adapter adapter --save file",
    "evaluate --adapter adapter --save file/x",
    "evaluate --adapter adapter --save /proc/x",
    "evaluate --adapter adapter --json missing/x.json",
    "evaluate --adapter adapter --limit 0",
    "evaluate --adapter adapter --samples 0",
    "evaluate --adapter adapter --data nowhere.jsonl",
    *(
        f"generate hello --model model --dtype float32 {words}"
        for words in (
            "--temperature nan",
            "--temperature 0",
            "--temperature -1",
            "--temperature inf",
            "--temperature x",
            "--samples -1",
            "--max-new-tokens 0",
            "--max-new-tokens 9999999999",
            "--seed -1",
            "--samples 9999999999",
            "--model nowhere",
            "--adapter nowhere",
            "--adapter file",
            "--adapter adapter",
            "--dtype x",
            "--json missing/x.json",
            "--json .",
        )
    ),
    "generate ' '",
    "generate a</s>b --model model --dtype float32",
    "table nowhere",
    "table file",
    *(f"table {name}" for name in DAMAGED),
    "verify --json missing/x.json",
    "verify --json .",
    "verify --worlds 0",
    "verify --seed -1",
    "data nowhere.jsonl",
    "data file",
    "data .",
    "data empty.jsonl",
    "data latin.jsonl",
    "data good.jsonl --json missing/x.json",
    "data good.jsonl --split train",
    "doctor --json missing/x.json",
    "notebooks check --folder nowhere",
    "notebooks build --folder file",
    "site --out file",
    "site --out file/x",
    "site --out out --notebooks nowhere",
    *(f"site --out out --notebooks {name}" for name in DAMAGED),
    "nothing",
    "train",
]


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_one_message_and_exit_code_2(place, run, words):
    code, out, err = run(*shlex.split(words))
    assert code == 2, (out, err)
    assert "Traceback" not in err and (out + err).strip()
    assert "\x1b" not in out + err and len(out + err) < 6000
    assert not (place / "run").exists() or not list((place / "run").iterdir())
    assert not [path.name for path in place.rglob(".*unfinished*")]


class Full:
    """A disk that is full: every write of some kind fails."""

    def __init__(self, monkeypatch):
        self.patch = monkeypatch

    def __call__(self, number, name):
        def fail(*given, **named):
            raise OSError(number, os.strerror(number), "somewhere")

        self.patch.setattr(name, fail)


@pytest.mark.parametrize(
    "number",
    slow_but([errno.ENOSPC], [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT, errno.EIO]),
)
@pytest.mark.parametrize(
    ("words", "writer"),
    [
        ("data good.jsonl --json out.json", "pathlib.Path.replace"),
        ("verify --worlds 1 --json out.json", "pathlib.Path.write_text"),
        ("generate hello --model model --dtype float32 --max-new-tokens 1 --json out.json", "pathlib.Path.replace"),
        (f"{TRAIN} --max-steps 1", "pathlib.Path.mkdir"),
        (f"{TRAIN} --max-steps 1", "pathlib.Path.replace"),
        (f"{TRAIN} --max-steps 1", "safedpo.lm.training.reference.save_file"),
        (f"{TRAIN} --max-steps 1", "peft.peft_model.safe_save_file"),
        (f"{TRAIN} --max-steps 1", "torch.save"),
        (f"{TRAIN} --max-steps 1 --save-steps 1", "pathlib.Path.rename"),
    ],
)
def test_a_disk_that_refuses_is_one_message(place, run, monkeypatch, number, words, writer):
    Full(monkeypatch)(number, writer)
    code, out, err = run(*words.split())
    if code == 0:
        pytest.skip(f"{words} does not write with {writer}")
    assert code == 2 and "Traceback" not in err and os.strerror(number) in err, err


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_interrupts_and_full_memory_are_sentences(place, run, monkeypatch, error):
    def fail(*given, **named):
        raise error

    monkeypatch.setattr("safedpo.records.read_records", fail)
    monkeypatch.setattr("safedpo.lm.models.load.load_model", fail)
    code, _, err = run("generate", "hello", "--model", "model")
    assert "Traceback" not in err
    assert code == (130 if error is KeyboardInterrupt else 2)
    assert ("what was finished is kept" if error is KeyboardInterrupt else "memory") in err


@pytest.mark.parametrize("encoding", slow_but(["ascii"], ["ascii", "latin-1", "cp1252", "utf-8"]))
def test_a_terminal_without_utf_8_shows_escapes(place, encoding):
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    Path("ü→.jsonl").write_text(json.dumps(GOOD) + "\n")
    command = [sys.executable, "-m", "safedpo", "data", "ü→.jsonl"]
    done = subprocess.run(command, capture_output=True, env=environment)
    assert done.returncode == 0 and b"Error" not in done.stderr, done.stderr


def test_names_with_markup_and_escapes_are_shown_as_they_are(place, run):
    Path("x[").mkdir()
    name = "x[/b] [red]\x1b[31m.jsonl"
    Path(name).write_text(json.dumps(GOOD) + "\n")
    code, out, _ = run("data", name)
    assert code == 0 and "[/b]" in out and "[red]" in out and "\x1b" not in out


def test_a_value_of_three_megabytes_is_cut_in_a_message(place, run):
    """In a row, in run.json, in an option: what is wrong and what to do stand there, the value does not."""
    large = "x" * 3_000_000
    Path("large.jsonl").write_text(json.dumps(GOOD | {"is_response_0_safe": large}) + "\n")
    Path("named").mkdir()
    Path("named", "run.json").write_text(json.dumps({"model": large, "status": "finished"}))
    Path("kind").mkdir()
    Path("kind", "run.json").write_text(json.dumps({"model": [large], "status": large}))
    for words in (
        ["data", "large.jsonl"],
        ["evaluate", "--adapter", "named"],
        ["evaluate", "--adapter", "kind"],
        [*TRAIN.split(), "--loss", large],
        [*TRAIN.split(), "--optim", large],
        ["judge", "good.jsonl", "--judge", "model", "--out", "run", "--wordings", large],
    ):
        code, out, err = run(*words)
        assert code == 2 and "Traceback" not in err and len(out + err) < 12_000, words[0]
