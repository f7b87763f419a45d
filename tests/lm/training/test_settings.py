"""Settings are checked by type and bounds before any work; each bound is tried on both its sides."""

import math

import pytest

from safedpo.errors import UserError
from safedpo.lm.training.config import SafeDPOConfig
from safedpo.lm.training.settings import (
    BOUNDS,
    CHOICES,
    OPTIONAL,
    SWITCHES,
    check_machinery,
    check_names,
    check_own,
    check_values,
    checked_init,
    number_within,
)


@pytest.fixture
def config(tmp_path):
    return SafeDPOConfig(str(tmp_path), use_cpu=True)


def refusal(config, name, value):
    """What is said of the configuration with this value, or None."""
    before = getattr(config, name)
    object.__setattr__(config, name, value)
    try:
        check_values(config)
    except UserError as error:
        return str(error)
    finally:
        object.__setattr__(config, name, before)
    return None


def test_a_fresh_configuration_is_within_all_bounds(config):
    check_values(config)
    assert {*BOUNDS, *CHOICES, *SWITCHES} - {*vars(config)} <= {
        "warmup_ratio",
        "gradient_checkpointing",
        "activation_checkpointing",
    }


@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_outside_its_bounds_and_of_another_type_each_number_is_refused(config, name):
    kind, low, high, included = BOUNDS[name]
    wrong = [low - 1, math.nan, "3", True, [1]] + ([] if included else [low]) + ([1.5] if kind is int else [])
    wrong += [high + 1] if high < math.inf else [math.inf]
    if not hasattr(config, name):
        for value in wrong:
            with pytest.raises(UserError, match=name):
                number_within(name, value, *BOUNDS[name])
        return
    for value in wrong:
        assert name in refusal(config, name, value), value
    assert (refusal(config, name, None) is None) == (name in OPTIONAL)


@pytest.mark.parametrize("name", [*CHOICES, *SWITCHES])
def test_words_and_switches_are_those_that_there_are(config, name):
    if not hasattr(config, name):
        pytest.skip(f"this transformers has no {name}")
    assert name in refusal(config, name, "sometimes")


@pytest.mark.parametrize("steps", [0, -2, 1.5, True, 10**10])
def test_max_steps_is_a_count_or_no_limit(config, steps):
    assert "max_steps" in refusal(config, "max_steps", steps)


def test_the_ends_of_a_range_are_in_it_or_not():
    number_within("x", 0, float, 0, 1)
    number_within("x", 1, float, 0, 1)
    number_within("x", 1e-300, float, 0, 1, False)
    with pytest.raises(UserError, match="x is 0; it must be a finite number greater than 0 and at most 1"):
        number_within("x", 0, float, 0, 1, False)
    with pytest.raises(UserError, match="x is 2.0; it must be a whole number"):
        number_within("x", 2.0, int, 0, 10)


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({"lora_r": -1, "lora_alpha": None}, "LoRA rank r is -1"),
        ({"lora_r": 2.0, "lora_alpha": None}, "lora_r is 2.0"),
        ({"lora_r": 4, "lora_alpha": 0}, "lora_alpha is 0; it must be a finite number greater than 0"),
        ({"lora_r": 4, "lora_alpha": 8, "max_pairs": 0}, "max_pairs is 0"),
    ],
)
def test_what_is_ours_alone_is_checked_too(own, words):
    with pytest.raises(UserError, match=words):
        check_own(**own)
    check_own(lora_r=1, lora_alpha=0.5, max_pairs=None, max_examples=1)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("num_train_epochs", "is called epochs here"),
        ("output_dir", "once"),
        ("lerning_rate", "unknown setting 'lerning_rate'"),
    ],
)
def test_names_of_others_are_answered_by_ours(name, words):
    with pytest.raises(UserError, match=words):
        check_names({name: 1}, {"learning_rate"})
    check_names({"learning_rate": 1}, {"learning_rate"})


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"optim": "adam_with_a_typo"}, "adam_with_a_typo"),
        ({"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": {"powers": 2}}, "schedule polynomial"),
        ({"lr_scheduler_type": "reduce_lr_on_plateau"}, "reduce_lr_on_plateau"),
        ({"report_to": "no_such_tracker"}, "no_such_tracker"),
    ],
)
def test_machinery_that_cannot_be_made_is_one_sentence_now_and_not_in_the_middle(tmp_path, how, words):
    with pytest.raises(UserError, match=words) as caught:
        SafeDPOConfig(str(tmp_path), use_cpu=True, **how)
    assert "\n" not in str(caught.value)


def test_optimizer_arguments_that_would_be_passed_over_are_refused(config):
    """AdamW takes none of them from transformers."""
    object.__setattr__(config, "optim", "adamw_torch")
    object.__setattr__(config, "optim_args", "momentum=0.9")
    with pytest.raises(UserError, match="optim_args is 'momentum=0.9', which this optimizer passes over"):
        check_machinery(config)


def test_what_the_library_complains_of_becomes_one_sentence(config):
    def complains():
        raise ValueError("a long story\nin several lines")

    with pytest.raises(UserError, match="these settings cannot be used here: a long story") as caught:
        checked_init(complains, config)
    assert "\n" not in str(caught.value)
