"""Every public numeric function of the exact world, T, the losses, log-probabilities and intervals, under any arguments.

The list is made from the package, so a new function is in it; what is not numeric is named with the reason. Finite in:
finite and rightly shaped out. Anything else: the same, or one `ValueError` (of which `UserError` is one).
"""

import dataclasses
import importlib
import inspect
import math
import os
import pkgutil
import warnings

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from safedpo.errors import UserError
from safedpo.lm.rows.packing import pack
from safedpo.lm.training.steps import StepSampler
from tests.faults.drawing import SHAPES, Draw, spoiled, value_of

ROOMS = ("transform", "losses", "finite", "lm.logprobs", "lm.rows.packing", "lm.rows.products", "lm.rows.logprobs")
ROOMS += ("lm.training.metrics", "evaluate.intervals", "evaluate.generation")
NOT_HERE = {
    "finite.claims": "the ledger: each claim draws its own worlds",
    "finite.walker": "the search over premises: draws its own worlds",
    "finite.fit": "training; tests/finite/test_fit.py",
    "finite.newton": "the step inside a method",
}
NO_NUMBERS = {
    "evaluate.generation:generate": "samples from a model",
    "evaluate.generation:stop_ids": "reads a tokenizer",
    "lm.training.metrics:closing": "log rows; below, by itself",
    "lm.training.metrics:pair_columns": "takes the config of a run",
    "lm.rows.logprobs:is_backbone_and_head": "asks a model",
    "transform:check_rule": "a name",
    "finite.methods.learned:learned_cost": "fits a model; tests/finite/methods",
    "finite.methods.learned:learned_reward": "fits a model; tests/finite/methods",
    "finite.methods.learned:learned_world": "fits a model; tests/finite/methods",
    "finite.methods.outcome:descend": "descends on any objective; tests/finite/methods",
    "finite.methods.checked:checked": "takes a function; tests/finite/methods",
    "finite.methods.adversarial:reward_loss": "the objective inside a method; tests/finite/methods",
}
UNCHECKED = {  # their arguments come from functions that are checked
    "lm.rows.products:linear": "the product inside of an autograd function, at every step",
    "lm.rows.packing:n_tokens": "of an item that was tokenized",
    "finite.methods.expected_cost.lagrangian:policy_gradient": "a step of a method",
}
TRAINS = {"pairs", "beta"}  # required arguments of a compared method, which trains: tests/finite/methods
MAY_BE_INFINITE = "inf"  # only where the docstring says so
_SKIPPED_DEFAULTS = {"labels", "draws", "chunk", "seed", "pair_weight", "generator"}


def listed() -> dict:
    found = {}
    for room in ROOMS:
        root = importlib.import_module(f"safedpo.{room}")
        below = pkgutil.walk_packages(getattr(root, "__path__", []), f"safedpo.{room}.")
        for name in (f"safedpo.{room}", *(one.name for one in below)):
            short = name.removeprefix("safedpo.")
            if any(short == out or short.startswith(f"{out}.") for out in NOT_HERE):
                continue
            module = importlib.import_module(name)
            for key, one in vars(module).items():
                if inspect.isfunction(one) and one.__module__ == name and not key.startswith("_"):
                    found[f"{short}:{key}"] = one
    return found


def trains(function) -> bool:
    names = inspect.signature(function).parameters
    return "world" in names and set(names) >= TRAINS and "optimum" not in function.__name__


FUNCTIONS = {n: f for n, f in listed().items() if n not in NO_NUMBERS and not trains(f)}


def called(name: str, draw: Draw):
    """The function with drawn arguments: its required ones, and each other one half of the time."""
    function = FUNCTIONS[name]
    given_, wrong = {}, None
    for key, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            continue
        if parameter.default is parameter.empty or (key not in _SKIPPED_DEFAULTS and draw.take(st.booleans())):
            given_[key] = value_of(name, parameter, draw)
    if draw.hostile:
        wrong = draw.take(st.sampled_from(sorted(given_))) if given_ else None
        if wrong is not None:
            given_[wrong] = spoiled(given_[wrong], draw)
    positional = [
        given_.pop(key)
        for key, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD and key in given_ and parameter.default is parameter.empty
    ]
    return function(*positional, **given_)


def numbers(value):
    if isinstance(value, torch.Tensor):
        yield from value.detach().double().flatten().tolist()
    elif isinstance(value, float | int):
        yield float(value)
    elif dataclasses.is_dataclass(value):
        yield from numbers(list(vars(value).values()))
    elif isinstance(value, dict | list | tuple):
        for one in value.values() if isinstance(value, dict) else value:
            yield from numbers(one)
    elif callable(value) and "slope" in getattr(value, "__qualname__", ""):
        yield from numbers(value(torch.tensor([0.0, 3.0, -300.0], dtype=torch.float64)[:, None]))


def check(name: str, draw: Draw) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            result = called(name, draw)
        except ValueError as error:
            assert str(error).strip() and (len(str(error)) < 1500)
            return "refused" if isinstance(error, UserError) else "refused by Python"
    if draw.hostile:
        return "taken"
    found = list(numbers(result))
    assert not any(math.isnan(one) for one in found), f"{name} gives NaN"
    if any(math.isinf(one) for one in found):
        doc = f"{FUNCTIONS[name].__doc__} {inspect.getmodule(FUNCTIONS[name]).__doc__}"
        takes_world = "world" in inspect.signature(FUNCTIONS[name]).parameters
        assert MAY_BE_INFINITE in doc or takes_world, f"{name} gives an infinite number"
    if isinstance(result, torch.Tensor):
        expected = SHAPES.get(name, "P" if name.startswith("losses:") else None)
        sizes = {"P": (draw.size,), "PA": (draw.size, draw.wide)}
        assert expected is None or tuple(result.shape) == sizes.get(expected, expected), (name, result.shape)
    return "taken"


def rounds(count: int, hostile: bool) -> dict[str, list[str]]:
    seen: dict[str, list[str]] = {name: [] for name in FUNCTIONS}
    names = sorted(FUNCTIONS)

    @settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def one(data):
        name = data.draw(st.sampled_from(names))
        seen[name].append(check(name, Draw(data, hostile and name not in UNCHECKED)))

    one()
    return seen


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_a_few_rounds_of_each_function(name):
    """Finite arguments: each function takes them at least once; then spoiled ones."""
    seen = []

    @settings(
        max_examples=4,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def one(data):
        seen.append(check(name, Draw(data, False)))
        if name not in UNCHECKED:
            check(name, Draw(data, True))

    one()
    assert "taken" in seen, f"{name} refused all finite arguments"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("hostile", [False, True])
def test_two_thousand_rounds(hostile):
    count = int(os.environ.get("SAFEDPO_ROUNDS", "2000"))
    seen = rounds(count, hostile)
    assert sum(map(len, seen.values())) >= count and len([name for name, found in seen.items() if found]) > 60


def test_nothing_is_excepted_that_is_not_there():
    there = listed()
    assert NO_NUMBERS.keys() <= there.keys() and len(FUNCTIONS) > 60


@pytest.mark.parametrize("wrong", [{"batch_size": -1}, {"batch_size": 0}, {"world": 0}, {"rank": 3}, {"rank": -1}])
def test_a_sampler_that_would_leave_pairs_out_is_refused(wrong):
    with pytest.raises(UserError):
        StepSampler([1] * 5, **{"batch_size": 2, "seed": 0} | wrong)


@pytest.mark.parametrize("prompt, response", [((), (5, 6)), ((7,), ())])
def test_a_response_without_a_token_before_it_is_refused(prompt, response):
    """It would be predicted from the end of the prompt before it."""
    with pytest.raises(UserError, match="empty"):
        pack([(3, 4), prompt], [(0, (8,)), (1, response)])
