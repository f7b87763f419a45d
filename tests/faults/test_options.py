"""Option values drawn from types and bounds: each set is either taken or refused in one sentence, before any work."""

import json
import random
import re

import pytest

from safedpo.cli import main
from safedpo.errors import UserError
from safedpo.lm.training import run as module
from safedpo.lm.training.config import SafeDPOConfig, honoured_arguments
from safedpo.lm.training.settings import BOUNDS, CHOICES, SWITCHES

NAMES = sorted(
    honoured_arguments() | set(BOUNDS) | {"lora_r", "lora_alpha", "max_pairs", "device", "dtype", "nothing", "n_gpu"}
)
EDGES = [
    0,
    1,
    -1,
    2,
    0.5,
    -0.0,
    1e-300,
    1e308,
    1e309,
    10**20,
    2**31,
    2**63,
    2**64,
    True,
    False,
    None,
    "",
    "x",
    "nan",
    "inf",
]
EDGES += [
    "auto",
    "cpu",
    "steps",
    "no",
    "epoch",
    [],
    {},
    [1],
    {"a": 1},
    float("nan"),
    float("inf"),
    "\x1b[31m",
    "é\n",
    "a" * 5000,
]


class Reached(Exception):
    """All settings were taken: the model would be loaded now."""


def drawn(luck: random.Random) -> dict:
    settings = {}
    for name in luck.sample(NAMES, luck.randint(1, 4)):
        if name in BOUNDS and luck.random() < 0.6:
            kind, low, high, _ = BOUNDS[name]
            ends = [low, min(high, 1e9), low - 1, low + 1, luck.uniform(0, 100)]
            value = luck.choice([kind(end) for end in ends])
        elif name in CHOICES and luck.random() < 0.6:
            value = luck.choice(CHOICES[name])
        elif name in SWITCHES and luck.random() < 0.6:
            value = luck.choice([True, False])
        else:
            value = luck.choice(EDGES)
        settings[name] = value
    return settings


def one_sentence(error: UserError) -> None:
    text = str(error)
    assert text.strip() and len(text) < 1500 and "\x1b" not in text and "Traceback" not in text
    assert not re.search(r"object at 0x", text)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_thousand_sets_of_settings_are_taken_or_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "load_model", lambda *given, **named: (_ for _ in ()).throw(Reached))
    seed, taken = 20_26, 0
    luck = random.Random(seed)
    print(f"seed {seed}")
    for lap in range(2000):
        settings = drawn(luck) | {"disable_tqdm": True}
        settings.pop("output_dir", None)
        try:
            module.train("model", [], tmp_path / "run", **settings)
        except Reached:
            taken += 1
        except UserError as error:
            one_sentence(error)
        except TypeError as error:  # Python's own answer to two values for one name
            assert "multiple values" in str(error), (lap, settings)
        except Exception as error:
            raise AssertionError(f"lap {lap}, {settings}") from error
    assert 100 < taken < 1900 and not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", sorted(set(BOUNDS) & honoured_arguments()))
def test_each_bound_is_kept_on_both_sides(name, tmp_path):
    kind, low, high, included = BOUNDS[name]
    wrong = [low - 1, float("nan"), "x", [1], *([] if included else [low]), *([1.5] if kind is int else [float("inf")])]
    for value in wrong:
        with pytest.raises(UserError, match=f"{name} is "):
            SafeDPOConfig(output_dir=str(tmp_path), use_cpu=True, **{name: value})


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_command_lines_with_any_value_are_taken_or_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "load_model", lambda *given, **named: (_ for _ in ()).throw(Reached))
    (tmp_path / "pairs.jsonl").write_text(
        json.dumps(
            {
                "prompt": "p",
                "response_0": "a",
                "response_1": "b",
                "is_response_0_safe": True,
                "is_response_1_safe": False,
                "better_response_id": 0,
                "safer_response_id": 0,
            }
        )
        + "\n"
    )
    luck = random.Random(7)
    for lap in range(300):
        words = ["train", "--data", str(tmp_path / "pairs.jsonl"), "--output-dir", str(tmp_path / "run")]
        for name, value in drawn(luck).items():
            words += [f"--{name.replace('_', '-')}", value if isinstance(value, str) else json.dumps(value)]
        monkeypatch.setattr("sys.argv", ["safedpo", *words])
        try:
            main()
        except SystemExit as end:
            assert end.code == 2, (lap, words)
        except Reached:
            pass
        except Exception as error:
            raise AssertionError(f"lap {lap}, {words}") from error
        assert "Traceback" not in capsys.readouterr().err
