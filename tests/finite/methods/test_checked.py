"""What is wrong in a setting is one sentence with its name and value, for every method and every optimum: never NaN."""

import inspect
import math
from dataclasses import replace

import pytest
import torch

from safedpo.errors import UserError
from safedpo.finite import FiniteWorld, InfeasiblePromptError, population, random_world, six_answers, tv
from safedpo.finite import methods as field
from safedpo.finite.methods import METHODS, OPTIMA, InfeasibleLimitError, safer_by_cost
from safedpo.finite.methods.checked import LEAST, NUMBERS, SHOWN, check_pairs, checked

WORLD = random_world(3, prompts=2, answers=4)
PAIRS = safer_by_cost(WORLD, population(WORLD))
NAN, INF = math.nan, math.inf
WRONG = {  # every name, and numbers that are wrong for it
    **dict.fromkeys(
        ("beta", "eta", "lr", "scale", "temperature", "tau", "curvature"), (0.0, -1.0, NAN, INF, -INF, "1")
    ),
    **dict.fromkeys(("lam", "gamma", "weight", "rho", "q"), (-1.0, NAN, INF, -INF, "1")),
    **dict.fromkeys(("limit", "delta", "cost", "low", "high"), (NAN, INF, -INF, "1")),
    **dict.fromkeys(("target", "rate"), (-0.1, 1.1, NAN, "1")),
    "flip_rate": (-0.1, 0.5, NAN, "1"),
    "alpha": (0.0, 1.0, NAN, "1"),
    "tolerance": (-1.0, NAN, "1"),
    "log_ratio": (NAN,),
    "steps": (0, -1, 2.5, NAN, "1"),
    "rounds": (0, -1, 2.5, NAN, "1"),
    "samples": (0, -1, 2.5, NAN, "1"),
    "seed": (-1, 1.5, 2**64, "1"),
    "rule": ("helpfull", "", 3, None),
    "models": (six_answers(), WORLD.cost, "x"),
}
ALL = [(f"{kind} of {name}", f) for kind, table in (("run", METHODS), ("optimum", OPTIMA)) for name, f in table.items()]
ALL += [
    (name, getattr(field, name))
    for name in ("lagrangian_policy", "safe_rlhf_policy", "dual_value", "dual_gradient", "dual_curvature")
    + ("best_multiplier", "safe_rlhf_multiplier", "prompt_multipliers", "largest_dual_curvature", "penalised_value")
    + (
        "dual_step",
        "confidence_width",
        "safety_test",
        "preference_loss",
        "step_size",
        "safer_by_cost",
        "implicit_models",
    )
]
FITTING = {"beta": 0.5, "lam": 1.0, "limit": 1.9, "cost": 0.1, "eta": 0.5, "samples": 9, "alpha": 0.1, "curvature": 1.0}
FITTING |= {"world": WORLD, "pairs": PAIRS, "low": 0.0, "high": 1.0}
FITTING |= dict.fromkeys(("logps", "helpful", "safe"), WORLD.ref_logps)


def needed(function) -> dict:
    """Arguments that fit, for what `function` requires."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: FITTING[p.name] for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD}


def cases():
    for title, function in ALL:
        for name, parameter in inspect.signature(function).parameters.items():
            for value in WRONG.get(name, ()):
                if value is None and "None" in str(parameter.annotation):
                    continue
                shown = value if isinstance(value, int | float | str) else type(value).__name__
                yield pytest.param(function, name, value, id=f"{title}, {name}={shown}")


def test_every_number_has_wrong_ones_to_try():
    assert set(NUMBERS) | set(LEAST) | {"rule", "models"} == set(WRONG)


@pytest.mark.parametrize(("function", "name", "value"), list(cases()))
def test_a_wrong_setting_is_named_with_its_value(function, name, value):
    with pytest.raises(UserError) as caught:
        function(**needed(function) | {name: value})
    said = str(caught.value)
    assert f"{SHOWN.get(name, name)} is " in said or f"{name} has tables" in said
    assert "\n" not in said and said.startswith(f"{function.__name__}: ")
    assert not isinstance(value, int | float) or f"{value}" in said or f"{value:g}" in said


@pytest.mark.parametrize("name", METHODS)
def test_pairs_of_another_world_are_refused_by_every_method(name):
    bigger = random_world(0, prompts=3, answers=4)
    with pytest.raises(UserError, match="pairs name prompts up to 2 and answers up to 3; the world has 2 prompts"):
        METHODS[name](WORLD, population(bigger), beta=0.5)
    with pytest.raises(UserError, match="pairs has no rows"):
        METHODS[name](WORLD, PAIRS[:0], beta=0.5)
    with pytest.raises(UserError, match="pairs is Tensor"):
        METHODS[name](WORLD, WORLD.cost, beta=0.5)
    with pytest.raises(UserError, match="world is Tensor; give a FiniteWorld"):
        METHODS[name](WORLD.cost, PAIRS, beta=0.5)


@pytest.mark.parametrize("weight", [NAN, INF, -1.0, 0.0])
def test_weights_that_are_no_weights_are_refused(weight):
    with pytest.raises(UserError, match="a weight of the pairs is"):
        check_pairs(WORLD, replace(PAIRS, weight=torch.full_like(PAIRS.weight, weight)))


def test_a_world_of_one_answer_has_no_pairs():
    one = FiniteWorld(torch.zeros(1, 1), [[0.0]], torch.tensor([[False]]))
    for run in METHODS.values():
        with pytest.raises(UserError, match="pairs has no rows; a preference needs two answers"):
            run(one, population(one), beta=0.5)


def test_what_is_none_by_its_annotation_passes():
    done = METHODS["MoCAN"](WORLD, PAIRS, beta=0.5, limit=1.0, models=WORLD, samples=None, steps=200, tolerance=1.0)
    assert done.costs.samples == 0


def test_arithmetic_that_leaves_float64_is_a_sentence():
    @checked
    def overflowing(*, beta: float) -> float:
        return beta**2

    @checked
    def lost(*, beta: float) -> torch.Tensor:
        return torch.tensor(beta) - torch.inf + torch.inf

    for function in (overflowing, lost):
        with pytest.raises(UserError, match=r"leaves float64 at beta=1e\+300"):
            function(beta=1e300)


@pytest.mark.parametrize("lam", [1e-9, 1e9, 1e15])
@pytest.mark.parametrize("name", ["SACPO", "PD-DPO", "Safe RLHF", "CS-RLHF"])
def test_a_price_at_either_end_gives_a_policy(name, lam):
    own = {"limit": 1.0} if name == "CS-RLHF" else {}
    policy = OPTIMA[name](WORLD, beta=0.5, lam=lam, **own)
    torch.testing.assert_close(policy.exp().sum(-1), torch.ones(2).double())


def hard_at(prompt: int) -> FiniteWorld:
    """Two prompts of two answers; every answer to `prompt` is unsafe and costs at least 0.3."""
    cost = torch.tensor([[-1.0, 1.0], [-1.0, 1.0]]).double()
    cost[prompt] = torch.tensor([0.3, 0.9])
    return FiniteWorld(torch.full((2, 2), 0.5).log(), [[0.0, 1.0]] * 2, cost > 0, cost)


@pytest.mark.parametrize("prompt", [0, 1])
@pytest.mark.parametrize("name", ["C-DPO", "MoCAN", "CS-RLHF", "HC-RLHF", "RePO", "Safe RLHF", "PD-DPO"])
def test_a_limit_out_of_reach_names_the_prompt_and_the_value(name, prompt):
    world, own = hard_at(prompt), {} if name in ("PD-DPO", "HC-RLHF") else {"models": hard_at(prompt)}
    with pytest.raises(InfeasibleLimitError, match=f"prompt {prompt}") as caught:
        METHODS[name](world, population(world), beta=0.5, limit=-0.4 if name != "PD-DPO" else 0.4, **own)
    assert "0.4" in str(caught.value) and str(caught.value).startswith(name)


def test_a_limit_that_a_method_tightens_is_told_as_the_reader_gave_it():
    with pytest.raises(InfeasibleLimitError, match=r"the limit -0.3 less two confidence widths of 0.0387"):
        METHODS["HC-RLHF"](hard_at(1), population(hard_at(1)), beta=0.5, samples=4000, limit=-0.3)


def test_a_prompt_without_a_safe_answer_is_no_obstacle_to_a_limit_on_the_mean():
    world = hard_at(1)
    done = METHODS["C-DPO"](world, population(world), beta=0.5, limit=0.0, models=world, samples=None)
    assert tv(done.logps, OPTIMA["C-DPO"](world, beta=0.5, limit=0.0)).max() < 0.02
    free = METHODS["DPO-helpful"](world, population(world), beta=0.5, steps=400)
    assert tv(free.logps, OPTIMA["DPO-helpful"](world, beta=0.5)).max() < 1e-3
    with pytest.raises(InfeasiblePromptError, match="prompt 1 has no safe answer"):
        OPTIMA["SafeDPO"](world, beta=0.5)


def test_costs_that_are_all_the_same_leave_the_free_optimum():
    flat = FiniteWorld(torch.full((1, 3), 1 / 3).log(), [[0.0, 1.0, 2.0]], torch.zeros(1, 3, dtype=torch.bool))
    for name in ("C-DPO", "RePO", "MoCAN"):
        done = METHODS[name](flat, population(flat), beta=0.5, limit=0.1, models=flat, samples=None, steps=300)
        assert done.multiplier == 0
        torch.testing.assert_close(done.logps, OPTIMA["DPO-helpful"](flat, beta=0.5), atol=1e-2, rtol=0)


def test_nothing_to_learn_a_reward_from_is_said():
    with pytest.raises(UserError, match="nothing is left to learn a reward from"):
        METHODS["APO"](WORLD, PAIRS, beta=0.5, weight=0.0, human_pairs=False)
    with pytest.raises(UserError, match="comparison is 'rank'"):
        field.reward_loss(WORLD.reward, WORLD.ref_logps.exp(), WORLD, PAIRS, weight=0.1, comparison="rank")
    with pytest.raises(UserError, match="known for helpful and safedpo"):
        OPTIMA["IPO"](WORLD, beta=0.5, rule="harmless")
